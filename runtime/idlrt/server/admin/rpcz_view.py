"""Calls and traces as HTML: a table of calls, and the waterfall of a trace."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from idlrt.observe.tracing.span_pages import SpanPage, SpanRecord
from idlrt.observe.tracing.waterfall_view import TRACE_PARAMETERS, span_notes, trace_view
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.html_pages import ADMIN_SITE
from idlrt.web import Badge, Column, Link, Parameter, Table, ViewState
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
    notes = ", ".join(span_notes(span, is_orphan=False))
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


def trace_page(request: HttpRequest, trace_id: str, page: SpanPage) -> HttpResponse:
    """Return the waterfall of a trace; status 404 without spans."""
    state = ViewState(request, TRACE_PARAMETERS)
    return ADMIN_SITE.page(
        request,
        "trace.html",
        title=f"Trace {trace_id}",
        status=200 if page.spans else 404,
        state=state,
        view=trace_view(page.spans, state) if page.spans else None,
    )
