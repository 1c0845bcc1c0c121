"""Traces as HTML: a waterfall of their spans with the critical path, for the template `waterfall.html` of the web kit.

Bars are SVG, because the policy of the pages allows no inline styles. Levels of the tree are `details` elements, which
collapse without JavaScript.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from idlrt.observe.tracing.critical_path import PathPart, critical_path
from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.waterfall import Row, Waterfall, waterfall
from idlrt.web import Column, Link, Parameter, Table, ViewState
from idlrt.web.formats import duration

__all__ = ["TRACE_PARAMETERS", "TraceView", "span_notes", "trace_view"]

_ONLY_PATH: Final = "path"
_LEVELS: Final = ("1", "2", "3", "4")
TRACE_PARAMETERS: Final = (Parameter("show", "", ("", _ONLY_PATH)), Parameter("levels", "", ("", *_LEVELS)))
"""Parameters of a trace: the spans that are shown, and the number of levels that are open."""

_SHOWN: Final = (("", "All spans"), (_ONLY_PATH, "Critical path"))
_OPEN: Final = (*((each, each) for each in _LEVELS), ("", "All"))
_PATH_COLUMNS: Final = (
    Column(key="operation", title="Operation", is_sortable=False),
    Column(key="service", title="Service", is_sortable=False),
    Column(key="kind", title="Kind", is_sortable=False),
    Column(key="spans", title="Spans", unit="number", is_sortable=False),
    Column(key="seconds", title="On the path", unit="duration", is_sortable=False),
    Column(key="share", title="Share", unit="share", is_sortable=False, has_bar=True),
)
# Operations of the critical path that are listed.
_MAX_OPERATIONS: Final = 20
# Colors of services; the names beside them tell apart what has the same one.
_COLORS: Final = 4
# The widths of bars are parts of this number.
_WIDTH: Final = 1000
_MIN_BAR: Final = 3.0
_TICKS: Final = 4
# Levels that are indented, and nested in the document: browsers limit the depth of both.
_MAX_LEVELS: Final = 16
# Rows of a trace that are visible at first, if its levels allow that: browsers lay out collapsed ones when they open.
_MAX_OPEN: Final = 1000
# Attributes that the name of a span has, too.
_IN_NAME: Final = frozenset({"rpc.system.name", "rpc.method"})
# Parts of a server span: attribute, class of the bar, and its place from the top and height.
_PARTS: Final = (
    ("rpc.server.queue_s", "queue", 6, 4),
    ("rpc.server.handler_s", "handler", 2, 12),
    ("rpc.server.serialization_s", "serialization", 4, 8),
)


class _Bar(msgspec.Struct, frozen=True):
    kind: str
    x: str
    width: str
    y: int
    height: int


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A span as the template shows it.

    Attributes:
        row: the span in its place.
        bars: its bars, and its parts of the critical path.
        marks: places of its events.
        path_s: seconds of it on the critical path; `None` if it is not on it.
        color: number of the color of its service.
        notes: texts beside its name.
        facts: attributes and ids.
        links: pages about it.
        closes: number of levels that end before it.
        is_nested: whether its children form a separate level.
        is_open: whether that level is visible at first.
    """

    row: Row
    bars: Sequence[_Bar]
    marks: Sequence[str]
    path_s: float | None
    color: int
    notes: Sequence[str]
    facts: Mapping[str, Any]
    links: Sequence[Link]
    closes: int
    is_nested: bool
    is_open: bool


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """A trace as the template shows it.

    Attributes:
        summary: facts about it.
        services: names of its services, each with the number of its color.
        lines: its spans.
        ticks: labels of the time axis.
        width: width of the time axis.
        path: the critical path by service and operation.
        shown: choices of the parameter `show`.
        levels: choices of the parameter `levels`.
        is_large: whether it has many spans.
    """

    summary: Mapping[str, Any]
    services: Sequence[tuple[str, int]]
    lines: Sequence[_Line]
    ticks: Sequence[str]
    width: int
    path: Table
    shown: Sequence[tuple[str, str]]
    levels: Sequence[tuple[str, str]]
    is_large: bool


def _no_links(_: SpanRecord) -> Sequence[Link]:
    return ()


