"""Makes `hand_written`, the table that these tests share, importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "idlrt" / "testing"))
