"""The page `/graph`: which services call which, as a graph and as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.figures import CALLS, Figures
from idlrt.collector.pages.graph_drawing import draw, select
from idlrt.collector.pages.overview import is_by_duration, last_of, refresh_of
from idlrt.collector.pages.period import Period, period_of, view_state
from idlrt.collector.pages.view import CALL_COLUMNS, View, href, page, paged
from idlrt.collector.store import Where
from idlrt.observe.metric import OTHER, Labels
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Column, Link, Parameter, Table, ViewState

__all__ = ["graph_page"]

_PARAMETERS: Final = (Parameter("service"), Parameter("filter"), Parameter("sort"), Parameter("page"))
_COLUMNS: Final = (Column(key="caller", title="Caller"), Column(key="service", title="Service"), *CALL_COLUMNS)
_BY: Final = ("caller", "service")
# Reading durations of an edge costs more than all else: its cells are those of all methods.
_ROWS: Final = 50


def graph_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the graph of all services, or of one with its callers and callees."""
    state = view_state(request, *_PARAMETERS)
    period = period_of(state)
    service = state["service"]
    is_complete = is_by_duration(state)
    edges = _edges(context, period, service, has_durations=is_complete)
    selection = select(edges, service)
    wanted = state["filter"].casefold()
    rows: list[dict[str, Any]] = [
        {
            **(each.row() if is_complete else each.counts()),
            "key": each.key,
            "caller": each.key[0],
            "service": each.key[1],
        }
        for each in edges
        if any(wanted in name.casefold() for name in each.key)
    ]
    table = Table(
        id="edges",
        caption="Calls by caller and service; without sorting by a column, those with the most calls are first",
        columns=_COLUMNS,
        rows=rows,
        sort=state["sort"],
        empty="no caller and no service matches the filter" if edges else "no calls in this period",
    )
    section = paged("Calls by caller and service", table, state, size=_ROWS)
    shown = [dict(row) for row in section.table.rows]
    if not is_complete:
        durations = _durations(context, period, [row["key"] for row in shown])
        # The lines of these rows have durations, too.
        known = {key: durations.get(key, figures) for key, figures in selection.edges.items()}
        selection = msgspec.structs.replace(selection, edges=known)
        for row in shown:
            if row["key"] in durations:
                row.update(durations[row["key"]].row())
    link = _service_link(state)
    for row in shown:
        row.update((name, _cell(value, link)) for name, value in zip(_BY, row["key"], strict=True))
    view = View(
        title=f"Graph of {service}" if service else "Graph",
        links=[Link(f"Service {service}", link(service))] if service else (),
        filters=[(f"service {service}", state.link(service="", page=""))] if service else (),
        graph=draw(selection, link, service),
        sections=[msgspec.structs.replace(section, table=msgspec.structs.replace(section.table, rows=shown))],
        filter="Filter callers and services",
        problem=f"{service} has received and made no calls in this period." if service and not edges else "",
    )
    return page(context, request, state, period, view, refresh_s=refresh_of(state, period))


def _edges(context: PageContext, period: Period, service: str, *, has_durations: bool) -> list[Figures]:
    """Return the figures by caller and service, of all services or of one; those with the most calls are first."""
    read = context.reader.totals if has_durations else context.reader.counts
    if not service:
        return read(CALLS, period, _BY)
    sides: tuple[Where, Where] = {"service": service}, {"caller": service}
    found: dict[Labels, Figures] = {each.key: each for where in sides for each in read(CALLS, period, _BY, where)}
    return sorted(found.values(), key=lambda each: (-each.calls, each.key))


def _durations(context: PageContext, period: Period, keys: Collection[Labels]) -> Mapping[Labels, Figures]:
    """Return the figures with durations of some edges: those of all would take long."""
    if not keys:
        return {}
    where = {name: {key[at] for key in keys} for at, name in enumerate(_BY)}
    return {each.key: each for each in context.reader.totals(CALLS, period, _BY, where)}


def _service_link(state: ViewState) -> Callable[[str], str]:
    def link(name: str) -> str:
        return href("service", service=name, last=last_of(state), end=state["end"])

    return link


def _cell(name: str, link: Callable[[str], str]) -> Link | str:
    return {"": "unknown", OTHER: "others"}.get(name) or Link(name, link(name))
