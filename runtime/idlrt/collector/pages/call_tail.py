"""The page `/calls`: slow and failed traces of the last hour, also those that are still open, the newest first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.trace_links import traces_link
from idlrt.collector.pages.traces import TRACE_COLUMNS, json_page, trace_row
from idlrt.collector.pages.view import Section, View, page
from idlrt.collector.traces import TraceQuery, TraceStorageError, TraceSummary
from idlrt.errors import ConfigurationError
from idlrt.printable import plural
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import text_page, wanted_format
from idlrt.web import Column, Link, Parameter, Table, ViewState

__all__ = ["tail_page"]

_REFRESH_S: Final = 5
_LAST_S: Final = 3600.0
# Clocks of programs may be fast.
_AHEAD_S: Final = 60.0
_KINDS: Final = (("", "Slow and failed"), ("failed", "Failed"), ("slow", "Slow"))
_SLOW: Final = (("0.1", "over 100 ms"), ("0.5", "over 500 ms"), ("1", "over 1 s"), ("5", "over 5 s"))
_PARAMETERS: Final = (
    Parameter("kind", "", tuple(value for value, _ in _KINDS)),
    Parameter("slow", "1", tuple(value for value, _ in _SLOW)),
    Parameter("service"),
    Parameter("filter"),
)
_COLUMNS: Final = (
    *TRACE_COLUMNS,
    Column(key="state", title="State", is_sortable=False, help="open: spans may follow"),
)
# Traces of each kind that are read, and that the page shows.
_READ: Final = 500
_SHOWN: Final = 100


def tail_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of slow and failed calls."""
    state = ViewState(request, _PARAMETERS)
    end = time.time() + _AHEAD_S
    try:
        complete, waiting = _read(context, state, end)
    except ConfigurationError as error:
        return text_page(400, str(error))
    except TraceStorageError as error:
        return text_page(503, str(error))
    wanted = state["filter"].casefold()
    known = {**{each.trace_id: each for each in complete}, **{each.trace_id: each for each in waiting}}
    found = sorted((each for each in known.values() if wanted in _text_of(each)), key=lambda each: -each.started_at)
    if wanted_format(request) == "json":
        return json_page(found[:_SHOWN])
    opened = {each.trace_id for each in waiting}
    rows = [_row(each, state, is_open=each.trace_id in opened) for each in found[:_SHOWN]]
    table = Table(
        id="calls",
        caption="Slow and failed calls, the newest first",
        columns=_COLUMNS,
        rows=rows,
        parameter="",
        empty="no slow or failed calls match in the last hour",
    )
    view = View(
        title="Slow and failed calls",
        links=[Link("Search for traces", _search_link(state, end))],
        filters=[(f"service {state['service']}", state.link(service=""))] if state["service"] else [],
        sections=[Section(title="Last hour", table=table, note=_note(len(found)))],
        filter="Filter calls",
        switches=[("Calls", "kind", _KINDS), ("Slow", "slow", _SLOW)],
    )
    return page(context, request, state, None, view, refresh_s=_REFRESH_S)


def _read(context: PageContext, state: ViewState, end: float) -> tuple[list[TraceSummary], list[TraceSummary]]:
    """Return the traces that are complete, and those that are not.

    Raises:
        ConfigurationError: the search is invalid, or a file is damaged.
        TraceStorageError: a file cannot be read now.
    """
    complete: list[TraceSummary] = []
    waiting: list[TraceSummary] = []
    for query in _queries(state, end):
        # Open ones first: meanwhile they may become complete.
        waiting += context.traces.find_open(query)
        complete += context.traces.find(query)
    return complete, waiting


def _queries(state: ViewState, end: float) -> Iterator[TraceQuery]:
    start, service = end - _LAST_S, state["service"]
    if state["kind"] != "slow":
        yield TraceQuery(start=start, end=end, service=service, is_failed=True, limit=_READ)
    if state["kind"] != "failed":
        yield TraceQuery(start=start, end=end, service=service, min_s=float(state["slow"]), limit=_READ)


def _text_of(summary: TraceSummary) -> str:
    """Return the text that the filter looks at."""
    return f"{summary.service} {summary.operation} {summary.trace_id}".casefold()


def _row(summary: TraceSummary, state: ViewState, *, is_open: bool) -> dict[str, Any]:
    return {
        **trace_row(summary),
        "service": Link(summary.service or "unknown", state.link(service=summary.service)),
        "state": "open" if is_open else "complete",
    }


def _search_link(state: ViewState, end: float) -> str:
    return traces_link(
        end - _LAST_S,
        end,
        service=state["service"],
        failed=state["kind"] == "failed",
        min_s=float(state["slow"]) if state["kind"] == "slow" else 0.0,
    )


def _note(count: int) -> str:
    return f"{plural(count, 'trace')}; the newest {_SHOWN} are shown" if count > _SHOWN else plural(count, "trace")
