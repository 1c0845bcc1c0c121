"""The pages `/` and `/methods`: all services, or all methods, core ones first, then the worst ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence, Sized
from typing import Any, Final

import msgspec

from idlrt.collector.pages.call_plots import rate_plot
from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.figures import CALLS, Figures
from idlrt.collector.pages.period import Period, period_of, view_state
from idlrt.collector.pages.view import CALL_COLUMNS, Section, Tile, View, href, mark_table, page, paged
from idlrt.collector.programs import Program
from idlrt.observe.catalogue import METHOD
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Badge, Column, Link, Parameter, Table, ViewState

__all__ = ["is_by_duration", "last_of", "methods_page", "overview_page", "refresh_of", "tiles_of"]

_PARAMETERS: Final = (Parameter("filter"), Parameter("sort"), Parameter("page"))
_SERVICES: Final = (
    Column(key="service", title="Service"),
    *CALL_COLUMNS,
    Column(key="instances", title="Instances", unit="number", help="programs that report"),
    Column(key="state", title="State"),
)
_METHODS: Final = (Column(key="method", title="Method"), Column(key="service", title="Service"), *CALL_COLUMNS)
_DURATIONS: Final = ("p50", "p90", "p99", "max")
_BY_SERVICE: Final = ("service",)
_BY_METHOD: Final = ("service", METHOD)
_LINES: Final = 10
_SLOW_S: Final = 60
_BAD: Final = 0.01


def overview_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of all services."""
    state = view_state(request, *_PARAMETERS)
    period = period_of(state)
    found = {each.key[0]: each for each in _found(context, period, _BY_SERVICE, state)}
    programs = context.programs.all()
    live = Counter(each.service for each in programs if each.state == "live")
    lost = Counter(each.service for each in programs if each.state == "lost")
    core = context.programs.core_services()
    names = {*found, *(each.service for each in programs)}
    wanted = state["filter"].casefold()
    rows: list[dict[str, Any]] = []
    for name in sorted(names):
        if wanted not in name.casefold():
            continue
        figures = found.get(name) or Figures(
            key=(name,), histogram=Histogram(), errors=0, codes={}, seconds=period.seconds
        )
        rows.append(
            {
                **_values(figures, state),
                "key": figures.key,
                "service": Link(
                    name or "unknown",
                    href("service", service=name, last=last_of(state), end=state["end"]),
                    note="core" if name in core else "",
                ),
                "instances": live[name],
                "state": _state(figures, live[name], lost[name]),
                "rank": _rank(figures, is_core=name in core),
            }
        )
    rows.sort(key=lambda row: row["rank"])
    table = Table(
        id="services",
        caption="Services; without sorting by a column, core services and the worst ones are first",
        columns=_SERVICES,
        rows=rows,
        sort=state["sort"],
        empty="no service matches the filter" if names else "no program has pushed in this period",
    )
    marks = context.marks_of(period)
    rates = context.reader.rates(CALLS, period, ("service",), limit=_LINES)
    title = f"Calls per second, {_largest(rates.groups, found, 'service')}"
    plots = [rate_plot("calls", title, rates, marks, lambda name: _service(name, state))]
    return page(
        context,
        request,
        state,
        period,
        View(
            title="Services",
            tiles=[*_count_tiles(list(found.values())), *_program_tiles(programs)],
            plots=plots if rates.groups else (),
            sections=[_section(context, period, _BY_SERVICE, "Services", table, state), mark_table(marks)],
            filter="Filter services",
        ),
    )


