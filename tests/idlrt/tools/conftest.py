"""Makes importable what these tests share with those of registries: servers of each kind."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
for folder in (TESTS / "idlrt" / "registry", TESTS / "idlrt" / "embedded"):
    sys.path.insert(0, str(folder))
