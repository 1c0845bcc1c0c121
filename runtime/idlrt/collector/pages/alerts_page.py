"""The page `/alerts`: alerts that fire, are pending or not, silences, and the last changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from idlrt.collector.alerts import Alerts, AlertState, Change, Silence
from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.period import view_state
from idlrt.collector.pages.view import Section, Tile, View, href, page, paged
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Badge, Column, Link, Parameter, Table, ViewState
from idlrt.web.formats import duration
from idlrt.web.tables import Level

__all__ = ["alerts_page"]

_REFRESH_S: Final = 10
_MAX_CHANGES: Final = 200
_COLUMNS: Final = (
    Column(key="alert", title="Alert"),
    Column(key="state", title="State"),
    Column(key="service", title="Service"),
    Column(key="labels", title="Labels", is_sortable=False),
    Column(key="value", title="Value", is_sortable=False),
    Column(key="threshold", title="Threshold", is_sortable=False),
    Column(key="age", title="For", unit="duration", help="time in this state"),
    Column(key="note", title="Note", is_sortable=False, help="silences, errors and reasons"),
    Column(key="summary", title="Summary", is_sortable=False),
)
_RULE_COLUMNS: Final = tuple(each for each in _COLUMNS if each.key not in ("age", "value", "summary"))
_SILENCES: Final = (
    Column(key="id", title="Silence"),
    Column(key="state", title="State"),
    Column(key="matchers", title="Matchers"),
    Column(key="start", title="Start (UTC)"),
    Column(key="end", title="End (UTC)"),
    Column(key="author", title="Author"),
    Column(key="comment", title="Comment", is_sortable=False),
)
_CHANGES: Final = (
    Column(key="at", title="Time (UTC)", is_sortable=False),
    Column(key="alert", title="Alert", is_sortable=False),
    Column(key="labels", title="Labels", is_sortable=False),
    Column(key="before", title="Before", is_sortable=False),
    Column(key="after", title="After", is_sortable=False),
    Column(key="value", title="Value", is_sortable=False),
    Column(key="reason", title="Reason", is_sortable=False),
)
_SHOWN: Final = (("", "All"), ("firing", "Firing"), ("pending", "Pending"), ("other", "Others"))
_LEVELS: Final[Mapping[str, Level]] = {
    "firing": "bad",
    "keeping": "bad",
    "pending": "warning",
    "resolved": "good",
    "inactive": "good",
}


def alerts_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of all rules, or of one."""
    state = view_state(
        request,
        Parameter("show", "", tuple(value for value, _ in _SHOWN)),
        Parameter("rule"),
        Parameter("filter"),
        Parameter("sort"),
        Parameter("silences"),
        Parameter("page"),
    )
    alerts = context.alerts
    if alerts is None:
        view = View(title="Alerts", problem="this collector has no alerts; start it with --alerts FILE")
    else:
        view = _view(alerts, state)
    return page(context, request, state, None, view, refresh_s=_REFRESH_S if alerts is not None else 0)


def _view(alerts: Alerts, state: ViewState) -> View:
    now = time.time()
    rule, wanted = state["rule"], state["filter"].casefold()
    every = alerts.states()
    found = [each for each in every if (not rule or each.rule == rule) and wanted in _text(each)]
    parts = {
        "firing": [each for each in found if each.is_firing],
        "pending": [each for each in found if each.state == "pending"],
        "other": [each for each in found if each.state in ("resolved", "inactive")],
    }
    titles = {"firing": "Firing", "pending": "Pending", "other": "Not firing"}
    captions = {
        "firing": "Alerts that fire",
        "pending": "Alerts whose condition does not hold for long enough yet",
        "other": "Rules without alerts, and alerts that have ended",
    }
    sections = [
        paged(
            titles[name],
            Table(
                id=f"{name}-table",
                caption=captions[name],
                columns=_COLUMNS if name != "other" else _RULE_COLUMNS,
                rows=[_row(each, state, now) for each in parts[name]],
                sort=state["sort"],
                empty="none" if not wanted else "no alert matches the filter",
            ),
            state,
        )
        for name in titles
        if state["show"] in ("", name)
    ]
    sections.append(_silences(alerts.silences(), state["silences"], now))
    history = [each for each in alerts.history(_MAX_CHANGES) if not rule or each.rule == rule]
    sections.append(_history(history, state))
    return View(
        title=f"Alert {rule}" if rule else "Alerts",
        filters=[(f"alert {rule}", state.link(rule=""))] if rule else (),
        tiles=_tiles(every, alerts),
        sections=sections,
        filter="Filter alerts",
        switches=[("Show", "show", _SHOWN)],
    )


