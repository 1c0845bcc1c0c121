"""`idlrt monitor`: figures of calls, live."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Generator
from typing import Any

import click

from idlrt.cli.health import TOKEN_VARIABLE
from idlrt.cli.options import Seconds
from idlrt.cli.output import Group, echo, fail, report_errors
from idlrt.cli.registry import print_json
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls
from idlrt.observe.figures import DIMENSIONS, SIDES

__all__ = ["monitor"]

_SORTS = ("name", "pv", "qps", "errors", "in_flight", "avg", "p50", "p90", "p99", "p999", "max", "uptime")
_FAILED = 2


@click.group(cls=Group, short_help="Show and collect figures of calls.")
def monitor() -> None:
    """Show and collect figures of calls: their number, latency and errors.

    \b
    Examples:
      idlrt monitor top 127.0.0.1:9901
      idlrt monitor top embedded://127.0.0.1:7400/UserService --by instance
      idlrt monitor top --once --json 10.0.0.7:9901 10.0.0.8:9901
      idlrt monitor serve --data monitor
    """


@monitor.command(short_help="Show figures of instances, live.")
@click.argument("sources", metavar="URL...", nargs=-1, required=True)
@click.option("--side", type=click.Choice(list(SIDES)), default="server", show_default=True, help="Calls to show.")
@click.option("--by", type=click.Choice(DIMENSIONS), default="method", show_default=True, help="Dimension of the rows.")
@click.option(
    "--sort", type=click.Choice(_SORTS), default="qps", show_default=True, help="Column by which rows are sorted."
)
@click.option("--limit", type=click.IntRange(0), default=0, metavar="NUMBER", help="Maximum number of rows; 0: all.")
@click.option("--filter", "filter_text", default="", metavar="TEXT", help="Text that names of rows must contain.")
@click.option("--interval", type=Seconds(), default=1.0, show_default=True, help="Time between polls, in seconds.")
@click.option(
    "--timeout", type=Seconds(), default=2.0, show_default=True, help="Time for an instance to respond, in seconds."
)
@click.option("--once", is_flag=True, help="Print the table once, after one interval, and exit.")
@click.option("--since-start", is_flag=True, help="Show figures since the start of the instances.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; requires --once.")
@click.option("--token", default="", metavar="TOKEN", help=f"Token of the admin ports.  [default: ${TOKEN_VARIABLE}]")
@click.option("--ca", default="", metavar="FILE", help="CA certificates to trust for https (PEM).")
@report_errors
def top(sources: tuple[str, ...], once: bool, as_json: bool, **named: Any) -> None:
    """Show number, latency and errors of the calls of all instances at URL..., until the key q or Ctrl+C.

    URL is the admin port of a server (host:port, http://, https://, unix:/path; a port alone is one of 127.0.0.1), or a
    service of a registry, as in embedded://127.0.0.1:7400/UserService: all its instances that announce their admin
    port. Percentiles are those of all instances together.

    The key ? lists the keys. If standard output is not a terminal, a table is printed every interval.

    Exit codes: 0 after --once, q or Ctrl+C; 2 if no instance could be read at first.
    """
    from idlrt.tools.top import CellsReader, NothingReadable, Poller, Targets, View

    if as_json and not once:
        raise click.UsageError("--json requires --once")
    token = named["token"] or os.environ.get(TOKEN_VARIABLE, "")
    if not token.isascii() or not token.isprintable():
        raise ConfigurationError(f"--token and {TOKEN_VARIABLE} must consist of printable ASCII characters")
    tls = Tls(authorities=named["ca"]) if named["ca"] else None
    reader = CellsReader(token=token, tls=tls, timeout=named["timeout"])
    view = View(
        side=named["side"],
        by=named["by"],
        sort=named["sort"],
        limit=named["limit"],
        filter=named["filter_text"],
        interval=named["interval"],
        is_since_start=named["since_start"],
    )
    try:
        with _without_logs(), Targets(sources) as targets:
            _show(Poller(targets.read, reader.read, timeout=named["timeout"]), view, once=once, as_json=as_json)
    except NothingReadable as error:
        for reason in error.reasons:
            echo(f"idlrt: {reason}", err=True)
        fail(str(error), _FAILED)
    except KeyboardInterrupt:
        sys.exit(0)


def _show(poller: Any, view: Any, *, once: bool, as_json: bool) -> None:
    from idlrt.tools.top import once_as_json, once_as_text, repeat, watch

    if once and as_json:
        print_json(once_as_json(poller, view))
    elif once:
        echo("\n".join(once_as_text(poller, view)))
    elif _is_terminal():
        watch(poller, view)
    else:
        repeat(poller, view, echo)


def _is_terminal() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        from idlrt.tools.top.terminal import is_usable
    except ImportError:  # there is no `curses` on Windows
        return False
    return is_usable()


@contextlib.contextmanager
def _without_logs() -> Generator[None]:
    """Keep log records off the screen: errors are part of it."""
    logger = logging.getLogger("idlrt")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
