"""Check of the installation: the implementation of `idlc doctor`.

`examine` collects facts into a `Condition`, which derives findings from them; `render` and `to_json` format it. The
package uses only the standard library, because it must run where dependencies are missing, including `packaging`.
"""

from idlc.doctor.condition import Condition, Finding
from idlc.doctor.examine import examine
from idlc.doctor.render import render, to_json

__all__ = ["Condition", "Finding", "examine", "render", "to_json"]
