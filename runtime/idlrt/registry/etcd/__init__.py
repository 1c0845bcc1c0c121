"""etcd, version 3, as a registry: `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/PREFIX][?OPTION=VALUE...]`.

Options: `ttl` (whole seconds after which etcd forgets a server that is silent; 6), `tls` (`true` or `false`), `ca`,
`cert`, `key` (paths in PEM; any of them means TLS). Without a port it is 2379, without a prefix `idlrt`.

Spoken is the JSON gateway that etcd 3.4 and later serve beside gRPC, with `httpx`: the clients over gRPC each bring
generated code that clashes with other protobufs of the same process. etcd's gateway does not take the name in a
client's certificate for a user: where etcd asks for users, the URL needs one.
"""

from idlrt.registry.etcd.backend import EtcdBackend

__all__ = ["EtcdBackend"]
