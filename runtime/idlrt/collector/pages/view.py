"""Pages as data: tiles, plots and tables, which one template draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.graph_drawing import Drawing
from idlrt.collector.pages.period import Period, period_choices
from idlrt.collector.pages.site import COLLECTOR_SITE
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Column, HeatMap, Link, Mark, Table, TimePlot, ViewState
from idlrt.web.formats import Unit

__all__ = ["CALL_COLUMNS", "PAGE_ROWS", "Section", "Tile", "View", "href", "mark_table", "page", "paged"]

Tile: TypeAlias = tuple[str, float | None, Unit, str | None]
"""Name, value, unit, and `bad` or `None`."""

PAGE_ROWS: Final = 100
"""Rows of a table that a page shows at once."""

CALL_COLUMNS: Final = (
    Column(key="qps", title="Calls/s", unit="rate"),
    Column(key="calls", title="Calls", unit="number"),
    Column(key="errors", title="Errors", unit="number"),
    Column(key="error_rate", title="Error rate", unit="share"),
    Column(key="p50", title="p50", unit="duration"),
    Column(key="p90", title="p90", unit="duration"),
    Column(key="p99", title="p99", unit="duration"),
    Column(key="max", title="Max", unit="duration"),
)
"""Columns of figures of calls."""

_MARK_COLUMNS: Final = (
    Column(key="at", title="Time (UTC)", is_sortable=False),
    Column(key="text", title="Mark", is_sortable=False),
)
_MAX_MARKS: Final = 25


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a page with a table.

    Attributes:
        title: heading.
        table: the table.
        previous: link to the rows before, if there are any.
        following: link to the rows after.
        rows: which rows are shown, as text; empty for all.
        note: explanation.
    """

    title: str
    table: Table
    previous: str = ""
    following: str = ""
    rows: str = ""
    note: str = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a page.

    Attributes:
        title: heading.
        links: links beside the heading: related pages.
        filters: values that the view is limited to, each with the link that removes it.
        tiles: the most important figures.
        plots: plots.
        graph: graph of calls; `None` for pages without one.
        sections: tables.
        filter: label of the field that filters rows; empty for none.
        problem: why there is nothing to show.
        switches: choices of parameters: label, name, and values with texts.
    """

    title: str
    links: Sequence[Link] = ()
    filters: Sequence[tuple[str, str]] = ()
    tiles: Sequence[Tile] = ()
    plots: Sequence[TimePlot | HeatMap] = ()
    graph: Drawing | None = None
    sections: Sequence[Section] = ()
    filter: str = ""
    problem: str = ""
    switches: Sequence[tuple[str, str, Sequence[tuple[str, str]]]] = ()


def page(
    context: PageContext,
    request: HttpRequest,
    state: ViewState,
    period: Period | None,
    view: View,
    *,
    refresh_s: int | None = None,
) -> HttpResponse:
    """Return a page.

    Args:
        context: told of live pages.
        request: the request.
        state: parameters of the request.
        period: the period that is shown; `None` for pages of the present.
        view: the content.
        refresh_s: seconds after which the page is requested again. Default: those of the period.
    """
    seconds = refresh_s if refresh_s is not None else period.refresh_s if period is not None else 0
    if seconds:
        context.watch.touch()
    return COLLECTOR_SITE.page(
        request,
        "figures.html",
        title=view.title,
        view=view,
        state=state,
        period=period,
        periods=period_choices(state) if period is not None else (),
        refresh_s=seconds,
        has_plots=bool(view.plots),
    )


def href(path: str, **parameters: str) -> str:
    """Return a relative link to a page, with those parameters that are not empty."""
    query = urlencode([(name, value) for name, value in parameters.items() if value])
    return f"{path}?{query}" if query else path


def paged(
    title: str, table: Table, state: ViewState, *, note: str = "", size: int = PAGE_ROWS, parameter: str = "page"
) -> Section:
    """Return a section with the rows of a table that a parameter of the request asks for.

    Args:
        title: heading.
        table: the table with all rows.
        state: parameters of the request.
        note: explanation.
        size: maximum number of rows that are shown at once.
        parameter: name of the parameter with the number of the page of rows, from 0.
    """
    rows = table.sorted_rows
    if len(rows) <= size:
        return Section(title=title, table=table, note=note)
    last = (len(rows) - 1) // size
    number = min(int(state[parameter]), last) if state[parameter].isdecimal() and state[parameter].isascii() else 0
    first = number * size
    shown = rows[first : first + size]
    return Section(
        title=title,
        table=msgspec.structs.replace(table, rows=shown),
        previous=state.link(**{parameter: str(number - 1) if number > 1 else ""}) if number else "",
        following=state.link(**{parameter: str(number + 1)}) if number < last else "",
        rows=f"{first + 1:,} to {first + len(shown):,} of {len(rows):,}",
        note=note,
    )


def mark_table(marks: Sequence[Mark]) -> Section:
    """Return the marks of the plots as a table, the latest first."""
    rows: list[Mapping[str, Any]] = [
        {"at": datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%d %H:%M:%S"), "text": each.text}
        for each in reversed(marks[-_MAX_MARKS:])
    ]
    table = Table(
        id="marks",
        caption="Marks, the latest first",
        columns=_MARK_COLUMNS,
        rows=rows,
        parameter="",
        empty="no deployments, changed settings or instances in this period",
    )
    return Section(title="Marks", table=table)
