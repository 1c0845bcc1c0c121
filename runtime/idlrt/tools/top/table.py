"""Table of figures: the rows of a poll in a view, with calls in flight and instances that cannot be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from idlrt.observe.catalogue import CLIENT_IN_FLIGHT, SERVER_IN_FLIGHT, TARGET
from idlrt.observe.figures import Figures, Report, report
from idlrt.observe.histogram import Histogram
from idlrt.observe.resources import IN_FLIGHT
from idlrt.observe.snapshot import Snapshot
from idlrt.tools.top.poll import Poll, Reading
from idlrt.tools.top.view import View

__all__ = ["SORT_KEYS", "Reports", "Row", "Table", "in_flight", "make_table"]

Where: TypeAlias = Mapping[str, str]

_NONE: Final = Figures()
_INSTANCE: Final = "instance"
# Gauge of a side, and its label of each dimension.
_IN_FLIGHT: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "server": (SERVER_IN_FLIGHT.name, {}),
    "client": (CLIENT_IN_FLIGHT.name, {"target": TARGET}),
    "resource": (IN_FLIGHT.name, {"service": "system"}),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row.

    Attributes:
        name: value of the dimension.
        figures: figures of the period.
        pv: number of calls since the start of the instances.
        in_flight: calls in flight; `None` if it is not known for such a row.
        uptime_s: seconds since the start, for instances.
        error: why an instance could not be read; empty for other rows.
    """

    name: str
    figures: Figures = _NONE
    pv: int = 0
    in_flight: float | None = None
    uptime_s: float | None = None
    error: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures as they are shown.

    Attributes:
        at: time of the poll, in seconds since 1970.
        period_s: seconds that the figures cover; `None`: since the start.
        rows: sorted rows that match the filter, up to the limit.
        count: number of rows without filter and limit.
        total: figures of all rows.
        readings: all instances.
    """

    at: float
    period_s: float | None
    rows: Sequence[Row]
    count: int
    total: Row
    readings: Sequence[Reading]

    @property
    def failed(self) -> list[Reading]:
        """Instances that could not be read."""
        return [each for each in self.readings if not each.is_up]

    @property
    def names(self) -> list[str]:
        """Names of the rows."""
        return [each.name for each in self.rows]


class Reports:
    """Reports of one poll, each computed once."""

    def __init__(self, poll: Poll) -> None:
        self.poll = poll
        self._made: dict[object, Report] = {}

    def since_start(self, side: str, by: str, where: Where) -> Report:
        """Return the figures since the start of the instances."""
        return self._report(self.poll.totals, True, side, by, where)

    def added(self, side: str, by: str, where: Where) -> Report | None:
        """Return the figures since the poll before; `None` before the second poll."""
        found = self.poll.added
        return self._report(found, False, side, by, where) if found else None

    def _report(self, snapshots: Sequence[Snapshot], is_total: bool, side: str, by: str, where: Where) -> Report:
        key = (is_total, side, by, tuple(where.items()))
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = report(snapshots, side=side, by=(by,), where=where)
        return found


def make_table(reports: Reports, view: View) -> Table:
    """Return the table of a poll in a view.

    Raises:
        ConfigurationError: the side has no such dimension.
    """
    poll, where = reports.poll, dict(view.where)
    since_start = reports.since_start(view.side, view.by, where)
    added = reports.added(view.side, view.by, where)
    current = since_start if view.is_since_start or added is None else added
    figures = {each.labels[view.by]: each for each in current.rows}
    counts = {each.labels[view.by]: each.pv for each in since_start.rows}
    core = {each.labels[view.by] for each in since_start.rows if each.is_core}
    flying = in_flight(poll, view.side, view.by, where)
    names = dict.fromkeys((*counts, *figures, *(flying or ())))
    instances = {each.name: each for each in poll.readings} if view.by == _INSTANCE else {}
    names |= dict.fromkeys(instances)
    rows = [
        Row(
            name=name,
            figures=figures.get(name) or Figures(labels={view.by: name}, is_core=name in core),
            pv=counts.get(name, 0),
            in_flight=flying.get(name, 0.0) if flying is not None else None,
            uptime_s=_uptime(instances.get(name)),
            error=instances[name].error if name in instances else "",
        )
        for name in names
    ]
    wanted = view.filter.casefold()
    shown = [each for each in rows if wanted in each.name.casefold()]
    shown = sorted(shown, key=lambda each: (-each.pv, each.name))
    shown = _sorted(shown, view)
    whole = in_flight(poll, view.side, "", where)
    return Table(
        at=poll.at,
        period_s=None if current is since_start else current.period_s,
        rows=shown[: view.limit] if view.limit else shown,
        count=len(rows),
        total=Row(
            name="", figures=current.total, pv=since_start.total.pv, in_flight=whole[""] if whole is not None else None
        ),
        readings=poll.readings,
    )


def _uptime(reading: Reading | None) -> float | None:
    return reading.total.seconds if reading is not None and reading.total is not None and reading.is_up else None


def in_flight(poll: Poll, side: str, by: str, where: Where) -> dict[str, float] | None:
    """Return the calls in flight by a dimension; `None` if they are not measured by it, or by one of `where`.

    Args:
        poll: the poll; only instances that could be read in it count.
        side: what they are about.
        by: the dimension; empty for the sum, under the name "".
        where: values of dimensions.
    """
    gauge, labels = _IN_FLIGHT.get(side, ("", {}))
    dimensions = {*where, by} - {""}
    if not gauge or any(each not in labels and each not in (_INSTANCE, "zone", "host") for each in dimensions):
        return None
    found: dict[str, float] = {}
    is_measured = False
    for each in poll.readings:
        series = each.total.series.get(gauge) if each.total is not None and each.is_up else None
        if series is None or each.total is None:
            continue
        is_measured = True
        for values, value in series.values.items():
            known = {**each.total.resource, **dict(zip(series.metric.labels, values, strict=True))}
            known |= {dimension: known.get(label, "") for dimension, label in labels.items()}
            if isinstance(value, Histogram) or any(known.get(name, "") != wanted for name, wanted in where.items()):
                continue
            name = known.get(by, "") if by else ""
            found[name] = found.get(name, 0.0) + value
    if not is_measured:
        return None
    return found if by else {"": found.get("", 0.0)}


SORT_KEYS: Final[Mapping[str, Callable[[Row], float | None]]] = {
    "pv": lambda row: row.pv,
    "qps": lambda row: row.figures.qps,
    "errors": lambda row: row.figures.error_rate,
    "in_flight": lambda row: row.in_flight,
    "avg": lambda row: row.figures.average_s,
    "p50": lambda row: row.figures.p50_s,
    "p90": lambda row: row.figures.p90_s,
    "p99": lambda row: row.figures.p99_s,
    "p999": lambda row: row.figures.p999_s,
    "max": lambda row: row.figures.max_s,
    "uptime": lambda row: row.uptime_s,
}
"""Columns with numbers, by which rows can be sorted; `name` is the other one."""


def _sorted(rows: list[Row], view: View) -> list[Row]:
    if view.sort not in SORT_KEYS:
        return sorted(rows, key=lambda each: each.name, reverse=view.is_reversed)
    key = SORT_KEYS[view.sort]

    def order(row: Row) -> tuple[bool, float]:
        value = key(row)
        if value is None or math.isnan(value):
            return True, 0.0  # at the end in both orders
        return False, value if view.is_reversed else -value

    return sorted(rows, key=order)
