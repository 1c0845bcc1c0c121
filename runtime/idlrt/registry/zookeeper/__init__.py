"""ZooKeeper as a registry: `zookeeper://h1:2181,h2:2181/chroot?timeout=6&layout=idlrt`. Requires `kazoo`.

Layers from the bottom up: `client` wraps kazoo, `connection` tracks the state of the connection and the session,
`session` sends requests, `tree` maintains a watched copy of nodes, `layouts` (with `motan` and `dubbo`) map services to
paths, `backend` combines them.
"""

from idlrt.registry.zookeeper.backend import ZooKeeperBackend

__all__ = ["ZooKeeperBackend"]
