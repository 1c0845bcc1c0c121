"""DNS as a registry that can only be read: `dns://[RESOLVER[:PORT][,RESOLVER[:PORT]...]]/[?OPTION=VALUE...]`.

Without a resolver (a number, not a name) it is what this machine uses. With `port=9090` the addresses (A and AAAA) of a
name are the instances, each with that port; without it the SRV records (RFC 2782) of a name are. Which name that is:

    neither of the next two   the service's name as it is, as `users.example.com` or `_users._tcp.example.com`
    domain=example.com        SERVICE.example.com, or _SERVICE._tcp.example.com for SRV; of a group other than
                              `default` SERVICE.GROUP.example.com, or _SERVICE._tcp.GROUP.example.com
    name=TEMPLATE             the template, with {service} and {group} filled in, as for a headless service of
                              Kubernetes `name=_thrift._tcp.{service}.{group}.svc.cluster.local`

An SRV record's weight becomes the instance's; 0, which in DNS means hardly ever, becomes 1, or the usual weight if all
are 0. Only records with the best (lowest) priority count: those with another are for when all the others are down,
which DNS does not tell. `resolve=true` looks the hosts that SRV records name up as well; that is so by default where
the URL names a resolver, because this machine's may not know them. (With TLS, keep the names: `resolve=false`.)

Names are looked up again when their TTL is over, no sooner than after `min_refresh` (1) and no later than after
`max_refresh` (60) seconds; `timeout` (3) is what one look may take. A name that does not exist, or has no such records,
has no instances, and is looked up again after 5 seconds. A resolver that fails or is silent is a registry that cannot
be reached: what was known stays.

DNS does not tell which names there are, so groups and services cannot be listed.
"""

from idlrt.registry.dns.backend import DnsBackend

__all__ = ["DnsBackend"]
