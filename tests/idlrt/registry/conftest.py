"""Makes `zookeeper_server` and `fault_proxy` importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "faults"))
