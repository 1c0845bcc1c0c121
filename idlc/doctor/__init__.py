"""Check of the installation: the implementation of `idlc doctor`.

`examine` collects facts into a `Installation`, which derives findings from them; `render` and `to_json` format it. The
package uses only the standard library, because it must run where dependencies are missing, including `packaging`.
"""

from idlc.doctor.examine import examine
from idlc.doctor.installation import Finding, Installation
from idlc.doctor.render import render, to_json

__all__ = ["Finding", "Installation", "examine", "render", "to_json"]
