"""The pages `/resources` and `/features`: operations of databases, caches and other resources, and user features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idlrt.collector.pages.call_plots import call_plots, rate_plot
from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.figures import FEATURES, RESOURCES, Subject, title_of
from idlrt.collector.pages.overview import tiles_of
from idlrt.collector.pages.period import period_of, view_state
from idlrt.collector.pages.view import CALL_COLUMNS, View, mark_table, page, paged
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Column, HeatMap, Link, Parameter, Table, TimePlot

__all__ = ["features_page", "resources_page"]

_LINES: Final = 10


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Kind of a page: its subject and dimensions.

    Attributes:
        title: heading.
        subject: metric.
        names: labels of its rows, with the titles of their columns.
        empty: text without values.
    """

    title: str
    subject: Subject
    names: tuple[tuple[str, str], ...]
    empty: str


_RESOURCES: Final = _Kind(
    title="Resources",
    subject=RESOURCES,
    names=(("system", "System"), ("operation", "Operation"), ("service", "Service")),
    empty="no operations of resources in this period",
)
_FEATURES: Final = _Kind(
    title="Features",
    subject=FEATURES,
    names=(("feature", "Feature"), ("origin", "Origin"), ("service", "Service")),
    empty="no uses of features in this period",
)


def resources_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of resources."""
    return _page(context, request, _RESOURCES)


def features_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of features, which are functions as users see them."""
    return _page(context, request, _FEATURES)


def _page(context: PageContext, request: HttpRequest, kind: _Kind) -> HttpResponse:
    names = tuple(name for name, _ in kind.names)
    parameters = (Parameter("filter"), Parameter("sort"), Parameter("page"), *(Parameter(name) for name in names))
    state = view_state(request, *parameters)
    period = period_of(state)
    where = {name: state[name] for name in names if state[name]}
    reader = context.reader
    found = reader.totals(kind.subject, period, names, where)
    total = reader.total(kind.subject, period, where)
    wanted = state["filter"].casefold()
    rows: list[Mapping[str, Any]] = []
    for each in found:
        if wanted not in title_of(each.key).casefold():
            continue
        cells = {
            name: Link(value, state.link(**{name: value}), value == state[name]) if value else ""
            for name, value in zip(names, each.key, strict=True)
        }
        rows.append({**each.row(), **cells})
    table = Table(
        id="rows",
        caption=f"{kind.title}, those with the most uses first",
        columns=(*(Column(key=name, title=title) for name, title in kind.names), *CALL_COLUMNS),
        rows=rows,
        sort=state["sort"],
        empty="nothing matches the filter" if found else kind.empty,
    )
    marks = context.marks_of(period, state["service"])
    plots: list[TimePlot | HeatMap] = []
    if found:
        plots += call_plots(reader.timeline(kind.subject, period, where), marks)
        rates = reader.rates(kind.subject, period, names[:2], where, limit=_LINES)
        plots.append(rate_plot("rows-plot", f"{kind.title}, uses per second", rates, marks))
    return page(
        context,
        request,
        state,
        period,
        View(
            title=kind.title,
            filters=[(f"{name} {value}", state.link(**{name: ""})) for name, value in where.items()],
            tiles=tiles_of(total) if found else (),
            plots=plots,
            sections=[paged(kind.title, table, state), mark_table(marks)],
            filter=f"Filter {kind.title.lower()}",
        ),
    )
