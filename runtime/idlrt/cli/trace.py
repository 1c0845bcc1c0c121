"""`idlrt trace`: calls and traces of servers."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from idlrt.cli.health import TOKEN_VARIABLE
from idlrt.cli.options import Seconds
from idlrt.cli.output import Command, Group, echo, fail, report_errors
from idlrt.cli.registry import print_json
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls

if TYPE_CHECKING:
    from idlrt.observe.tracing.span_pages import SpanRecord
    from idlrt.tools.instances import PageReader
    from idlrt.tools.traces import NothingReadable

__all__ = ["trace"]

_FAILED = 2
_NOT_FOUND = 1


@click.group(cls=Group, short_help="Show recorded calls and traces.")
def trace() -> None:
    """Show recorded calls and traces, from the admin ports of servers that trace.

    \b
    Examples:
      idlrt trace tail 127.0.0.1:9901 --failed
      idlrt trace tail embedded://127.0.0.1:7400/UserService --slower 0.1
      idlrt trace show 10.0.0.7:9901 10.0.0.8:9901 4bf92f3577b34da6a3ce929d0e0e4736
    """


def _reading(command: Command) -> Command:
    """Add the options of commands that read admin ports."""
    for option in (
        click.option("--ca", default="", metavar="FILE", help="CA certificates to trust for https (PEM)."),
        click.option(
            "--token", default="", metavar="TOKEN", help=f"Token of the admin ports.  [default: ${TOKEN_VARIABLE}]"
        ),
        click.option(
            "--timeout",
            type=Seconds(),
            default=2.0,
            show_default=True,
            help="Time for an instance to respond, in seconds.",
        ),
    ):
        command = option(command)
    return command


@trace.command(short_help="Print calls as they are recorded.")
@click.argument("sources", metavar="URL...", nargs=-1, required=True)
@click.option("--failed", is_flag=True, help="Print failed calls only.")
@click.option("--slower", type=Seconds(), default=None, metavar="SECONDS", help="Minimum duration, in seconds.")
@click.option("--method", default="", metavar="TEXT", help="Text that the name of the method must contain.")
@click.option("--status", default="", metavar="CODE", help="Status code, such as deadline_exceeded.")
@click.option("--tag", "tags", multiple=True, metavar="NAME:VALUE", help="Business tag of the calls; repeatable.")
@click.option("--interval", type=Seconds(), default=1.0, show_default=True, help="Time between polls, in seconds.")
@click.option("--once", is_flag=True, help="Print the recorded calls and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@_reading
@report_errors
def tail(sources: tuple[str, ...], once: bool, as_json: bool, **named: Any) -> None:
    """Print the last 10 recorded calls of all instances at URL..., then new ones, until Ctrl+C.

    URL is the admin port of a server (host:port, http://, https://, unix:/path; a port alone is one of 127.0.0.1), or a
    service of a registry, as in embedded://127.0.0.1:7400/UserService. Calls that were not sampled are recorded only if
    they fail or are slow. Times are UTC.

    Exit codes: 0 after --once or Ctrl+C; 2 if no instance could be read at first.
    """
    from idlrt.tools.instances import Targets
    from idlrt.tools.traces import NothingReadable, Search, Tail, TraceReader, heading, repeat

    for each in named["tags"]:
        if not each.partition(":")[1]:
            raise ConfigurationError(f"invalid --tag {each!r}: expected NAME:VALUE")
    search = Search(
        is_failed=named["failed"],
        min_s=named["slower"] or 0.0,
        method=named["method"],
        status=named["status"],
        tags=named["tags"],
    )
    pages = _pages(named)
    try:
        with Targets(sources) as targets:
            calls = Tail(TraceReader(targets.read, pages), search)
            if not as_json:
                echo(heading())
            if once:
                spans, messages = calls.first(search.limit)
                for each in messages:
                    _complain(each)
                _print(spans, as_json=as_json)
            else:
                repeat(calls, named["interval"], lambda spans: _print(spans, as_json=as_json), _complain)
    except NothingReadable as error:
        _give_up(error)
    except KeyboardInterrupt:
        sys.exit(0)


@trace.command(short_help="Print the tree of one trace.")
@click.argument("sources", metavar="URL...", nargs=-1, required=True)
@click.argument("trace_id", metavar="TRACE_ID")
@click.option("--attributes", is_flag=True, help="Print the attributes of spans, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_reading
@report_errors
def show(sources: tuple[str, ...], trace_id: str, attributes: bool, as_json: bool, **named: Any) -> None:
    """Print the spans of a trace, put together from all instances at URL... (see `idlrt trace tail`).

    A span of an instance that was not asked, or that was replaced by newer ones, is missing; its children are marked
    with "parent unknown". SELF is the time in which no child was running. A server span whose clock differs from that
    of its caller is moved into the call, and marked with "clock corrected".

    Exit codes: 0 if there are spans, 1 if there are none, 2 if no instance could be read.
    """
    from idlrt.observe.tracing.waterfall import waterfall
    from idlrt.tools.instances import Targets
    from idlrt.tools.traces import NothingReadable, TraceReader, tree_lines

    if not re.fullmatch("[0-9a-f]{32}", trace_id):
        raise ConfigurationError(f"invalid TRACE_ID {trace_id!r}: expected 32 lower-case hex digits")
    pages = _pages(named)
    try:
        with Targets(sources) as targets:
            found = TraceReader(targets.read, pages).trace(trace_id)
    except NothingReadable as error:
        _give_up(error)
    for name, text in found.errors.items():
        _complain(f"{name}: {text}")
    if as_json:
        print_json(found.spans)
    if not found.spans:
        fail(f"no spans of the trace {trace_id} are known", _NOT_FOUND)
    if not as_json:
        for line in tree_lines(waterfall(found.spans), trace_id, has_attributes=attributes):
            echo(line)


def _pages(named: dict[str, Any]) -> PageReader:
    """Return the reader of pages that the options describe.

    Raises:
        ConfigurationError: an option is invalid.
    """
    from idlrt.tools.instances import PageReader

    token = named["token"] or os.environ.get(TOKEN_VARIABLE, "")
    if not token.isascii() or not token.isprintable():
        raise ConfigurationError(f"--token and {TOKEN_VARIABLE} must consist of printable ASCII characters")
    tls = Tls(authorities=named["ca"]) if named["ca"] else None
    return PageReader(token=token, tls=tls, timeout=named["timeout"], user_agent="idlrt-trace")


def _print(spans: Sequence[SpanRecord], *, as_json: bool) -> None:
    from idlrt.tools.traces import call_line

    if not as_json:
        for each in spans:
            echo(call_line(each))
        return
    import msgspec

    from idlrt.printable import escape_json

    for each in spans:
        click.echo(escape_json(msgspec.json.encode(each).decode()))


def _complain(text: str) -> None:
    echo(f"idlrt: {text}", err=True)


def _give_up(error: NothingReadable) -> NoReturn:
    for name, text in error.errors.items():
        _complain(f"{name}: {text}")
    fail(str(error), _FAILED)
