"""`idlrt monitor alerts`, `idlrt monitor silence` and `idlrt monitor check`: alerts of a collector."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idlrt.cli.health import TOKEN_VARIABLE
from idlrt.cli.options import Seconds
from idlrt.cli.output import Command, Group, echo, fail, report_errors
from idlrt.cli.registry import print_json
from idlrt.errors import ConfigurationError, RpcError
from idlrt.net.tls import Tls
from idlrt.printable import plural

if TYPE_CHECKING:
    from idlrt.collector.api import AlertChange, AlertInfo, CollectorClient, SilenceInfo

__all__ = ["alerts", "check", "silence"]

_FIRING = ("firing", "keeping")


def _collector_options(command: Command) -> Command:
    """Add the options of commands that call a collector."""
    options = [
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--token", default="", metavar="TOKEN", help=f"Token of the collector.  [default: ${TOKEN_VARIABLE}]"
        ),
        click.option("--ca", default="", metavar="FILE", help="CA certificates to trust for TLS (PEM)."),
        click.option("--timeout", type=Seconds(), default=10.0, show_default=True, help="Time to respond, in seconds."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def _connected(url: str, token: str, ca: str, timeout: float) -> Generator[CollectorClient]:
    """Connect to a collector. Failures end the command with code 2."""
    from idlrt.collector.api import CollectorClient, InvalidQuery

    token = token or os.environ.get(TOKEN_VARIABLE, "")
    tls = Tls(authorities=ca) if ca else None
    with CollectorClient.connect(
        url, framing="header", protocol="compact", tls=tls, timeout=timeout, metrics=False
    ) as connected:
        try:
            yield connected.using(metadata={"authorization": token}) if token else connected
        except InvalidQuery as error:
            fail(error.message, 2)
        except RpcError as error:
            fail(str(error), 2)


@click.command(short_help="Show the alerts of a collector.")
@click.argument("url", metavar="HOST:PORT")
@click.option("--firing", is_flag=True, help="Show only alerts that fire.")
@click.option("--history", type=click.IntRange(1, 1000), default=None, metavar="NUMBER", help="Show the last changes.")
@click.option("--check", is_flag=True, help="Exit with status 1 if an alert fires that is not silenced.")
@_collector_options
@report_errors
def alerts(
    url: str, firing: bool, history: int | None, check: bool, as_json: bool, token: str, ca: str, timeout: float
) -> None:
    """Show the states of the alerts of the collector at HOST:PORT, those that fire first.

    \b
    Examples:
      idlrt monitor alerts 127.0.0.1:7410
      idlrt monitor alerts 127.0.0.1:7410 --firing --check
      idlrt monitor alerts 127.0.0.1:7410 --history 20

    Exit codes: 0 success; 1 with --check, an alert fires; 2 the collector cannot be reached, or has no alerts.
    """
    if history is not None and (firing or check):
        raise click.UsageError("--history has no --firing and no --check")
    with _connected(url, token, ca, timeout) as client:
        if history is not None:
            _show_history(client.alert_history(history), as_json=as_json)
            return
        found = client.alerts()
    shown = [each for each in found if each.state in _FIRING] if firing else found
    if as_json:
        names = list(shown[0].__struct_fields__) if shown else []
        print_json([{name: getattr(each, name) for name in names} for each in shown])
    else:
        _show_alerts(shown)
    if check and any(each.state in _FIRING and not each.silenced_by for each in found):
        raise click.exceptions.Exit(1)


def _show_alerts(found: Sequence[AlertInfo]) -> None:
    rows = [["state", "alert", "labels", "value", "threshold", "since", "note"]]
    for each in found:
        note = each.error or (f"silenced by {', '.join(each.silenced_by)}" if each.silenced_by else each.reason)
        value, threshold = each.value_text or "-", each.threshold_text or each.condition
        since = _clock(each.since) if each.since else "-"
        rows.append([each.state, each.rule, _labels(each.labels), value, threshold, since, note])
    _print(rows)


def _labels(labels: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in labels.items() if name != "alertname") or "-"


def _show_history(found: Sequence[AlertChange], *, as_json: bool) -> None:
    if as_json:
        names = ("at", "rule", "labels", "before", "after", "value_text", "threshold_text", "reason")
        print_json([{name: getattr(each, name) for name in names} for each in found])
        return
    rows = [["time", "alert", "labels", "change", "value", "threshold", "note"]]
    for each in found:
        change = f"{each.before} -> {each.after}"
        value, threshold = each.value_text or "-", each.threshold_text or "-"
        rows.append([_clock(each.at), each.rule, _labels(each.labels), change, value, threshold, each.reason])
    _print(rows)


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        echo("  ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)).rstrip())


class _Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic only since click 8.3
    """Duration such as `2 h`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds.

        Raises:
            click.BadParameter: it is no duration.
        """
        from idlrt.collector.alerts import parse_duration

        try:
            return value if isinstance(value, float) else parse_duration(str(value))
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


@click.group(cls=Group, short_help="Hold back notifications of alerts.")
def silence() -> None:
    """Hold back notifications of alerts for a time. The states of silenced alerts change as ever.

    \b
    Examples:
      idlrt monitor silence add 127.0.0.1:7410 service=shop --for 2h --comment "moving the database"
      idlrt monitor silence list 127.0.0.1:7410
      idlrt monitor silence end 127.0.0.1:7410 9f86d081884c7d65
    """


@silence.command(short_help="Add a silence.")
@click.argument("url", metavar="HOST:PORT")
@click.argument("matchers", metavar="MATCHER...", nargs=-1, required=True)
@click.option("--for", "duration", type=_Duration(), required=True, metavar="DURATION", help="Its length, such as 2h.")
@click.option("--comment", required=True, metavar="TEXT", help="Reason of the silence.")
@click.option("--author", default="", metavar="NAME", help="Author of the silence.  [default: $USER]")
@_collector_options
@report_errors
def add(
    url: str,
    matchers: Sequence[str],
    duration: float,
    comment: str,
    author: str,
    as_json: bool,
    token: str,
    ca: str,
    timeout: float,
) -> None:
    """Hold back notifications of all alerts whose labels match every MATCHER, and print the id of the silence.

    MATCHER is NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX; a regular expression must match the whole value.

    Exit codes: 0 success; 2 a matcher is invalid, or the collector cannot be reached, or has no alerts.
    """
    from idlrt.collector.api import SilenceInfo

    author = author or os.environ.get("USER", "") or os.environ.get("LOGNAME", "")
    if not author:
        raise click.UsageError("--author is required: neither $USER nor $LOGNAME is set")
    with _connected(url, token, ca, timeout) as client:
        wanted = SilenceInfo(matchers=list(matchers), ends_at=time.time() + duration, author=author, comment=comment)
        made = client.add_silence(wanted)
    if as_json:
        print_json(_silence(made))
    else:
        echo(made.id or "")


@silence.command(name="list", short_help="List silences.")
@click.argument("url", metavar="HOST:PORT")
@click.option("--all", "show_all", is_flag=True, help="Include those that have ended in the last 5 days.")
@_collector_options
@report_errors
def list_silences(url: str, show_all: bool, as_json: bool, token: str, ca: str, timeout: float) -> None:
    """List the silences of the collector at HOST:PORT.

    Exit codes: 0 success; 2 the collector cannot be reached, or has no alerts.
    """
    with _connected(url, token, ca, timeout) as client:
        found = client.silences()
    now = time.time()
    shown = [each for each in found if show_all or each.ends_at > now]
    if as_json:
        print_json([_silence(each) for each in shown])
        return
    rows = [["id", "matchers", "start", "end", "author", "comment"]]
    for each in shown:
        start = _clock(each.starts_at) if each.starts_at is not None else "-"
        rows.append([each.id or "", " ".join(each.matchers), start, _clock(each.ends_at), each.author, each.comment])
    _print(rows)


@silence.command(short_help="End a silence.")
@click.argument("url", metavar="HOST:PORT")
@click.argument("id", metavar="ID")
@_collector_options
@report_errors
def end(url: str, id: str, as_json: bool, token: str, ca: str, timeout: float) -> None:
    """End the silence with ID now. Notifications that it held back follow.

    Exit codes: 0 success; 2 there is no such silence, or the collector cannot be reached.
    """
    with _connected(url, token, ca, timeout) as client:
        ended = client.end_silence(id)
    if as_json:
        print_json(_silence(ended))
    else:
        echo(f"ended {ended.id}")


def _silence(found: SilenceInfo) -> dict[str, Any]:
    names = ("id", "matchers", "starts_at", "ends_at", "author", "comment")
    return {name: getattr(found, name) for name in names}


@click.command(short_help="Check a file with rules of alerts.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@report_errors
def check(file: Path) -> None:
    """Check FILE, the rules of alerts of `idlrt monitor serve --alerts FILE`, without a collector.

    All problems are printed, with their lines. A metric need not exist yet.

    Exit codes: 0 no problems; 2 the file cannot be read, or is invalid.
    """
    from idlrt.collector.alerts import read_rules

    found = read_rules(file)
    receivers = plural(len(found.receivers), "receiver")
    echo(f"{file}: OK ({plural(len(found.rules), 'alert')}, {receivers})")