def trace_view(
    spans: Sequence[SpanRecord], state: ViewState, links: Callable[[SpanRecord], Sequence[Link]] = _no_links
) -> TraceView:
    """Return a trace as the template shows it.

    Args:
        spans: its spans, at least one.
        state: parameters of the page, `TRACE_PARAMETERS` among them.
        links: returns the pages about a span.
    """
    found = waterfall(spans)
    parts = critical_path(found)
    colors = {name: at % _COLORS + 1 for at, name in enumerate(found.services)}
    by_span: dict[str, list[PathPart]] = {}
    for each in parts:
        by_span.setdefault(each.span.span_id, []).append(each)
    rows = _on_path(found.rows, by_span) if state["show"] == _ONLY_PATH and by_span else found.rows
    return TraceView(
        summary=_summary(found, len(by_span)),
        services=list(colors.items()),
        lines=list(_lines(rows, found, by_span, colors, state["levels"], links)),
        ticks=[duration(found.duration_s * at / _TICKS) for at in range(_TICKS + 1)],
        width=_WIDTH,
        path=_path_table(parts),
        shown=_SHOWN,
        levels=_OPEN if len(rows) <= _MAX_OPEN else (*_OPEN[:-1], ("", f"First {_MAX_OPEN:,} spans")),
        is_large=len(rows) > _MAX_OPEN,
    )


def span_notes(span: SpanRecord, *, is_orphan: bool) -> Iterator[str]:
    """Return what is unusual about a span.

    Args:
        span: the span.
        is_orphan: whether its parent is not known.
    """
    if span.is_late:
        yield "late"
    if span.has_lost_context:
        yield "context lost"
    if span.is_remote_parent:
        yield "remote parent"
    elif is_orphan:
        yield "parent unknown"


def _summary(found: Waterfall, on_path: int) -> dict[str, Any]:
    started = datetime.fromtimestamp(found.started_at, UTC)
    summary = {
        "started": f"{started:%Y-%m-%d %H:%M:%S}.{started.microsecond // 1000:03d} UTC",
        "duration": duration(found.duration_s),
        "services": ", ".join(found.services),
        "spans": f"{len(found.rows):,}",
        "failed": f"{found.failed:,}",
        "critical path": f"{on_path:,} of {len(found.rows):,} spans",
    }
    shifts: dict[str, float] = {}
    for each in found.rows:
        if abs(each.shift_s) > abs(shifts.get(each.span.service, 0.0)):
            shifts[each.span.service] = each.shift_s
    if shifts:
        summary["clocks"] = ", ".join(f"{name} corrected by {_signed(value)}" for name, value in shifts.items())
    return summary


def _signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else '+'}{duration(abs(seconds))}"


def _on_path(rows: Sequence[Row], by_span: Mapping[str, object]) -> list[Row]:
    """Return the spans on the critical path and their ancestors, counted among themselves."""
    found: list[Row] = []
    wanted = -1  # depth of the next ancestor
    children: list[int] = [0] * (max(each.depth for each in rows) + 2)
    below = children.copy()
    # Descendants follow their ancestor.
    for row in reversed(rows):
        depth = row.depth
        if row.span.span_id not in by_span and depth != wanted:
            continue
        found.append(msgspec.structs.replace(row, children=children[depth + 1], below=below[depth + 1]))
        children[depth] += 1
        below[depth] += below[depth + 1] + 1
        children[depth + 1] = below[depth + 1] = 0
        wanted = depth - 1
    found.reverse()
    return found


def _path_table(parts: Sequence[PathPart]) -> Table:
    total = sum(each.duration_s for each in parts)
    seconds: dict[tuple[str, str, str], float] = {}
    spans: dict[tuple[str, str, str], set[str]] = {}
    for each in parts:
        key = each.span.name, each.span.service, each.span.kind
        seconds[key] = seconds.get(key, 0.0) + each.duration_s
        spans.setdefault(key, set()).add(each.span.span_id)
    ordered = sorted(seconds, key=lambda key: -seconds[key])
    rows = [
        {
            "operation": key[0],
            "service": key[1],
            "kind": key[2],
            "spans": len(spans[key]),
            "seconds": seconds[key],
            "share": seconds[key] / total,
        }
        for key in ordered[:_MAX_OPERATIONS]
    ]
    if others := ordered[_MAX_OPERATIONS:]:
        rest = sum(seconds[key] for key in others)
        number = sum(len(spans[key]) for key in others)
        name = f"{len(others):,} others"
        rows.append({"operation": name, "spans": number, "seconds": rest, "share": rest / total})
    return Table(
        id="path",
        caption="Critical path by operation, the longest first",
        columns=_PATH_COLUMNS,
        rows=rows,
        parameter="",
        empty="the trace has no duration",
    )


