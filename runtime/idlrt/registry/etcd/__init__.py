"""etcd, version 3, as a registry: `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/PREFIX][?OPTION=VALUE...]`.

Options: `ttl` (lease TTL in whole seconds, after which etcd removes a server without heartbeats; 6), `tls` (`true` or
`false`), `ca`, `cert`, `key` (paths of PEM files; any of them enables TLS). The default port is 2379, the default
prefix `idlrt`.

The backend uses the JSON gateway that etcd 3.4 and later serve beside gRPC, with `httpx`: each gRPC client brings
generated code that clashes with other protobuf code in the process. The gateway does not map the common name of a
client certificate to a user, so where etcd has authentication enabled, the URL must contain a user.
"""

from idlrt.registry.etcd.backend import EtcdBackend

__all__ = ["EtcdBackend"]