def methods_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of all methods of all services."""
    state = view_state(request, *_PARAMETERS)
    period = period_of(state)
    found = _found(context, period, _BY_METHOD, state)
    core = context.programs.core_methods()
    wanted = state["filter"].casefold()
    rows: list[dict[str, Any]] = []
    for each in found:
        service, method = each.key
        if wanted not in method.casefold() and wanted not in service.casefold():
            continue
        is_core = method in core or method.rpartition(".")[0] in core
        row = {"key": each.key, "method": method, "service": service, "rank": _rank(each, is_core=is_core)}
        rows.append({**_values(each, state), **row})
    rows.sort(key=lambda row: row["rank"])
    table = Table(
        id="methods",
        caption="Methods; without sorting by a column, core methods and the worst ones are first",
        columns=_METHODS,
        rows=rows,
        sort=state["sort"],
        empty="no method matches the filter" if found else "no calls in this period",
    )
    marks = context.marks_of(period)
    rates = context.reader.rates(CALLS, period, (METHOD,), limit=_LINES)
    plots = [rate_plot("calls", f"Calls per second, {_largest(rates.groups, found, 'method')}", rates, marks)]
    return page(
        context,
        request,
        state,
        period,
        View(
            title="Methods",
            tiles=_count_tiles(found),
            plots=plots if rates.groups else (),
            sections=[_with_links(_section(context, period, _BY_METHOD, "Methods", table, state), state, core)],
            filter="Filter methods and services",
        ),
        refresh_s=refresh_of(state, period),
    )


def refresh_of(state: ViewState, period: Period) -> int:
    """Return the seconds after which a page of many rows is requested again: their order by duration takes long."""
    return _SLOW_S if is_by_duration(state) and period.is_live else period.refresh_s


def is_by_duration(state: ViewState) -> bool:
    """Return whether rows are sorted by a duration."""
    return state["sort"].removeprefix("-") in _DURATIONS


def _found(context: PageContext, period: Period, by: Labels, state: ViewState) -> list[Figures]:
    """Return the figures of all rows, without durations unless these decide about the order: they take long."""
    read = context.reader.totals if is_by_duration(state) else context.reader.counts
    return read(CALLS, period, by)


def _values(figures: Figures, state: ViewState) -> dict[str, float | None]:
    return figures.row() if is_by_duration(state) else figures.counts()


def _section(context: PageContext, period: Period, by: Labels, title: str, table: Table, state: ViewState) -> Section:
    """Return the rows of a table that are shown, with their durations."""
    section = paged(title, table, state, note="" if state["sort"] else "Core ones first, then by error rate.")
    if is_by_duration(state) or not section.table.rows:
        return section
    where = {name: {row["key"][at] for row in section.table.rows} for at, name in enumerate(by)}
    found = {each.key: each.row() for each in context.reader.totals(CALLS, period, by, where)}
    rows = [{**row, **found.get(row["key"], {})} for row in section.table.rows]
    return msgspec.structs.replace(section, table=msgspec.structs.replace(section.table, rows=rows))


def _with_links(section: Section, state: ViewState, core: Collection[str]) -> Section:
    """Return the rows of methods with links, which would take longer for all than for those that are shown."""
    rows: list[dict[str, Any]] = []
    for row in section.table.rows:
        service, method = row["key"]
        is_core = method in core or method.rpartition(".")[0] in core
        link = href("method", service=service, method=method, last=last_of(state), end=state["end"])
        links = {
            "method": Link(method, link, note="core" if is_core else ""),
            "service": Link(service, _service(service, state)),
        }
        rows.append({**row, **links})
    return msgspec.structs.replace(section, table=msgspec.structs.replace(section.table, rows=rows))


def last_of(state: ViewState) -> str:
    return "" if state["last"] == "3600" else state["last"]


def _service(name: str, state: ViewState) -> str:
    return href("service", service=name, last=last_of(state), end=state["end"])


def _rank(figures: Figures, *, is_core: bool) -> tuple[bool, float, float, str]:
    return not is_core, -(figures.error_rate or 0.0), -figures.calls, figures.key[-1]


def _state(figures: Figures, live: int, lost: int) -> Badge:
    if lost:
        return Badge(f"{lost} lost", "bad")
    if (figures.error_rate or 0.0) > _BAD:
        return Badge("errors", "bad")
    return Badge("live", "good") if live else Badge("silent", "warning")


def _largest(shown: Sized, found: Sized, what: str) -> str:
    return f"the {len(shown)} {what}s with the most calls" if len(shown) < len(found) else f"by {what}"


def _count_tiles(figures: Sequence[Figures]) -> list[Tile]:
    """Return the counts of all groups. Percentiles of unlike services together would mean little."""
    calls, errors = sum(each.calls for each in figures), sum(each.errors for each in figures)
    bad = "bad" if errors else None
    return [
        ("Calls/s", sum(each.qps for each in figures), "rate", None),
        ("Calls", calls, "number", None),
        ("Errors", errors, "number", bad),
        ("Error rate", errors / calls if calls else None, "share", bad),
    ]


def _program_tiles(programs: Sequence[Program]) -> list[Tile]:
    states = Counter(each.state for each in programs)
    return [
        ("Programs", states["live"], "number", None),
        ("Lost programs", states["lost"], "number", "bad" if states["lost"] else None),
    ]


def tiles_of(whole: Figures) -> list[Tile]:
    """Return the most important figures of a group of calls."""
    row = whole.row()
    bad = "bad" if whole.errors else None
    return [
        ("Calls/s", row["qps"], "rate", None),
        ("Calls", row["calls"], "number", None),
        ("Errors", row["errors"], "number", bad),
        ("Error rate", row["error_rate"], "share", bad),
        ("Average", row["average"], "duration", None),
        ("p50", row["p50"], "duration", None),
        ("p90", row["p90"], "duration", None),
        ("p99", row["p99"], "duration", None),
        ("Max", row["max"], "duration", None),
    ]
