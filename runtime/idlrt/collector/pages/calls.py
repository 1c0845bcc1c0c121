"""The pages `/service` and `/method`: calls of one service or method, by method, caller, instance, zone and outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from idlrt.collector.pages.call_plots import Comparison, call_plots, percentile_plot, rate_plot
from idlrt.collector.pages.compare import EARLIER
from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.figures import CALLS, CLIENTS, Figures
from idlrt.collector.pages.overview import last_of, tiles_of
from idlrt.collector.pages.period import Period, period_of, view_state
from idlrt.collector.pages.programs_table import instance_table
from idlrt.collector.pages.view import CALL_COLUMNS, Section, View, href, mark_table, page, paged
from idlrt.observe.catalogue import METHOD, TARGET
from idlrt.observe.figures import GOOD
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Badge, Column, HeatMap, Link, Parameter, Table, TimePlot, ViewState

__all__ = ["method_page", "service_page"]

_DIMENSIONS: Final = ("service", METHOD, "zone", "instance", "caller")
_PARAMETERS: Final = (
    Parameter("service"),
    Parameter("method"),
    Parameter("zone"),
    Parameter("instance"),
    Parameter("caller"),
    Parameter("compare", "", ("", *(key for key, _, _ in EARLIER))),
    Parameter("filter"),
    *(Parameter(name) for name in ("page", "instances_page", "callers_page", "dependencies_page")),
    Parameter("sort"),
    Parameter("callers"),
    Parameter("instances"),
)
_METHODS: Final = (Column(key="name", title="Method"), *CALL_COLUMNS)
_CALLERS: Final = (Column(key="name", title="Caller"), *CALL_COLUMNS)
_ZONES: Final = (Column(key="name", title="Zone"), *CALL_COLUMNS)
_DEPENDENCIES: Final = (
    Column(key="name", title="Method"),
    Column(key="target", title="Target"),
    *CALL_COLUMNS,
)
_CODES: Final = (
    Column(key="code", title="Status"),
    Column(key="calls", title="Calls", unit="number"),
    Column(key="share", title="Share", unit="share", has_bar=True),
)
_LINES: Final = 10
_INSTANCES: Final = 30


def service_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of one service."""
    state = view_state(request, *_PARAMETERS)
    return _page(context, request, state, has_methods=True)


