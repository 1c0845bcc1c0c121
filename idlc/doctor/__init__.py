"""What this installation is, and what is missing: the logic of `idlc doctor`.

`examine` looks, `Condition` is what it saw and what that means, `render` and `to_json` say it. Only the standard
library is taken for granted: this must run where dependencies are missing, `packaging` included.
"""

from idlc.doctor.condition import Condition, Finding
from idlc.doctor.examine import examine
from idlc.doctor.render import render, to_json

__all__ = ["Condition", "Finding", "examine", "render", "to_json"]
