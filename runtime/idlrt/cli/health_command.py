"""The command `idlrt health` as click sees it: its help, and usage errors.

The program runs the command without click where it can (`idlrt.cli.health`).
"""

from __future__ import annotations

import sys

import click

from idlrt.cli.health import DEFAULT_TIMEOUT, parse_url, probe
from idlrt.cli.options import Seconds
from idlrt.cli.output import fail

__all__ = ["health"]


@click.command(short_help="Check the health of a server.")
@click.argument("url", metavar="URL")
@click.option(
    "--timeout", type=Seconds(), default=DEFAULT_TIMEOUT, show_default=True, help="Time for the check, in seconds."
)
@click.option("--verbose", "-v", is_flag=True, help="Print the response.")
def health(url: str, timeout: float, verbose: bool) -> None:
    """Request URL, and exit with 0 if the status is between 200 and 399, otherwise with 1 and a line that says why.

    URL is a page of the admin port of a server (`serve --admin`), or of any other HTTP server. Without a path it is
    /readyz, without a scheme http; a port alone is one of 127.0.0.1. The variable IDLRT_ADMIN_TOKEN has the token, if
    the server needs one. The command is made for probes (exec probes of Kubernetes, HEALTHCHECK of Docker): it starts
    fast.
    """
    try:
        target = parse_url(url)
    except ValueError as error:
        fail(str(error), 2)
    sys.exit(probe(target, timeout, is_verbose=verbose))
