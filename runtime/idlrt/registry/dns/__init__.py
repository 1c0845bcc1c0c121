"""DNS as a read-only registry: `dns://[RESOLVER[:PORT][,RESOLVER[:PORT]...]]/[?OPTION=VALUE...]`.

A resolver is an IP address, not a name; the default is the resolver of this machine. With `port=9090` the instances are
the addresses (A and AAAA records) of a name, all with that port; without it they are its SRV records (RFC 2782). The
name to look up is:

    neither of the next two   the service's name itself, such as `users.example.com` or `_users._tcp.example.com`
    domain=example.com        SERVICE.example.com, or _SERVICE._tcp.example.com for SRV; for groups other than
                              `default` SERVICE.GROUP.example.com, or _SERVICE._tcp.GROUP.example.com
    name=TEMPLATE             the template with {service} and {group} filled in; for a headless service of
                              Kubernetes `name=_thrift._tcp.{service}.{group}.svc.cluster.local`

The weight of an SRV record becomes the weight of the instance. A weight of 0, which in DNS means a very small chance of
being selected, becomes 1, or the default weight if all are 0. Only records with the best (lowest) priority are used:
the others are for when all of those are down, which DNS does not report. `resolve=true` also resolves the host names in
SRV records; it is the default if the URL names a resolver, because this machine's resolver may not know them. (With TLS
keep the host names: `resolve=false`.)

Names are looked up again when their TTL expires, but no sooner than after `min_refresh` (1) and no later than after
`max_refresh` (60) seconds; `timeout` (3) limits one lookup. A name that does not exist, or has no such records, has no
instances and is looked up again after 5 seconds. If the resolver fails or does not respond, the registry is
unavailable: clients keep the last known instances.

DNS cannot enumerate names, so groups and services cannot be listed.
"""

from idlrt.registry.dns.backend import DnsBackend

__all__ = ["DnsBackend"]
