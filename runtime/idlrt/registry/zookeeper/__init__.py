"""ZooKeeper as a registry: `zookeeper://h1:2181,h2:2181/chroot?timeout=6&layout=idlrt`. Needs `kazoo`.

From the bottom up: `client` is the one place that knows kazoo, `connection` what it means to be connected, `session`
what can be asked, `tree` what nodes look like now, `layouts` (and `motan`, `dubbo`) where services stand in them,
`backend` puts it together.
"""

from idlrt.registry.zookeeper.backend import ZooKeeperBackend

__all__ = ["ZooKeeperBackend"]