def _tiles(states: Sequence[AlertState], alerts: Alerts) -> list[Tile]:
    firing = [each for each in states if each.is_firing]
    failed = len({each.rule for each in states if each.error})
    return [
        ("Firing", len(firing), "number", "bad" if any(not each.silenced_by for each in firing) else None),
        ("Silenced", sum(bool(each.silenced_by) for each in firing), "number", None),
        ("Pending", sum(each.state == "pending" for each in states), "number", None),
        ("Rules", len(alerts.rules), "number", None),
        ("Rules that fail", failed, "number", "bad" if failed else None),
        ("Receivers", len(alerts.notifiers), "number", None),
    ]


def _text(state: AlertState) -> str:
    return f"{state.rule} {' '.join(state.labels.values())} {state.annotations.get('summary', '')}".casefold()


def _row(found: AlertState, state: ViewState, now: float) -> dict[str, Any]:
    service = found.labels.get("service", "")
    silenced = f"silenced by {', '.join(found.silenced_by)}" if found.silenced_by else ""
    return {
        "alert": Link(found.rule, state.link(rule=found.rule, page="")),
        "state": Badge(found.state, _LEVELS[found.state]),
        "service": Link(service, href("service", service=service)) if service else "",
        "labels": _labels(found.labels),
        "value": found.value_text,
        "threshold": found.threshold_text or found.condition,
        "age": max(now - found.since, 0.0) if found.since else None,
        "summary": found.annotations.get("summary", ""),
        "note": "; ".join(each for each in (found.error, silenced, found.reason) if each),
    }


def _labels(labels: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in labels.items() if name not in ("alertname", "service"))


def _silences(found: Sequence[Silence], sort: str, now: float) -> Section:
    rows: list[Mapping[str, Any]] = [
        {
            "id": each.id,
            "state": _silence_state(each, now),
            "matchers": " ".join(map(str, each.matchers)),
            "start": _clock(each.starts_at),
            "end": _clock(each.ends_at),
            "author": each.author,
            "comment": each.comment,
        }
        for each in found
    ]
    table = Table(
        id="silences-table",
        caption="Silences, also those that have ended in the last 5 days",
        columns=_SILENCES,
        rows=rows,
        sort=sort,
        parameter="silences",
        empty="no silences",
    )
    return Section(title="Silences", table=table, note="The command idlrt monitor silence adds and ends silences.")


def _silence_state(silence: Silence, now: float) -> Badge:
    if silence.is_active(now):
        return Badge(f"active, {duration(silence.ends_at - now)} left", "warning")
    return Badge("ended" if silence.ends_at <= now else "not started", "good")


def _history(found: Sequence[Change], state: ViewState) -> Section:
    rows: list[Mapping[str, Any]] = [
        {
            "at": _clock(each.at),
            "alert": Link(each.rule, state.link(rule=each.rule, page="")),
            "labels": _labels(each.labels),
            "before": each.before,
            "after": Badge(each.after, _LEVELS[each.after]),
            "value": each.value_text,
            "reason": each.reason,
        }
        for each in found
    ]
    table = Table(
        id="history-table",
        caption="Changes of states, the latest first",
        columns=_CHANGES,
        rows=rows,
        parameter="",
        is_tall=True,
        empty="no alert has changed its state yet",
    )
    return Section(title="History", table=table)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
