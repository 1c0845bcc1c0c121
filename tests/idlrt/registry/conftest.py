"""ZooKeeper server shared by the tests of this folder."""

from zookeeper_server import zookeeper

__all__ = ["zookeeper"]
