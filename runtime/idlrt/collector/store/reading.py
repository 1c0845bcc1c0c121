"""Queries: values of a metric in steps of equal length, by dimensions.

A query reads the smallest aggregate that has all its dimensions, at the coarsest level whose cells divide a step, and
what of finer levels is not rolled up yet. It ranks groups by totals beside the blocks, before it unpacks any.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.collector.store.blocks import decode, decode_one
from idlrt.collector.store.database import key, keys, number_of, series_of
from idlrt.collector.store.retention import Retention, is_of_services, smallest_aggregate
from idlrt.collector.store.rolling import kept_since
from idlrt.collector.store.values import REPORTS, Row, Stored, summed
from idlrt.errors import ConfigurationError
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER, Labels, Metric

__all__ = ["Group", "Query", "Result", "label_values", "metric_names", "read", "resource_values"]

_STEPS: Final = (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400)
_MAX_AUTOMATIC: Final = 360
_MAX_STEPS: Final = 20_000
# Series up to which single rows are looked up instead of reading all rows of a time.
_FEW: Final = 64
_COMBINE: Final[dict[str, Callable[[Iterable[float]], float]]] = {"sum": sum, "max": max, "min": min}
_as_texts: Final = msgspec.json.Decoder(tuple[str, ...])
_as_resource: Final = msgspec.json.Decoder(dict[str, str])
_as_metric: Final = msgspec.json.Decoder(Metric)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one group of series.

    Attributes:
        labels: values of the dimensions that were asked for.
        values: one for each step: a histogram, what was added to a counter, or the last value of a gauge in the step.
            `None` is a gap: no program of the group has reported. Without calls it is an empty histogram or 0.
        lows: smallest values of a gauge; empty for other kinds. Where gauges of several series are summed, the sum of
            their smallest values, which is a lower bound.
        highs: largest values of a gauge, in the same way.
    """

    labels: Mapping[str, str]
    values: Sequence[Histogram | float | None]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a query.

    Attributes:
        metric: the metric; `None` if there is none of that name.
        start: start of the first step, in seconds since 1970.
        step: length of a step in seconds.
        steps: number of steps.
        error: bound of the relative error of percentiles, besides 3 ns.
        groups: groups, the largest one first, and the one of all others at the end.
    """

    metric: Metric | None
    start: int
    step: int
    steps: int
    error: float
    groups: Sequence[Group] = ()


class _Wanted(msgspec.Struct, frozen=True):
    """Series of a query, and where their cells are.

    Attributes:
        aggregate: number of the aggregate; 0 for series by instance.
        level: index of the level.
        tier: its tier.
        start: start of the first step.
        step: length of a step.
        steps: number of steps.
        groups: group of each series.
    """

    aggregate: int
    level: int
    start: int
    step: int
    steps: int
    groups: dict[int, Labels]

    @property
    def tier(self) -> int:
        return 2 * self.level + is_of_services(self.aggregate)

    @property
    def end(self) -> int:
        return self.start + self.step * self.steps


class Query(msgspec.Struct, frozen=True):
    """Arguments of `CellStore.read`, which describes them."""

    metric: str
    start: float
    end: float
    step: float | None
    where: Mapping[str, str]
    by: Labels
    limit: int

    def check(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one is out of range.
        """
        if not (math.isfinite(self.start) and math.isfinite(self.end) and 0 <= self.start < self.end):
            raise ConfigurationError(
                f"read: the end must be after the start, and both after 1970, got {self.start} and {self.end}"
            )
        if self.step is not None and not (math.isfinite(self.step) and self.step > 0):
            raise ConfigurationError(f"step: must be greater than 0, got {self.step}")
        if self.limit < 1:
            raise ConfigurationError(f"limit: must be at least 1, got {self.limit}")


