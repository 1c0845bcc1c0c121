"""The command line `idlrt`: output and exit codes; the logic is in `idlrt.tools` and the packages concerned.

Exit codes: 0 success; 1 at least one call failed; 2 usage error, invalid IDL, or unreachable registry. Results go to
standard output, everything else to standard error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports

if TYPE_CHECKING:
    from idlrt.cli.program import main

__all__ = ["main", "run"]


def run() -> None:
    """Run the command that `sys.argv` has. The entry point of the program.

    `idlrt health` is run every few seconds, with a timeout of a second, so it starts without the other commands and the
    libraries that they need.
    """
    if sys.argv[1:2] == ["health"]:
        from idlrt.cli.health import probe_by

        code = probe_by(sys.argv[2:])
        if code is not None:
            sys.exit(code)
    from idlrt.cli.program import main

    main(prog_name="idlrt")


if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {".program": ("main",)})
