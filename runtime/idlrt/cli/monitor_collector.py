"""`idlrt monitor serve`, `idlrt monitor query` and `idlrt trace search`: the collector, and what it has stored."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from idlrt.cli.health import TOKEN_VARIABLE
from idlrt.cli.options import Seconds, parse_pair
from idlrt.cli.output import echo, fail, report_errors
from idlrt.cli.receiving_options import receiving_options
from idlrt.cli.registry import print_json
from idlrt.errors import ConfigurationError, RpcError
from idlrt.net.tls import Tls

if TYPE_CHECKING:
    from idlrt.collector.api import Answer, CollectorClient, Group, TraceInfo

__all__ = ["query", "search", "serve"]

_HOUR = 3600.0


@click.command(short_help="Run the collector.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the files with what was collected; it is created.",
)
@receiving_options(7410, "push and query")
@click.option(
    "--keep-share",
    type=click.FloatRange(0, 1),
    default=None,
    metavar="SHARE",
    help="Keep failed, slow and rare traces, and this share of the others.  [default: keep all]",
)
@click.option("--registry", default="", metavar="URL", help="Registry whose changes become marks in plots.")
@click.option(
    "--alerts",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    metavar="FILE",
    help="Rules of alerts and receivers of notifications (TOML); SIGHUP reloads it.  [default: no alerts]",
)
@click.option("--kafka", default="", metavar="HOST:PORT/TOPIC", help="Topic of Kafka to consume.  [default: none]")
@click.option(
    "--kafka-from",
    type=click.Choice(["committed", "beginning"]),
    default="committed",
    show_default=True,
    help="Consume what was not consumed yet, or all that is in the topic.",
)
@click.option("--kafka-group", default="idlrt-collector", metavar="NAME", show_default=True, help="Consumer group.")
@click.option(
    "--kafka-option", "kafka_options", multiple=True, metavar="NAME=VALUE", help="Setting of librdkafka; repeatable."
)
@click.option("--tls-cert", default="", metavar="FILE", help="Server certificate (PEM); enables TLS.")
@click.option("--tls-key", default="", metavar="FILE", help="Key of the certificate, if in a separate file.")
@click.option("--tls-ca", default="", metavar="FILE", help="CA certificates (PEM) for required client certificates.")
@report_errors
def serve(
    data: Path,
    address: str,
    udp: str,
    unix: str,
    tokens: Sequence[str],
    allow: Sequence[str],
    keep_share: float | None,
    registry: str,
    alerts: Path | None,
    kafka: str,
    kafka_from: Literal["committed", "beginning"],
    kafka_group: str,
    kafka_options: Sequence[str],
    tls_cert: str,
    tls_key: str,
    tls_ca: str,
) -> None:
    """Run the collector until Ctrl+C or SIGTERM.

    Programs push metrics to it (`idlrt.collector.push`) and send traces. Browsers see its pages at http://ADDRESS/,
    and `idlrt monitor query` and `idlrt trace search` read the same. Cells of 10 seconds are combined to coarser ones
    as they age, so that a year fits into a file of bounded size.
    """
    from idlrt.collector import DEFAULT_PORT, CollectorServer, TailSampling

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if not tls_cert and (tls_key or tls_ca):
        raise ConfigurationError("--tls-key and --tls-ca require --tls-cert")
    known = [*tokens] or [each for each in (os.environ.get(TOKEN_VARIABLE, ""),) if each]
    server = CollectorServer(
        data,
        address or f"127.0.0.1:{DEFAULT_PORT}",
        udp=udp,
        unix=unix,
        tokens=known,
        allow=allow,
        tls=Tls(certificate=tls_cert, key=tls_key, authorities=tls_ca) if tls_cert else None,
        tail=TailSampling(share=keep_share) if keep_share is not None else None,
        registry=registry,
        alerts=alerts,
        kafka=kafka,
        kafka_from=kafka_from,
        kafka_group=kafka_group,
        kafka_options=dict(parse_pair(each, "--kafka-option") for each in kafka_options),
    )
    if server.alerts is not None and hasattr(signal, "SIGHUP"):
        request_reload = server.alerts.request_reload
        signal.signal(signal.SIGHUP, lambda number, frame: request_reload())

    def is_serving() -> None:
        places = [server.address.removeprefix("tcp://"), server.udp_address, f"unixgram:{unix}" if unix else ""]
        echo(f"the collector is at {', '.join(each for each in places if each)}")

    server.serve(is_serving)


@click.command(short_help="Show what the collector has stored.")
@click.argument("url", metavar="HOST:PORT")
@click.argument("metric", metavar="[METRIC]", default="")
@click.option("--last", type=Seconds(), default=_HOUR, show_default=True, help="Length of the period, in seconds.")
@click.option("--step", type=Seconds(), default=None, help="Length of a row, in seconds.  [default: the whole period]")
@click.option(
    "--by", multiple=True, metavar="NAME", help="Label, or key of the resource, by which to group; repeatable."
)
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="Value that it must have; repeatable.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="Maximum number of groups.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: each group with its values in steps.")
@click.option("--token", default="", metavar="TOKEN", help=f"Token of the collector.  [default: ${TOKEN_VARIABLE}]")
@click.option("--ca", default="", metavar="FILE", help="CA certificates to trust for TLS (PEM).")
@click.option("--timeout", type=Seconds(), default=10.0, show_default=True, help="Time to respond, in seconds.")
@report_errors
def query(url: str, metric: str, as_json: bool, **named: Any) -> None:
    """Show the values of METRIC that the collector at HOST:PORT has stored; without METRIC the names of all metrics.

    Counters are added in each step, gauges have their last value, and histograms their number of values with
    percentiles in seconds. A step in which nothing was measured is a gap, shown as "-".

    \b
    Examples:
      idlrt monitor query 127.0.0.1:7410
      idlrt monitor query 127.0.0.1:7410 rpc_server_call_duration_seconds --by rpc_method
      idlrt monitor query 127.0.0.1:7410 rpc_server_in_flight --by instance --last 600 --step 60

    Exit codes: 0 success; 1 the collector cannot be reached; 2 there is no such metric, or the query is invalid.
    """
    from idlrt.collector.api import CollectorClient, InvalidQuery, Query

    token = named["token"] or os.environ.get(TOKEN_VARIABLE, "")
    tls = Tls(authorities=named["ca"]) if named["ca"] else None
    with CollectorClient.connect(
        url, framing="header", protocol="compact", tls=tls, timeout=named["timeout"], metrics=False
    ) as connected:
        client = connected.using(metadata={"authorization": token}) if token else connected
        if not metric:
            try:
                _show_metrics(client, as_json=as_json)
            except RpcError as error:
                fail(str(error), 1)
            return
        now = time.time()
        by = list(named["by"])
        wanted = Query(
            metric=metric,
            start=now - named["last"],
            end=now,
            step=named["step"],
            where=dict(parse_pair(each, "--where") for each in named["where"]),
            by=by,
            limit=named["limit"],
        )
        try:
            answer = client.query(wanted)
        except InvalidQuery as error:
            fail(error.message, 2)
        except RpcError as error:
            fail(str(error), 1)
    if as_json:
        print_json(_as_json(answer, by))
    elif named["step"] is None:
        _show_totals(answer, by)
    else:
        _show_steps(answer, by)


def _show_metrics(client: CollectorClient, *, as_json: bool) -> None:
    found = sorted(client.metrics(), key=lambda each: each.name)
    if as_json:
        print_json(
            [
                {"name": each.name, "kind": each.kind.name.lower(), "labels": each.labels, "help": each.help}
                for each in found
            ]
        )
        return
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        echo(f"{each.name:<{width}}  {each.kind.name.lower():<9}  {each.help or ''}".rstrip())


def _as_json(answer: Answer, by: Sequence[str]) -> Any:
    """Return an answer for JSON, which has no NaN."""

    def numbers(values: Sequence[float] | None) -> list[float | None] | None:
        return None if values is None else [None if math.isnan(each) else each for each in values]

    groups: list[dict[str, Any]] = []
    for group in answer.groups:
        fields = {
            "values": group.values,
            "p50_s": group.p50,
            "p90_s": group.p90,
            "p99_s": group.p99,
            "max_s": group.max,
        }
        shown = {name: numbers(each) for name, each in fields.items() if each is not None}
        groups.append({"key": dict(zip(by, group.key, strict=True)), "total": group.total, **shown})
    kind = answer.metric.kind.name.lower()
    return {"metric": answer.metric.name, "kind": kind, "start": answer.start, "step_s": answer.step, "groups": groups}


def _show_totals(answer: Answer, by: Sequence[str]) -> None:
    """Print one row for each group."""
    names = list(by) or ["all"]
    has_durations = any(each.p99 is not None for each in answer.groups)
    rows = [[*names, "total", *(("p50", "p90", "p99", "max") if has_durations else ())]]
    for each in answer.groups:
        key = list(each.key) or ["all"]
        rows.append([*key, _number(each.total), *(_overall(each) if has_durations else ())])
    _print(rows, len(names))


def _overall(group: Group) -> list[str]:
    found = group.overall
    if found is None:
        return ["-"] * 4
    return [_duration(each) for each in (found.p50, found.p90, found.p99, found.max)]


def _show_steps(answer: Answer, by: Sequence[str]) -> None:
    """Print one row for each step of each group."""
    names = ["time", *(list(by) or ["all"])]
    has_durations = any(each.p99 is not None for each in answer.groups)
    rows = [[*names, "value", *(("p50", "p90", "p99", "max") if has_durations else ())]]
    for group in answer.groups:
        key = list(group.key) or ["all"]
        for at, value in enumerate(group.values):
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(answer.start + at * answer.step))
            durations = [_duration(part[at]) if part else "-" for part in (group.p50, group.p90, group.p99, group.max)]
            rows.append([clock, *key, _number(value), *(durations if has_durations else ())])
    _print(rows, len(names))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}" if value.is_integer() else f"{value:,.3f}"


def _duration(value: float) -> str:
    from idlrt.web.formats import duration

    return "-" if math.isnan(value) else duration(value)


def _print(rows: Sequence[Sequence[str]], left: int) -> None:
    """Print rows as a table, whose first columns are aligned to the left."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = [each.ljust(width) for each, width in zip(row[:left], widths, strict=False)]
        cells += [each.rjust(width) for each, width in zip(row[left:], widths[left:], strict=True)]
        echo("  ".join(cells).rstrip())


