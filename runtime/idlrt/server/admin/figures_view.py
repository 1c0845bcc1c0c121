"""Figures and history, as `/figures` and `/history` have them, as tables, tiles and plots of the web kit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from idlrt.web import Column, Link, Plot, PlotSeries, Table, ViewState
from idlrt.web.formats import Unit, duration

__all__ = [
    "PERIODS",
    "PLOTS",
    "bucket_table",
    "caller_table",
    "code_table",
    "history_table",
    "method_table",
    "tiles",
]

Figures: TypeAlias = Mapping[str, Any]
Tile: TypeAlias = tuple[str, float | None, Unit, str | None]

PERIODS: Final = (("60", "1 min"), ("300", "5 min"), ("900", "15 min"), ("all", "since start"))
"""Values and texts of the parameter `period`."""

_HISTORY: Final = "history"
_SPAN_S: Final = 900.0

PLOTS: Final = (
    Plot(
        id="plot-qps",
        title="Calls per second",
        unit="rate",
        table=_HISTORY,
        series=(PlotSeries("qps", "calls"),),
        span_s=_SPAN_S,
    ),
    Plot(
        id="plot-errors",
        title="Error rate",
        unit="share",
        table=_HISTORY,
        series=(PlotSeries("error_rate", "errors"),),
        span_s=_SPAN_S,
    ),
    Plot(
        id="plot-durations",
        title="Duration",
        unit="duration",
        table=_HISTORY,
        series=(PlotSeries("p50_s", "p50"), PlotSeries("p90_s", "p90"), PlotSeries("p99_s", "p99")),
        span_s=_SPAN_S,
    ),
    Plot(
        id="plot-in-flight",
        title="Calls in flight",
        unit="number",
        table=_HISTORY,
        series=(PlotSeries("in_flight", "calls"),),
        span_s=_SPAN_S,
    ),
)
"""The plots of the last 15 minutes."""

_CALLS: Final = (
    Column(key="qps", title="Calls/s", unit="rate"),
    Column(key="pv", title="Calls", unit="number"),
    Column(key="errors", title="Errors", unit="number"),
    Column(key="error_rate", title="Error rate", unit="share"),
)
_METHODS: Final = (
    Column(key="method", title="Method"),
    *_CALLS,
    Column(key="average_s", title="Average", unit="duration"),
    Column(key="p50_s", title="p50", unit="duration"),
    Column(key="p90_s", title="p90", unit="duration"),
    Column(key="p99_s", title="p99", unit="duration"),
    Column(key="max_s", title="Max", unit="duration"),
    Column(key="apdex", title="Apdex", unit="rate", help="satisfaction with durations, from 0 to 1"),
)
_CALLERS: Final = (Column(key="caller", title="Caller"), *_CALLS)
_STEPS: Final = (
    Column(key="at", title="Time (UTC)", unit="time"),
    Column(key="qps", title="Calls/s", unit="rate"),
    Column(key="error_rate", title="Error rate", unit="share"),
    Column(key="p50_s", title="p50", unit="duration"),
    Column(key="p90_s", title="p90", unit="duration"),
    Column(key="p99_s", title="p99", unit="duration"),
    Column(key="in_flight", title="In flight", unit="number"),
)
_BUCKETS: Final = (
    Column(key="range", title="Duration"),
    Column(key="count", title="Calls", unit="number"),
    Column(key="share", title="Share", unit="share", has_bar=True),
)
_CODES: Final = (
    Column(key="code", title="Status"),
    Column(key="count", title="Calls", unit="number"),
    Column(key="share", title="Share", unit="share", has_bar=True),
)


def tiles(figures: Figures) -> list[Tile]:
    """Return the most important figures: name, value, unit, and `bad` for errors."""
    has_errors = "bad" if figures["errors"] else None
    return [
        ("Calls/s", figures["qps"], "rate", None),
        ("Calls", figures["pv"], "number", None),
        ("Errors", figures["errors"], "number", has_errors),
        ("Error rate", figures["error_rate"], "share", has_errors),
        ("Success rate", figures["success_rate"], "share", None),
        ("Apdex", figures["apdex"], "rate", None),
        ("Average", figures["average_s"], "duration", None),
        ("p50", figures["p50_s"], "duration", None),
        ("p90", figures["p90_s"], "duration", None),
        ("p99", figures["p99_s"], "duration", None),
        ("p99.9", figures["p999_s"], "duration", None),
        ("Max", figures["max_s"], "duration", None),
    ]


def method_table(rows: Sequence[Figures], state: ViewState) -> Table:
    """Return the table of methods, in the order of `/figures`: core methods and the worst ones first."""
    wanted = state["filter"].casefold()
    shown: list[dict[str, Any]] = []
    for each in rows:
        name = str(each["labels"].get("method", ""))
        if wanted in name.casefold():
            note = "core" if each["is_core"] else ""
            shown.append({**each, "method": Link(name, state.link(method=name), name == state["method"], note)})
    return Table(
        id="methods",
        caption="Methods; without sorting by a column, core methods and the worst ones are first",
        columns=_METHODS,
        rows=shown,
        sort=state["sort"],
        empty="no method matches the filter" if rows else "no calls in this period",
    )


def caller_table(rows: Sequence[Figures], state: ViewState) -> Table:
    """Return the table of callers, in the order of `/figures`: those with the highest error rate first."""
    shown = [{**each, "caller": each["labels"].get("caller") or "unknown"} for each in rows]
    return Table(
        id="callers-table",
        caption="Callers",
        columns=_CALLERS,
        rows=shown,
        sort=state["callers"],
        parameter="callers",
        empty="no calls in this period",
    )


def bucket_table(figures: Figures) -> Table:
    """Return the distribution of durations."""
    rows: list[dict[str, Any]] = []
    low = 0.0
    for each in figures["buckets"]:
        high = each["up_to_s"]
        text = f"more than {duration(low)}" if high is None else f"{_bound(low)} \u2013 {duration(high)}"
        rows.append({"range": text, "count": each["count"], "share": _part(each["count"], figures["pv"])})
        low = low if high is None else high
    return Table(id="buckets", caption="Calls by duration", columns=_BUCKETS, rows=rows, parameter="")


def code_table(figures: Figures) -> Table:
    """Return the calls by status."""
    rows = [
        {"code": code, "count": count, "share": _part(count, figures["pv"])}
        for code, count in sorted(figures["codes"].items(), key=lambda pair: -pair[1])
    ]
    return Table(
        id="codes", caption="Calls by status", columns=_CODES, rows=rows, parameter="", empty="no calls in this period"
    )


def history_table(history: Mapping[str, Any]) -> Table:
    """Return the data of the plots, the latest first."""
    keys = [each.key for each in _STEPS]
    columns = [history[key] for key in keys]
    rows = [dict(zip(keys, step, strict=True)) for step in zip(*columns, strict=True)]
    return Table(
        id=_HISTORY,
        caption=f"The last 15 minutes, in steps of {history['step_s']:g} s",
        columns=_STEPS,
        rows=rows[::-1],
        parameter="",
        is_tall=True,
        empty="no calls yet",
    )


def _bound(value: float) -> str:
    return duration(value) if value else "0"


def _part(count: float, total: float) -> float | None:
    return count / total if total else None
