"""The page `/compare`: figures of a period beside those of yesterday, the same day of last week, and last month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from idlrt.collector.pages.call_plots import Comparison, percentile_values
from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.figures import CALLS, Figures
from idlrt.collector.pages.overview import last_of
from idlrt.collector.pages.period import period_of, view_state
from idlrt.collector.pages.view import Section, View, href, page
from idlrt.observe.catalogue import METHOD
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Column, Line, Link, Parameter, Table, TimePlot
from idlrt.web.formats import Unit

__all__ = ["EARLIER", "compare_page"]

_DAY: Final = 86_400.0
EARLIER: Final = (
    ("day", "yesterday", _DAY),
    ("week", "last week", 7 * _DAY),
    ("month", "4 weeks ago", 28 * _DAY),
)
"""Earlier periods: key, title, and seconds. Four weeks have the same days of the week, which a month has not."""

_COLUMNS: Final = (
    Column(key="period", title="Period", is_sortable=False),
    Column(key="qps", title="Calls/s", unit="rate", is_sortable=False),
    Column(key="calls", title="Calls", unit="number", is_sortable=False),
    Column(key="change", title="Change of calls", unit="share", is_sortable=False),
    Column(key="errors", title="Errors", unit="number", is_sortable=False),
    Column(key="error_rate", title="Error rate", unit="share", is_sortable=False),
    Column(key="p50", title="p50", unit="duration", is_sortable=False),
    Column(key="p90", title="p90", unit="duration", is_sortable=False),
    Column(key="p99", title="p99", unit="duration", is_sortable=False),
    Column(key="p99_change", title="Change of p99", unit="share", is_sortable=False),
    Column(key="max", title="Max", unit="duration", is_sortable=False),
)


_PLOTS: Final[tuple[tuple[str, str, Unit], ...]] = (
    ("calls", "Calls per second", "rate"),
    ("errors", "Error rate", "share"),
    ("p50", "p50", "duration"),
    ("p99", "p99", "duration"),
)


def compare_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of a service, a method, or all."""
    state = view_state(request, Parameter("service"), Parameter("method"))
    period = period_of(state)
    service, method = state["service"], state["method"]
    where = {key: value for key, value in (("service", service), (METHOD, method)) if value}
    periods = [("now", period), *((title, period.earlier(seconds)) for _, title, seconds in EARLIER)]
    totals = [(title, context.reader.total(CALLS, each, where)) for title, each in periods]
    timelines = [
        Comparison("now", 0.0, context.reader.timeline(CALLS, period, where)),
        *(
            Comparison(title, seconds, context.reader.timeline(CALLS, period.earlier_steps(seconds), where))
            for _, title, seconds in EARLIER
        ),
    ]
    marks = context.marks_of(period, service, method.rpartition(".")[0])
    start, step = timelines[0].timeline.start, timelines[0].timeline.step
    plots = [
        TimePlot(id=id, title=title, unit=unit, start=start, step=step, lines=_lines(timelines, id), marks=marks)
        for id, title, unit in _PLOTS
    ]
    table = Table(
        id="comparison",
        caption="Figures by period",
        columns=_COLUMNS,
        rows=[_row(title, each, totals[0][1]) for title, each in totals],
        parameter="",
    )
    last, end = last_of(state), state["end"]
    links: list[Link] = []
    if method:
        links.append(Link(method, href("method", service=service, method=method, last=last, end=end)))
    if service:
        links.append(Link(service, href("service", service=service, last=last, end=end)))
    name = method or service
    title = f"{name} compared with earlier periods" if name else "All services compared with earlier periods"
    return page(
        context,
        request,
        state,
        period,
        View(title=title, links=links, plots=plots, sections=[Section(title="Figures", table=table)]),
    )


def _lines(periods: Sequence[Comparison], kind: str) -> list[Line]:
    present = periods[0].timeline
    count = len(present.durations())
    found: list[Line] = []
    for each in periods:
        whole = each.timeline.durations()
        if kind == "calls":
            values = each.timeline.rates(whole)
        elif kind == "errors":
            values = each.timeline.error_rates()
        else:
            values = percentile_values(whole, 0.5 if kind == "p50" else 0.99)
        found.append(Line(each.title, each.at_steps_of(present, values, count)))
    return found


def _row(title: str, figures: Figures, now: Figures) -> dict[str, Any]:
    row, present = figures.row(), now.row()
    return {
        **row,
        "period": title,
        "change": _change(now.qps, figures.qps) if figures is not now else None,
        "p99_change": _change(present["p99"], row["p99"]) if figures is not now else None,
    }


def _change(now: float | None, earlier: float | None) -> float | None:
    """Return by which part the present value differs from an earlier one."""
    return now / earlier - 1 if now is not None and earlier else None
