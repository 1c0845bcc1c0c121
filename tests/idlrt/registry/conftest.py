"""Makes the servers that these tests start importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
