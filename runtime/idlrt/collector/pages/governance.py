"""The page `/governance`: breakers, ejections, retries and their budget, rejected calls, and settings of services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.number_plots import number_plot
from idlrt.collector.pages.period import Period, period_of, view_state
from idlrt.collector.pages.view import Section, View, mark_table, page
from idlrt.observe import catalogue
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Badge, Column, Mark, Parameter, Table, TimePlot
from idlrt.web.formats import Unit
from idlrt.web.tables import Level

__all__ = ["governance_page"]

_BREAKER_STATES: Final[tuple[tuple[str, Level], ...]] = (("closed", "good"), ("half-open", "warning"), ("open", "bad"))
_BREAKERS: Final = (
    Column(key="name", title="Breaker"),
    Column(key="service", title="Service"),
    Column(key="instance", title="Instance"),
    Column(key="state", title="State"),
    Column(key="changes", title="Changes", unit="number"),
)
_TARGETS: Final = (
    Column(key="target", title="Target"),
    Column(key="service", title="Client"),
    Column(key="known", title="Instances", unit="number", help="instances that the clients know, summed"),
    Column(key="ejected", title="Out of rotation", unit="number"),
    Column(key="budget", title="Retries left", unit="number", help="retries that the budget allows at present"),
    Column(key="waiting", title="Waiting", unit="number", help="calls that wait for a connection"),
)
_DECISIONS: Final = (
    Column(key="what", title="Decision"),
    Column(key="method", title="Method"),
    Column(key="by", title="By"),
    Column(key="reason", title="Reason"),
    Column(key="count", title="Calls", unit="number"),
)
_SETTINGS: Final = (
    Column(key="service", title="Service", is_sortable=False),
    Column(key="version", title="Version", is_sortable=False),
    Column(key="at", title="Changed (UTC)", is_sortable=False),
    Column(key="by", title="By", is_sortable=False),
    Column(key="settings", title="Settings", is_sortable=False),
    Column(key="note", title="Note", is_sortable=False),
)
# Metric, name of the decision, and labels for the columns.
_COUNTERS: Final = (
    (catalogue.CLIENT_RETRIES, "retried", (catalogue.METHOD, "mode", "")),
    (catalogue.CLIENT_NOT_RETRIED, "not retried", (catalogue.METHOD, "mode", "reason")),
    (catalogue.CLIENT_SCHEDULED, "retried in the background", (catalogue.METHOD, "mode", "")),
    (catalogue.CLIENT_FALLBACKS, "fallback returned", (catalogue.METHOD, "by", "")),
    (catalogue.CLIENT_REJECTED, "rejected by the client", (catalogue.METHOD, "guard", "reason")),
    (catalogue.SERVER_REJECTED, "rejected by the server", (catalogue.METHOD, "guard", "reason")),
)
_PLOTS: Final[tuple[tuple[str, str, Unit, str, tuple[str, ...]], ...]] = (
    ("breakers", "State of breakers: 0 closed, 1 half-open, 2 open", "number", "rpc_breaker_state", ("name",)),
    ("ejected", "Instances out of rotation", "number", "rpc_client_ejected", ("server_address",)),
    ("ejections", "Ejections per second by reason", "rate", "rpc_client_ejections_total", ("reason",)),
    ("retries", "Retries per second", "rate", "rpc_client_retries_total", ("mode",)),
    ("budget", "Retries that budgets allow", "number", "rpc_client_retry_budget", ("server_address",)),
    ("rejected", "Calls per second that servers reject", "rate", "rpc_server_rejected_total", ("guard", "reason")),
    ("shed", "Calls per second that clients reject", "rate", "rpc_client_rejected_total", ("guard", "reason")),
    ("in-flight", "Calls in flight of servers", "number", "rpc_server_in_flight", ("service",)),
)


def governance_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of all services, or of one."""
    state = view_state(request, Parameter("service"), Parameter("sort"), Parameter("targets"), Parameter("decisions"))
    period = period_of(state)
    service = state["service"]
    where = {"service": service} if service else {}
    marks = context.marks_of(period, service)
    sections = [
        Section(title="Breakers", table=_breakers(context, period, where, state["sort"])),
        Section(title="Targets of clients", table=_targets(context, period, where, state["targets"])),
        Section(title="Decisions", table=_decisions(context, period, where, state["decisions"])),
        *_settings(context),
        mark_table(marks),
    ]
    return page(
        context,
        request,
        state,
        period,
        View(
            title=f"Governance of {service}" if service else "Governance",
            filters=[(f"service {service}", state.link(service=""))] if service else (),
            plots=_plots(context, period, where, marks),
            sections=sections,
        ),
    )


