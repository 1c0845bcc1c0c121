"""Makes importable what these tests share with others: `fault_proxy`, `hand_written`, `registry_process`, `churn`."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
for folder in (TESTS / "faults", TESTS / "idlrt" / "testing", TESTS / "idlrt" / "registry", Path(__file__).parent):
    sys.path.insert(0, str(folder))