@click.command(short_help="Find traces in a collector.")
@click.argument("url", metavar="HOST:PORT")
@click.argument("trace_id", metavar="[TRACE_ID]", default="")
@click.option("--last", type=Seconds(), default=_HOUR, show_default=True, help="Length of the period, in seconds.")
@click.option("--service", default="", metavar="NAME", help="Name of a program with a span in the trace.")
@click.option("--operation", default="", metavar="NAME", help="Name of a span of that program.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag or attribute; repeatable.")
@click.option("--slower", type=Seconds(zero=True), default=0.0, metavar="SECONDS", help="Minimum duration.")
@click.option("--failed", is_flag=True, help="Only traces with a span that failed.")
@click.option("--slowest", is_flag=True, help="Print the slowest traces first, not the newest.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of traces.")
@click.option("--attributes", is_flag=True, help="Print the attributes of spans, too; requires TRACE_ID.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--token", default="", metavar="TOKEN", help=f"Token of the collector.  [default: ${TOKEN_VARIABLE}]")
@click.option("--ca", default="", metavar="FILE", help="CA certificates to trust for TLS (PEM).")
@click.option("--timeout", type=Seconds(), default=10.0, show_default=True, help="Time to respond, in seconds.")
@report_errors
def search(url: str, trace_id: str, as_json: bool, attributes: bool, **named: Any) -> None:
    """Find traces in the collector at HOST:PORT, or print the tree of TRACE_ID.

    Traces are found once they have been complete for 10 seconds; TRACE_ID also before. With --service or --operation,
    --slower and --failed apply to the spans of these, otherwise to the whole trace.

    \b
    Examples:
      idlrt trace search 127.0.0.1:7410 --service shop --failed
      idlrt trace search 127.0.0.1:7410 --tag user=42 --slower 0.2
      idlrt trace search 127.0.0.1:7410 4bf92f3577b34da6a3ce929d0e0e4736

    Exit codes: 0 success; 1 there is no such trace, or the collector cannot be reached; 2 the search is invalid.
    """
    from idlrt.collector.api import CollectorClient, InvalidQuery, TraceSearch

    token = named["token"] or os.environ.get(TOKEN_VARIABLE, "")
    tls = Tls(authorities=named["ca"]) if named["ca"] else None
    now = time.time()
    with CollectorClient.connect(
        url, framing="header", protocol="compact", tls=tls, timeout=named["timeout"], metrics=False
    ) as connected:
        client = connected.using(metadata={"authorization": token}) if token else connected
        wanted = TraceSearch(
            start=now - named["last"],
            end=now + 1,
            service=named["service"],
            operation=named["operation"],
            tags=dict(parse_pair(each, "--tag") for each in named["tags"]),
            min_duration=named["slower"],
            failed=named["failed"],
            slowest=named["slowest"],
            limit=named["limit"],
        )
        try:
            if trace_id:
                _show_trace(client.trace(trace_id), trace_id, as_json=as_json, has_attributes=attributes)
            else:
                _show_found(client.search(wanted), as_json=as_json)
        except InvalidQuery as error:
            fail(error.message, 2)
        except RpcError as error:
            fail(str(error), 1)


def _show_found(found: Sequence[TraceInfo], *, as_json: bool) -> None:
    if as_json:
        names = ("trace_id", "started_at", "duration", "service", "operation", "spans", "failed")
        print_json([{name: getattr(each, name) for name in names} for each in found])
        return
    rows = [["time", "trace", "root", "duration", "spans", "failed"]]
    for each in found:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(each.started_at))
        root = f"{each.service}: {each.operation}"
        rows.append([clock, each.trace_id, root, _duration(each.duration), str(each.spans), str(each.failed)])
    _print(rows, 3)


def _show_trace(spans: bytes, trace_id: str, *, as_json: bool, has_attributes: bool) -> None:
    import msgspec

    from idlrt.observe.tracing.span_pages import SpanRecord
    from idlrt.observe.tracing.waterfall import waterfall
    from idlrt.tools.traces import tree_lines

    found = msgspec.msgpack.decode(spans, type=list[SpanRecord])
    if as_json:
        print_json(found)
    if not found:
        fail(f"no spans of the trace {trace_id} are known", 1)
    if not as_json:
        for line in tree_lines(waterfall(found), trace_id, has_attributes=has_attributes):
            echo(line)