def _plots(context: PageContext, period: Period, where: Mapping[str, str], marks: Sequence[Mark]) -> list[TimePlot]:
    found: list[TimePlot] = []
    for id, title, unit, metric, by in _PLOTS:
        plot = number_plot(
            context.reader, period, marks, id=id, title=title, unit=unit, metrics=[(metric, "")], by=by, where=where
        )
        if plot is not None:
            found.append(plot)
    return found


def _breakers(context: PageContext, period: Period, where: Mapping[str, str], sort: str) -> Table:
    by = ("name", "service", "instance")
    states = context.reader.sums(catalogue.BREAKER_STATE.name, period, by, where)
    changes = context.reader.sums(catalogue.BREAKER_CHANGES.name, period, by, where)
    rows: list[Mapping[str, Any]] = []
    for key, value in sorted(states.items(), key=lambda pair: (-pair[1], pair[0])):
        name, level = _BREAKER_STATES[min(max(int(value), 0), 2)]
        rows.append({**dict(zip(by, key, strict=True)), "state": Badge(name, level), "changes": changes.get(key, 0)})
    return Table(
        id="breakers-table",
        caption="Circuit breakers, the open ones first",
        columns=_BREAKERS,
        rows=rows,
        sort=sort,
        empty="no breaker has reported in this period",
    )


def _targets(context: PageContext, period: Period, where: Mapping[str, str], sort: str) -> Table:
    by = (catalogue.TARGET, "service")
    reader = context.reader
    columns = {
        "known": reader.sums(catalogue.CLIENT_ENDPOINTS.name, period, by, where),
        "ejected": reader.sums(catalogue.CLIENT_EJECTED.name, period, by, where),
        "budget": reader.sums(catalogue.CLIENT_BUDGET.name, period, by, where),
        "waiting": reader.sums(catalogue.CLIENT_WAITING.name, period, by, where),
    }
    keys = {key for values in columns.values() for key in values}
    rows: list[Mapping[str, Any]] = [
        {"target": key[0], "service": key[1], **{name: values.get(key) for name, values in columns.items()}}
        for key in sorted(keys, key=lambda key: (-columns["ejected"].get(key, 0.0), key))
    ]
    return Table(
        id="targets-table",
        caption="Targets of clients, those with instances out of rotation first",
        columns=_TARGETS,
        rows=rows,
        sort=sort,
        parameter="targets",
        empty="no client has reported in this period",
    )


def _settings(context: PageContext) -> list[Section]:
    """Return the settings and rules in the registry, if the collector watches one."""
    if context.registry is None:
        return []
    rows: list[Mapping[str, Any]] = [
        {
            "service": each.service,
            "version": each.version,
            "at": datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%d %H:%M:%S") if each.at else "",
            "by": each.by,
            "settings": " ".join(f"{key}={value}" for key, value in sorted(each.settings.items())),
            "note": each.note,
        }
        for each in context.registry.settings
    ]
    table = Table(
        id="settings-table",
        caption="Settings and rules of services in the registry",
        columns=_SETTINGS,
        rows=rows,
        parameter="",
        empty="no service has settings in the registry",
    )
    return [Section(title="Settings", table=table)]


def _decisions(context: PageContext, period: Period, where: Mapping[str, str], sort: str) -> Table:
    rows: list[dict[str, Any]] = []
    for metric, name, labels in _COUNTERS:
        by = tuple(each for each in labels if each)
        for key, count in context.reader.sums(metric.name, period, by, where).items():
            if count:
                values = dict(zip(by, key, strict=True))
                method, kind, reason = (values.get(each, "") for each in labels)
                rows.append({"what": name, "method": method, "by": kind, "reason": reason, "count": count})
    rows.sort(key=lambda row: -row["count"])
    return Table(
        id="decisions-table",
        caption="Decisions about calls, the most frequent ones first",
        columns=_DECISIONS,
        rows=rows,
        sort=sort,
        parameter="decisions",
        empty="no call was retried, replaced or rejected in this period",
    )