def read(connection: sqlite3.Connection, retention: Retention, query: Query) -> Result:
    """Read in the transaction of the connection."""
    query.check()
    by = query.by
    metrics = _metrics(connection, query.metric)
    is_gauge = any(each.kind == "gauge" for each in metrics.values())
    aggregate = 0 if is_gauge else _aggregate(metrics, {*by, *query.where})
    level, step = _level(kept_since(connection), retention, aggregate, query)
    start = int(query.start // step) * step
    steps = -int(-(query.end - start) // step)
    if steps > _MAX_STEPS:
        raise ConfigurationError(f"step: {steps} steps are too many, the maximum is {_MAX_STEPS}; use a longer step")
    error = 0.04 if retention.levels[level].is_coarse else 0.008
    if not metrics:
        return Result(metric=None, start=start, step=step, steps=steps, error=error)
    groups = _groups(connection, metrics, aggregate, query.where, by)
    wanted = _Wanted(aggregate, level, start, step, steps, groups)
    ranks = _ranks(connection, retention, wanted)
    latest = metrics[max(metrics)]
    other = (OTHER,) * len(by)
    if len(ranks) > query.limit:
        kept = set(sorted(ranks, key=lambda each: (-ranks[each], each))[: query.limit])
        for series, group in groups.items():
            if group not in kept:
                groups[series] = other
    if is_gauge:
        found = _gauges(connection, retention, wanted, latest)
    else:
        found = _sums(connection, retention, wanted)
        of_labels = {name for each in metrics.values() for name in each.labels}
        zero = Row(0, 0, 0, 0, 0, 0, 0, 0, 0) if latest.kind == "histogram" else 0.0
        _fill(connection, retention, wanted, query, of_labels, found, zero)
    order = sorted(found, key=lambda each: (each == other, -ranks.get(each, 0), each))
    shown = [_group(dict(zip(by, each, strict=True)), found[each], is_gauge=is_gauge) for each in order]
    return Result(metric=latest, start=start, step=step, steps=steps, error=error, groups=shown)


def _metrics(connection: sqlite3.Connection, name: str) -> dict[int, Metric]:
    """Return the descriptions of a metric, those of the same kind as the latest."""
    rows = connection.execute("SELECT id, data FROM metric WHERE name = ?", (name,))
    found = {int(number): _as_metric.decode(data) for number, data in rows}
    return {number: each for number, each in found.items() if each.kind == found[max(found)].kind}


def _aggregate(metrics: Mapping[int, Metric], dimensions: set[str]) -> int:
    """Return the smallest aggregate that has all dimensions, in all descriptions of a metric."""
    found = {smallest_aggregate(each.labels, dimensions) for each in metrics.values()}
    return found.pop() if len(found) == 1 else 0


def _level(kept: Mapping[int, int], retention: Retention, aggregate: int, query: Query) -> tuple[int, int]:
    """Return the index of the level to read, and the length of a step."""
    levels = retention.levels
    wanted = query.step
    if wanted is None:
        least = (query.end - query.start) / _MAX_AUTOMATIC
        wanted = next((each for each in _STEPS if each >= least), least)
    since = [kept.get(2 * at + is_of_services(aggregate), 0) for at in range(len(levels))]
    covers = [at for at in range(len(levels)) if since[at] <= query.start] or [since.index(min(since))]
    # The coarsest one whose cells divide the step, or else the finest one.
    for at in reversed(covers):
        length = levels[at].step
        if length <= wanted and math.ceil(wanted) % length == 0:
            return at, math.ceil(wanted)
    length = levels[covers[0]].step
    return covers[0], math.ceil(wanted / length) * length


def _groups(
    connection: sqlite3.Connection,
    metrics: Mapping[int, Metric],
    aggregate: int,
    where: Mapping[str, str],
    by: Sequence[str],
) -> dict[int, Labels]:
    """Return the group of each series that matches."""
    query = (
        "SELECT s.id, s.metric, s.labels, r.data FROM series s JOIN resource r ON r.id = s.resource "
        "WHERE s.aggregate = ? AND s.metric IN (SELECT value FROM json_each(?))"
    )
    found: dict[int, Labels] = {}
    for series, metric, labels, resource in connection.execute(query, (aggregate, json.dumps(list(metrics)))):
        values = _as_resource.decode(resource)
        values.update(zip(metrics[metric].labels, _as_texts.decode(labels), strict=True))
        if all(values.get(name, "") == value for name, value in where.items()):
            found[int(series)] = tuple(values.get(name, "") for name in by)
    return found


def _ranks(connection: sqlite3.Connection, retention: Retention, wanted: _Wanted) -> dict[Labels, float]:
    """Return the total of each group, about: of all blocks that are in the time in part."""
    found: dict[Labels, float] = {}
    for table, first, last in _ranges(retention, wanted):
        rows: Iterable[tuple[int, Any]] = _rows(connection, table, first, last, wanted.groups, "total")
        if len(wanted.groups) > _FEW:
            query = f"SELECT key & 134217727, sum(total) FROM {table} WHERE key BETWEEN ? AND ? GROUP BY 1"
            rows = connection.execute(query, (first, last))
        for at, weight in rows:
            group = wanted.groups.get(series_of(at))
            if group is not None:
                found[group] = found.get(group, 0.0) + weight
    return found


def _ranges(retention: Retention, wanted: _Wanted) -> Iterator[tuple[str, int, int]]:
    """Yield where cells are: the table, the smallest and the largest key."""
    level = retention.levels[wanted.level]
    yield "block", *keys(wanted.tier, wanted.start // level.span, -(-wanted.end // level.span))
    for at in range(wanted.level, -1, -1):
        length = retention.levels[at].step
        yield "pending", *keys(wanted.tier - 2 * (wanted.level - at), wanted.start // length, -(-wanted.end // length))


def _rows(
    connection: sqlite3.Connection, table: str, first: int, last: int, groups: Mapping[int, Labels], column: str
) -> Iterator[tuple[int, Any]]:
    """Yield the keys and values of the series of a query in a range of keys."""
    if len(groups) > _FEW:
        for row in connection.execute(f"SELECT key, {column} FROM {table} WHERE key BETWEEN ? AND ?", (first, last)):
            if series_of(row[0]) in groups:
                yield row
        return
    series = json.dumps(list(groups))
    query = f"SELECT key, {column} FROM {table} WHERE key IN (SELECT value + ? FROM json_each(?))"
    following = f"SELECT min(key) FROM {table} WHERE key BETWEEN ? AND ?"
    while True:
        # Skip to the next number that has rows.
        found = connection.execute(following, (first, last)).fetchone()[0]
        if found is None:
            return
        base = int(found) - series_of(found)
        yield from connection.execute(query, (base, series))
        first = base + key(0, 1)


def _cells(connection: sqlite3.Connection, retention: Retention, wanted: _Wanted) -> Iterator[tuple[int, int, Stored]]:
    """Yield the series, the index of the step and the value of all cells."""
    level = retention.levels[wanted.level]
    start, step, steps = wanted.start, wanted.step, wanted.steps
    for table, first, last in _ranges(retention, wanted):
        for at, data in _rows(connection, table, first, last, wanted.groups, "data"):
            series, number = series_of(at), number_of(at)
            if table == "block":
                begin = number * level.span - start
                for position, value in decode(data).items():
                    index = (begin + position * level.step) // step
                    if 0 <= index < steps:
                        yield series, index, value
            else:
                length = _length(retention, at)
                index = (number * length - start) // step
                if 0 <= index < steps:
                    yield series, index, decode_one(data)


def _length(retention: Retention, at: int) -> int:
    """Return the length of a pending cell in seconds."""
    return retention.levels[at // key(2, 0)].step


def _sums(connection: sqlite3.Connection, retention: Retention, wanted: _Wanted) -> dict[Labels, list[Stored | None]]:
    """Return the sums of counters or histograms by group and step."""
    parts: dict[Labels, list[list[Stored]]] = {}
    groups = wanted.groups
    for series, index, value in _cells(connection, retention, wanted):
        values = parts.get(groups[series])
        if values is None:
            values = parts[groups[series]] = [[] for _ in range(wanted.steps)]
        values[index].append(value)
    return {group: [summed(each) if each else None for each in values] for group, values in parts.items()}


def _fill(
    connection: sqlite3.Connection,
    retention: Retention,
    wanted: _Wanted,
    query: Query,
    of_labels: set[str],
    found: dict[Labels, list[Stored | None]],
    zero: Stored,
) -> None:
    """Set steps without a value to zero if a program of the group has reported."""
    names = tuple(each for each in query.by if each not in of_labels)
    where = {name: value for name, value in query.where.items() if name not in of_labels}
    aggregate = smallest_aggregate((), {*names, *where})
    groups = _groups(connection, _metrics(connection, REPORTS.name), aggregate, where, names)
    reports = msgspec.structs.replace(wanted, aggregate=aggregate, groups=groups)
    present: dict[Labels, set[int]] = {}
    for series, index, _ in _cells(connection, retention, reports):
        present.setdefault(groups[series], set()).add(index)
    other = (OTHER,) * len(query.by)
    for group, values in found.items():
        of_programs = tuple(value for name, value in zip(query.by, group, strict=True) if name not in of_labels)
        steps = set[int]().union(*present.values()) if group == other else present.get(of_programs, set[int]())
        for index in steps:
            if values[index] is None:
                values[index] = zero


def _gauges(
    connection: sqlite3.Connection, retention: Retention, wanted: _Wanted, metric: Metric
) -> dict[Labels, list[Stored | None]]:
    """Return gauges by group and step: each series over time first, then all series of a group."""
    by_series: dict[int, dict[int, Stored]] = {}
    for series, index, value in _cells(connection, retention, wanted):
        values = by_series.setdefault(series, {})
        values[index] = summed((values[index], value)) if index in values else value
    combine = _COMBINE[metric.merge]
    parts: dict[Labels, dict[int, list[tuple[float, ...]]]] = {}
    for series, values in by_series.items():
        of_group = parts.setdefault(wanted.groups[series], {})
        for index, value in values.items():
            if isinstance(value, tuple):
                of_group.setdefault(index, []).append(value)
    found: dict[Labels, list[Stored | None]] = {}
    for group, steps in parts.items():
        row = found[group] = [None] * wanted.steps
        for index, gauges in steps.items():
            _, lasts, lows, highs = zip(*gauges, strict=True)
            row[index] = (0.0, float(combine(lasts)), float(combine(lows)), float(combine(highs)))
    return found


def _group(labels: dict[str, str], values: list[Stored | None], *, is_gauge: bool) -> Group:
    if is_gauge:
        columns = [[each[at] if isinstance(each, tuple) else None for each in values] for at in (1, 2, 3)]
        return Group(labels=labels, values=columns[0], lows=columns[1], highs=columns[2])
    shown: list[Histogram | float | None] = [
        each.histogram() if isinstance(each, Row) else each if not isinstance(each, tuple) else None for each in values
    ]
    return Group(labels=labels, values=shown)


def metric_names(connection: sqlite3.Connection) -> list[Metric]:
    """Return all metrics that have series."""
    query = "SELECT name, data FROM metric WHERE id IN (SELECT metric FROM series) ORDER BY id"
    found = {name: _as_metric.decode(data) for name, data in connection.execute(query) if name != REPORTS.name}
    return [found[name] for name in sorted(found)]


def label_values(connection: sqlite3.Connection, name: str) -> dict[str, list[str]]:
    """Return the values of the labels of a metric."""
    metrics = _metrics(connection, name)
    found: dict[str, set[str]] = {}
    query = "SELECT metric, labels FROM series WHERE aggregate = 0 AND metric IN (SELECT value FROM json_each(?))"
    for metric, labels in connection.execute(query, (json.dumps(list(metrics)),)):
        for label, value in zip(metrics[metric].labels, _as_texts.decode(labels), strict=True):
            found.setdefault(label, set()).add(value)
    return {label: sorted(values) for label, values in found.items()}


def resource_values(connection: sqlite3.Connection) -> list[dict[str, str]]:
    """Return the resources of all series by instance."""
    query = "SELECT data FROM resource WHERE id IN (SELECT resource FROM series WHERE aggregate = 0) ORDER BY data"
    return [_as_resource.decode(data) for (data,) in connection.execute(query)]