def _lines(
    rows: Sequence[Row],
    found: Waterfall,
    by_span: Mapping[str, Sequence[PathPart]],
    colors: Mapping[str, int],
    levels: str,
    links: Callable[[SpanRecord], Sequence[Link]],
) -> Iterator[_Line]:
    """Return the lines of a trace. The levels that are open at its end are closed by the template."""
    open_depth = int(levels) - 1 if levels else _open_depth(rows)
    nested: list[int] = []  # depths of the levels that are open
    for row in rows:
        open_before = len(nested)
        while nested and nested[-1] >= row.depth:
            nested.pop()
        is_nested = row.children > 0 and len(nested) < _MAX_LEVELS
        span = row.span
        parts = by_span.get(span.span_id, ())
        yield _Line(
            row=row,
            bars=[*_bars(row, found), *(_bar("path", each.offset_s, each.duration_s, found, 14, 2) for each in parts)],
            marks=[_at(row.offset_s + each.at_s, found) for each in span.events],
            path_s=sum(each.duration_s for each in parts) if parts else None,
            color=colors.get(span.service, 0),
            notes=list(span_notes(span, is_orphan=row.is_orphan)),
            facts=_facts(row),
            links=links(span),
            closes=open_before - len(nested),
            is_nested=is_nested,
            is_open=is_nested and row.depth < open_depth,
        )
        if is_nested:
            nested.append(row.depth)


def _open_depth(rows: Sequence[Row]) -> int:
    """Return the depth of the last level that is visible at first."""
    counts = Counter(each.depth for each in rows)
    shown = 0
    for depth in sorted(counts):
        shown += counts[depth]
        if shown > _MAX_OPEN and depth > 1:
            return depth - 1
    return len(counts)


def _at(seconds: float, found: Waterfall) -> str:
    part = seconds / found.duration_s if found.duration_s > 0 else 0.0
    return f"{min(max(part, 0.0), 1.0) * _WIDTH:.1f}"


def _bars(row: Row, found: Waterfall) -> Iterator[_Bar]:
    span = row.span
    kind = "failed" if span.is_failed else span.kind
    yield _bar(kind, row.offset_s, span.duration_s, found, 4, 8)
    if span.kind != "server":
        return
    at = row.offset_s
    for name, part, y, height in _PARTS:
        value = span.attributes.get(name)
        if isinstance(value, int | float) and value > 0:
            if value * _WIDTH >= found.duration_s:  # else it would not be seen
                yield _bar(part, at, value, found, y, height)
            at += value


def _bar(kind: str, offset_s: float, seconds: float, found: Waterfall, y: int, height: int) -> _Bar:
    part = seconds / found.duration_s if found.duration_s > 0 else 1.0
    width = min(max(part * _WIDTH, _MIN_BAR), _WIDTH)
    x = min(float(_at(offset_s, found)), _WIDTH - width)
    return _Bar(kind, f"{x:.1f}", f"{width:.1f}", y, height)


def _facts(row: Row) -> dict[str, Any]:
    """Return names and values of what a span knows besides its times."""
    span = row.span
    found: dict[str, Any] = {}
    if span.message:
        found["error"] = span.message
    if row.shift_s:
        found["clock"] = f"corrected by {_signed(row.shift_s)}"
    for name, value in span.attributes.items():
        if name in _IN_NAME:
            continue
        found[name] = duration(value) if name.endswith("_s") and isinstance(value, float) else value
    for each in span.links:
        found[f"link to {each.trace_id}"] = each.why or each.span_id
    if span.dropped:
        found["dropped"] = f"{span.dropped} attributes and events"
    found["span"] = span.span_id
    if span.parent_id:
        found["parent"] = span.parent_id
    return found
