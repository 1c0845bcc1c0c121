"""A ZooKeeper for all tests of this folder."""

from zookeeper_server import zookeeper

__all__ = ["zookeeper"]
