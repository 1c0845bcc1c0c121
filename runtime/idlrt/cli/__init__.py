"""The command line `idlrt`: output and exit codes; the logic is in `idlrt.tools` and the packages concerned.

Exit codes: 0 success; 1 at least one call failed; 2 usage error, invalid IDL, or unreachable registry. Results go to
standard output, everything else to standard error.
"""

from idlrt.cli.commands import main
from idlrt.cli.governance import config
from idlrt.cli.registry import registry
from idlrt.cli.routing import route

__all__ = ["main"]

main.add_command(config)
main.add_command(registry)
main.add_command(route)
