"""Calls and traces as HTML: a table of calls, and a waterfall of the spans of a trace.

Bars are SVG, because the policy of the pages allows no inline styles. Levels of the tree are `details` elements, which
collapse without JavaScript.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from idlrt.observe.tracing.span_pages import SpanPage, SpanRecord
from idlrt.observe.tracing.waterfall import Row, Waterfall, waterfall
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.html_pages import ADMIN_SITE
from idlrt.web import Badge, Column, Link, Parameter, Table, ViewState
from idlrt.web.formats import duration
from idlrt.web.tables import Level

__all__ = ["PARAMETERS", "trace_page", "traces_page"]

_REFRESH_S: Final = 5
_ORDERS: Final = (("recent", "Recent"), ("slow", "Slowest"), ("failed", "Failed"))
PARAMETERS: Final = (
    Parameter("order", "recent", tuple(value for value, _ in _ORDERS)),
    Parameter("method"),
    Parameter("tag"),
    Parameter("status"),
    Parameter("min_s"),
    Parameter("sort"),
)
"""Parameters of the list of calls."""

_COLUMNS: Final = (
    Column(key="name", title="Call"),
    Column(key="started_at", title="Time (UTC)"),
    Column(key="duration_s", title="Duration", unit="duration"),
    Column(key="status", title="Status"),
    Column(key="caller", title="Caller"),
    Column(key="tags", title="Tags", is_sortable=False),
    Column(key="trace", title="Trace", is_sortable=False),
)
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
        bars: its bars.
        marks: places of its events.
        badges: texts beside its name.
        facts: attributes and ids.
        closes: number of levels that end before it.
        is_nested: whether its children are a level of their own.
        is_open: whether that level is visible at first.
    """

    row: Row
    bars: Sequence[_Bar]
    marks: Sequence[str]
    badges: Sequence[str]
    facts: Mapping[str, Any]
    closes: int
    is_nested: bool
    is_open: bool


def traces_page(request: HttpRequest, page: SpanPage, state: ViewState, problem: str) -> HttpResponse:
    """Return the list of calls.

    Args:
        request: the request.
        page: the calls.
        state: parameters of the request.
        problem: why there are none, if a parameter is invalid.
    """
    table = Table(
        id="calls",
        caption=f"Calls: {dict(_ORDERS)[state['order']].lower()} first",
        columns=_COLUMNS,
        rows=[_call(each) for each in page.spans],
        sort=state["sort"],
        empty="no recorded calls match; unsampled calls are recorded only if they fail or are slow",
    )
    return ADMIN_SITE.page(
        request,
        "rpcz.html",
        title=f"Traces of {page.service}",
        status=400 if problem else 200,
        table=table,
        state=state,
        orders=_ORDERS,
        problem=problem,
        refresh_s=0 if problem else _REFRESH_S,
    )


def _call(span: SpanRecord) -> dict[str, Any]:
    notes = ", ".join(_badges(span, is_orphan=False))
    return {
        "name": Link(span.name, f"rpcz/{span.trace_id}", note=notes),
        "started_at": _clock(span.started_at),
        "duration_s": span.duration_s,
        "status": _status(span),
        "caller": span.caller,
        "tags": " ".join(f"{name}:{value}" for name, value in span.tags.items()),
        "trace": span.trace_id[:8],
    }


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def _status(span: SpanRecord) -> Badge | str:
    level: Level = "bad" if span.is_failed else "good"
    return Badge(span.outcome, level) if span.outcome else ""


def _badges(span: SpanRecord, *, is_orphan: bool) -> Iterator[str]:
    if span.is_late:
        yield "late"
    if span.has_lost_context:
        yield "context lost"
    if span.is_remote_parent:
        yield "remote parent"
    elif is_orphan:
        yield "parent unknown"


def trace_page(request: HttpRequest, trace_id: str, page: SpanPage) -> HttpResponse:
    """Return the waterfall of a trace; status 404 without spans."""
    found = waterfall(page.spans) if page.spans else None
    return ADMIN_SITE.page(
        request,
        "trace.html",
        title=f"Trace {trace_id}",
        status=200 if found is not None else 404,
        summary=_summary(found, page.service) if found is not None else {},
        lines=list(_lines(found)) if found is not None else (),
        ticks=[duration(found.duration_s * at / _TICKS) for at in range(_TICKS + 1)] if found is not None else (),
        width=_WIDTH,
        is_large=found is not None and len(found.rows) > _MAX_OPEN,
    )


def _summary(found: Waterfall, service: str) -> dict[str, Any]:
    started = datetime.fromtimestamp(found.started_at, UTC)
    return {
        "service": service,
        "started": f"{started:%Y-%m-%d %H:%M:%S}.{started.microsecond // 1000:03d} UTC",
        "duration": duration(found.duration_s),
        "spans": f"{len(found.rows):,}",
        "failed": f"{found.failed:,}",
    }


def _lines(found: Waterfall) -> Iterator[_Line]:
    """Return the lines of a trace. The levels that are open at its end are closed by the template."""
    open_depth = _open_depth(found)
    levels: list[int] = []  # depths of the levels that are open
    for row in found.rows:
        open_before = len(levels)
        while levels and levels[-1] >= row.depth:
            levels.pop()
        is_nested = row.children > 0 and len(levels) < _MAX_LEVELS
        yield _Line(
            row=row,
            bars=list(_bars(row, found)),
            marks=[_at(row.offset_s + each.at_s, found) for each in row.span.events],
            badges=list(_badges(row.span, is_orphan=row.is_orphan)),
            facts=_facts(row.span),
            closes=open_before - len(levels),
            is_nested=is_nested,
            is_open=is_nested and row.depth < open_depth,
        )
        if is_nested:
            levels.append(row.depth)


def _open_depth(found: Waterfall) -> int:
    """Return the depth of the last level that is visible at first."""
    counts = Counter(each.depth for each in found.rows)
    shown = 0
    for depth in sorted(counts):
        shown += counts[depth]
        if shown > _MAX_OPEN and depth > 1:
            return depth - 1
    return len(counts)


def _at(seconds: float, found: Waterfall) -> str:
    share = seconds / found.duration_s if found.duration_s > 0 else 0.0
    return f"{min(max(share, 0.0), 1.0) * _WIDTH:.1f}"


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
    share = seconds / found.duration_s if found.duration_s > 0 else 1.0
    width = min(max(share * _WIDTH, _MIN_BAR), _WIDTH)
    x = min(float(_at(offset_s, found)), _WIDTH - width)
    return _Bar(kind, f"{x:.1f}", f"{width:.1f}", y, height)


def _facts(span: SpanRecord) -> dict[str, Any]:
    """Return names and values of what a span knows besides its times."""
    found: dict[str, Any] = {}
    if span.message:
        found["error"] = span.message
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
