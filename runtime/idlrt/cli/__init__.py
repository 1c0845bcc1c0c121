"""The command line `idlrt`. It decides what to print and which exit code to give; the work is in `idlrt.tools`, and in
the packages that it is about.

Exit codes: 0 all went well, 1 the call failed (or some of them), 2 wrong usage, wrong IDL, nobody there to ask.
Results go to standard output, all else to standard error.
"""

from idlrt.cli.commands import main
from idlrt.cli.governance import config
from idlrt.cli.registry import registry
from idlrt.cli.routing import route

__all__ = ["main"]

main.add_command(config)
main.add_command(registry)
main.add_command(route)