def method_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of one method."""
    state = view_state(request, *_PARAMETERS)
    return _page(context, request, state, has_methods=False)


def _page(context: PageContext, request: HttpRequest, state: ViewState, *, has_methods: bool) -> HttpResponse:
    service, method = state["service"], "" if has_methods else state["method"]
    name = method or service
    if not (service if has_methods else method):
        what = "service" if has_methods else "method"
        return page(context, request, state, None, View(title="Unknown", problem=f"The URL names no {what}."))
    period = period_of(state)
    where = _where(state, method)
    reader = context.reader
    timeline = reader.timeline(CALLS, period, where)
    total = reader.total(CALLS, period, where)
    methods = reader.totals(CALLS, period, (METHOD,), where) if has_methods else []
    marks = context.marks_of(period, service, *_interfaces([each.key[0] for each in methods] or [method]))
    examples = _examples(service, method)
    plots: list[TimePlot | HeatMap] = list(
        call_plots(timeline, marks, examples=examples, compared=_compared(context, state, period, where))
    )
    sections: list[Section] = []
    if has_methods:
        rates = reader.rates(CALLS, period, (METHOD,), where, limit=_LINES)
        title = "Calls per second by method"
        plots.append(rate_plot("methods-plot", title, rates, marks, _method_link(state)))
        sections.append(_methods(methods, state))
    instances = reader.totals(CALLS, period, ("instance", "host", "zone", "version"), where)
    if len(instances) > 1:
        rates = reader.rates(CALLS, period, ("instance",), where, limit=_INSTANCES)
        plots.append(rate_plot("instances-plot", "Calls per second by instance", rates, marks))
        slowest = reader.timelines(CALLS, period, ("instance",), where, limit=_INSTANCES, has_others=False)
        plots.append(percentile_plot("instances-p99", "p99 by instance", slowest, marks))
    programs = [each for each in context.programs.all() if each.service == service] if service else []
    table = instance_table(instances, programs, state, lambda name: state.link(instance=name))
    sections.append(paged("Instances", table, state, parameter="instances_page"))
    sections += _groups(context, period, where, state, service if has_methods else "")
    sections += [_codes(total), mark_table(marks)]
    is_known = bool(total.calls or programs)
    return page(
        context,
        request,
        state,
        period,
        View(
            title=name,
            links=_links(state, service, method),
            filters=_filters(state),
            tiles=tiles_of(total),
            plots=plots,
            sections=sections,
            filter="Filter methods" if has_methods else "",
            problem="" if is_known else f"{name} had no calls in this period.",
            switches=[("Compare with", "compare", [("", "nothing"), *((key, title) for key, title, _ in EARLIER)])],
        ),
    )


def _interfaces(methods: Sequence[str]) -> set[str]:
    """Return the names of the services of the IDL: `Shop.find` is a method of `Shop`."""
    return {each.rpartition(".")[0] for each in methods}


def _where(state: ViewState, method: str) -> dict[str, str]:
    values = (state["service"], method, state["zone"], state["instance"], state["caller"])
    return {key: value for key, value in zip(_DIMENSIONS, values, strict=True) if value}


def _examples(service: str, method: str) -> str:
    found = href("traces", service=service, operation=method)
    return found + ("&" if "?" in found else "?")


def _links(state: ViewState, service: str, method: str) -> list[Link]:
    last, end = last_of(state), state["end"]
    found = [
        Link("Traces", href("traces", service=service, operation=method)),
        Link("Failed and slow calls", href("calls", service=service)),
        Link("Comparison", href("compare", service=service, method=method, last=last, end=end)),
    ]
    if method and service:
        found.insert(0, Link(f"Service {service}", href("service", service=service, last=last, end=end)))
    if service:
        found.append(Link("Graph", href("graph", service=service, last=last, end=end)))
        found.append(Link("Governance", href("governance", service=service, last=last, end=end)))
    return found


def _filters(state: ViewState) -> list[tuple[str, str]]:
    return [
        (f"{name} {state[name]}", state.link(**{name: ""})) for name in ("zone", "instance", "caller") if state[name]
    ]


def _compared(context: PageContext, state: ViewState, period: Period, where: Mapping[str, str]) -> Comparison | None:
    found = next(((title, seconds) for key, title, seconds in EARLIER if key == state["compare"]), None)
    if found is None or not state["compare"]:
        return None
    return Comparison(found[0], found[1], context.reader.timeline(CALLS, period.earlier_steps(found[1]), where))


def _method_link(state: ViewState) -> Any:
    def link(method: str) -> str:
        return href("method", service=state["service"], method=method, last=last_of(state), end=state["end"])

    return link


def _methods(methods: Sequence[Figures], state: ViewState) -> Section:
    wanted = state["filter"].casefold()
    link = _method_link(state)
    rows = [
        {**each.row(), "name": Link(each.key[0], link(each.key[0]))}
        for each in sorted(methods, key=lambda each: (-(each.error_rate or 0), -each.calls, each.key))
        if wanted in each.key[0].casefold()
    ]
    table = Table(
        id="methods",
        caption="Methods; without sorting by a column, those with the highest error rate are first",
        columns=_METHODS,
        rows=rows,
        sort=state["sort"],
        empty="no method matches the filter" if methods else "no calls in this period",
    )
    return paged("Methods", table, state)


def _groups(
    context: PageContext, period: Period, where: Mapping[str, str], state: ViewState, service: str
) -> list[Section]:
    """Return the tables of callers, zones and dependencies."""
    reader = context.reader
    callers = reader.totals(CALLS, period, ("caller",), where)
    rows = [
        {**each.row(), "name": Link(each.key[0], state.link(caller=each.key[0])) if each.key[0] else "unknown"}
        for each in callers
    ]
    table = Table(
        id="callers-table",
        caption="Callers, those with the most calls first",
        columns=_CALLERS,
        rows=rows,
        sort=state["callers"],
        parameter="callers",
        empty="no calls in this period",
    )
    found = [paged("Callers", table, state, parameter="callers_page")]
    zones = reader.totals(CALLS, period, ("zone",), where)
    if any(each.key[0] for each in zones):
        rows = [
            {**each.row(), "name": Link(each.key[0], state.link(zone=each.key[0])) if each.key[0] else "unknown"}
            for each in zones
        ]
        found.append(
            Section(
                title="Zones",
                table=Table(id="zones", caption="Zones", columns=_ZONES, rows=rows, parameter=""),
            )
        )
    if service:
        found.append(_dependencies(reader.totals(CLIENTS, period, (METHOD, TARGET), {"service": service}), state))
    return found


def _dependencies(figures: Sequence[Figures], state: ViewState) -> Section:
    rows = [
        {
            **each.row(),
            "name": Link(each.key[0], href("method", method=each.key[0], last=last_of(state), end=state["end"])),
            "target": each.key[1],
        }
        for each in figures
    ]
    table = Table(
        id="dependencies",
        caption="Calls of other services, as this service sees them",
        columns=_DEPENDENCIES,
        rows=rows,
        parameter="",
        empty="this service has called no other in this period",
    )
    return paged("Dependencies", table, state, parameter="dependencies_page")


def _codes(total: Figures) -> Section:
    rows = [
        {
            "code": Badge(code, "good" if code in GOOD else "bad"),
            "calls": count,
            "share": count / total.calls,
        }
        for code, count in total.codes.items()
    ]
    table = Table(
        id="codes-table",
        caption="Calls by status",
        columns=_CODES,
        rows=rows,
        parameter="",
        empty="no calls in this period",
    )
    return Section(title="Status", table=table)
