"""The pages `/traces` and `/traces/TRACE_ID`: search for traces, and the waterfall of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.scatter import scatter
from idlrt.collector.pages.site import COLLECTOR_SITE
from idlrt.collector.pages.trace_links import figures_link
from idlrt.collector.pages.trace_search import (
    LIMITS,
    ORDERS,
    PERIODS,
    SEARCH_PARAMETERS,
    field_time,
    query_of,
    time_range,
)
from idlrt.collector.traces import TraceQuery, TraceStorageError, TraceSummary
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.search_fields import parse_seconds
from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.waterfall_view import TRACE_PARAMETERS, trace_view
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import text_page, wanted_format
from idlrt.web import Badge, Column, Link, Parameter, Table, ViewState
from idlrt.web.formats import duration

__all__ = ["TRACE_COLUMNS", "json_page", "trace_row", "traces_page"]

_PATH: Final = "/traces"
_JSON: Final = "application/json"
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_PARAMETERS: Final = (*SEARCH_PARAMETERS, Parameter("id"))
_RPC_KINDS: Final = ("client", "server")
# Names that the fields of the form suggest.
_MAX_NAMES: Final = 500

TRACE_COLUMNS: Final = (
    Column(key="root", title="Trace", is_sortable=False),
    Column(key="service", title="Service", is_sortable=False),
    Column(key="started_at", title="Time (UTC)", is_sortable=False),
    Column(key="duration", title="Duration", unit="duration", is_sortable=False),
    Column(key="spans", title="Spans", unit="number", is_sortable=False),
    Column(key="failed", title="Failed", is_sortable=False),
    Column(key="services", title="Services", unit="number", is_sortable=False),
)
"""Columns of a table of traces."""

_MATCHED: Final = Column(key="matched", title="Its duration", unit="duration", is_sortable=False)


def traces_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the search for traces, or one trace."""
    if request.path != _PATH:
        return _trace_page(context, request, request.path.removeprefix(f"{_PATH}/"))
    state = ViewState(request, _PARAMETERS)
    is_json = wanted_format(request) == "json"
    problem = ""
    if trace_id := state["id"].strip().lower():
        if _TRACE_ID.fullmatch(trace_id):
            return HttpResponse(status=303, headers=(("location", f"traces/{trace_id}"),))
        problem = f"id: the id of a trace has 32 hex digits, got {state['id']!r}"
    status, query = 400, TraceQuery()
    found: list[TraceSummary] = []
    if not problem:
        try:
            query = query_of(state)
            found = context.traces.find(query)
            status = 200
        except ConfigurationError as error:
            problem = str(error)
        except TraceStorageError as error:
            status, problem = 503, str(error)
    if is_json:
        return text_page(status, problem) if problem else json_page(found)
    return _search_page(context, request, state, query, found, problem=problem, status=status)


def json_page(found: object) -> HttpResponse:
    """Return a page as JSON."""
    return HttpResponse(content_type=_JSON, body=msgspec.json.encode(found) + b"\n")


def _search_page(
    context: PageContext,
    request: HttpRequest,
    state: ViewState,
    query: TraceQuery,
    found: Sequence[TraceSummary],
    *,
    problem: str,
    status: int,
) -> HttpResponse:
    has_matched = bool(query.service or query.operation)
    columns = [*TRACE_COLUMNS]
    if has_matched:
        what = "Duration of the longest span that matches service and operation"
        columns.insert(4, msgspec.structs.replace(_MATCHED, help=what))
    order = dict(ORDERS)[state["order"]].lower()
    table = Table(
        id="traces",
        caption=f"Traces, the {order} first",
        columns=columns,
        rows=[trace_row(each) for each in found],
        parameter="",
        empty="no trace matches; traces are found about 10 seconds after their last span",
    )
    services = [] if problem else context.traces.services()[:_MAX_NAMES]
    operations = context.traces.operations(query.service)[:_MAX_NAMES] if query.service and not problem else []
    return COLLECTOR_SITE.page(
        request,
        "traces.html",
        title="Traces",
        status=status,
        state=state,
        problem=problem,
        table=table,
        scatter=scatter(found, *time_range(state), is_matched=has_matched) if found else None,
        is_cut=len(found) == query.limit,
        count=len(found),
        order=order,
        orders=ORDERS,
        periods=_periods(state),
        limits=LIMITS,
        start=field_time("start", state["start"]),
        end=field_time("end", state["end"]),
        services=services,
        operations=operations,
    )


def _periods(state: ViewState) -> Sequence[tuple[str, str]]:
    """Return the choices of the parameter `last`: the usual ones, and the one of the view."""
    if any(state["last"] == value for value, _ in PERIODS):
        return PERIODS
    try:
        text = duration(parse_seconds("last", state["last"]))
    except ConfigurationError:
        text = state["last"]
    return (*PERIODS, (state["last"], text))


def trace_row(summary: TraceSummary) -> dict[str, Any]:
    """Return a trace as a row of a table."""
    at = datetime.fromtimestamp(summary.started_at, UTC)
    return {
        "root": Link(summary.operation, f"traces/{summary.trace_id}", note=summary.trace_id[:8]),
        "service": summary.service,
        "started_at": at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "duration": summary.duration_s,
        "matched": summary.matched_s,
        "spans": summary.spans,
        "failed": Badge(f"{summary.failed:,} failed", "bad") if summary.failed else "",
        "services": summary.services,
    }


def _trace_page(context: PageContext, request: HttpRequest, trace_id: str) -> HttpResponse:
    if not _TRACE_ID.fullmatch(trace_id):
        return text_page(400, "the id of a trace has 32 lower-case hex digits")
    try:
        spans = context.traces.spans(trace_id)
    except TraceStorageError as error:
        return text_page(503, str(error))
    if wanted_format(request) == "json":
        return json_page(spans)
    state = ViewState(request, TRACE_PARAMETERS)
    view = trace_view(spans, state, _links) if spans else None
    at = min((each.started_at for each in spans), default=0.0)
    names = [name for name, _ in view.services] if view is not None else []
    return COLLECTOR_SITE.page(
        request,
        "trace.html",
        title=f"Trace {trace_id}",
        status=200 if spans else 404,
        state=state,
        view=view,
        links=[Link(name, f"../{figures_link(at, service=name)}") for name in names if name],
    )


def _links(span: SpanRecord) -> Sequence[Link]:
    """Return links to the figures of the method of a span, around its time."""
    if span.kind not in _RPC_KINDS:
        return ()
    # The service of a client span is that of the caller.
    service = span.service if span.kind == "server" else ""
    link = figures_link(span.started_at, service=service, method=span.name)
    return (Link(span.name, f"../{link}", note="figures"),)
