"""Makes the servers that these tests start importable, and gives all tests here a ZooKeeper."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "faults"))

from zookeeper_server import zookeeper

__all__ = ["zookeeper"]
