"""Queries: values of a metric in steps of equal length, by dimensions.

A query reads the smallest aggregate that has all its dimensions, at the coarsest level whose cells divide a step, or
for one step of the whole time at the coarsest levels for its middle and finer ones for its ends. It ranks groups by
totals beside the blocks, before it unpacks any.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from idlrt.collector.store.identities import text_of
from idlrt.collector.store.query import Group, Query, Result, Where
from idlrt.collector.store.retention import Retention, is_of_services, smallest_aggregate
from idlrt.collector.store.rolling import kept_since
from idlrt.collector.store.scanning import Value, Wanted, cells, counts_of_histograms, sums_of_histograms, totals
from idlrt.collector.store.values import REPORTS, Stored, summed
from idlrt.errors import ConfigurationError
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER, Labels, Metric

__all__ = ["label_values", "metric_names", "read", "resource_values"]

_STEPS: Final = (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400)
_MAX_AUTOMATIC: Final = 360
_MAX_STEPS: Final = 20_000
# Seconds up to which one step of the whole time has fine histograms only.
_FINE: Final = 7200
# Share of such a step by which its start may be rounded.
_ROUNDED: Final = 1 / 60
_COMBINE: Final[dict[str, Callable[[Iterable[float]], float]]] = {"sum": sum, "max": max, "min": min}
_as_metric: Final = msgspec.json.Decoder(Metric)


@lru_cache(1 << 16)
def _as_texts(data: str) -> tuple[str, ...]:
    return msgspec.json.decode(data, type=tuple[str, ...])


@lru_cache(1 << 14)
def _as_resource(data: str) -> Mapping[str, str]:
    return msgspec.json.decode(data, type=dict[str, str])


def read(connection: sqlite3.Connection, retention: Retention, query: Query) -> Result:
    """Read in the transaction of the connection.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    query.check()
    by = query.by
    metrics = _metrics(connection, query.metric)
    is_gauge = any(each.kind == "gauge" for each in metrics.values())
    aggregate = 0 if is_gauge else _aggregate(metrics, {*by, *query.where})
    kept = kept_since(connection)
    since = [kept.get(2 * at + is_of_services(aggregate), 0) for at in range(len(retention.levels))]
    wanted = (_whole if query.is_whole else _stepped)(since, retention, aggregate, query)
    error = 0.04 if retention.levels[len(wanted.times) - 1].is_coarse else 0.008
    answer = Result(metric=None, start=wanted.start, step=wanted.step, steps=wanted.steps, error=error)
    if not metrics:
        return answer
    latest = metrics[max(metrics)]
    wanted = msgspec.structs.replace(wanted, groups=_groups(connection, metrics, aggregate, query.where, by))
    wanted, ranks = _limited(connection, retention, wanted, query)
    if is_gauge:
        found = _gauges(connection, retention, wanted, latest)
    else:
        found = _sums(connection, retention, wanted, latest, query)
        of_labels = {name for each in metrics.values() for name in each.labels}
        is_counted = latest.kind != "histogram" or query.values == "count"
        _fill(connection, retention, wanted, query, of_labels, found, 0.0 if is_counted else Histogram())
    if query.is_whole:
        ranks = {group: _weight(values[0]) for group, values in found.items()}
    other = (OTHER,) * len(by)
    order = sorted(found, key=lambda each: (each == other, -ranks.get(each, 0), each))
    shown = [_group(dict(zip(by, each, strict=True)), found[each], is_gauge=is_gauge) for each in order]
    return msgspec.structs.replace(answer, metric=latest, groups=shown)


def _metrics(connection: sqlite3.Connection, name: str) -> dict[int, Metric]:
    """Return the descriptions of a metric, those of the same kind as the latest."""
    rows = connection.execute("SELECT id, data FROM metric WHERE name = ?", (name,))
    found = {int(number): _as_metric.decode(data) for number, data in rows}
    return {number: each for number, each in found.items() if each.kind == found[max(found)].kind}


def _aggregate(metrics: Mapping[int, Metric], dimensions: set[str]) -> int:
    """Return the smallest aggregate that has all dimensions, in all descriptions of a metric."""
    found = {smallest_aggregate(each.labels, dimensions) for each in metrics.values()}
    return found.pop() if len(found) == 1 else 0


def _covers(since: Sequence[int], query: Query) -> list[int]:
    """Return the levels that have the start of the query, or the one that goes back longest; the finest one first."""
    return [at for at, each in enumerate(since) if each <= query.start] or [since.index(min(since))]


def _stepped(since: Sequence[int], retention: Retention, aggregate: int, query: Query) -> Wanted:
    """Return what is read of a query in steps: one level."""
    levels, covers = retention.levels, _covers(since, query)
    least = query.step
    if least is None:
        least = (query.end - query.start) / _MAX_AUTOMATIC
        least = next((each for each in _STEPS if each >= least), least)
    step = math.ceil(least)
    # The coarsest level whose cells divide the step, or else the finest one.
    found = next((at for at in reversed(covers) if levels[at].step <= least and step % levels[at].step == 0), None)
    if found is None:
        found = covers[0]
        length = levels[found].step
        step = math.ceil(least / length) * length
    start = int(query.start // step) * step
    steps = -int(-(query.end - start) // step)
    if steps > _MAX_STEPS:
        raise ConfigurationError(f"step: {steps} steps are too many, the maximum is {_MAX_STEPS}; use a longer step")
    return Wanted(aggregate, [(start, start + steps * step)] * (found + 1), start, step, steps, {})


def _whole(since: Sequence[int], retention: Retention, aggregate: int, query: Query) -> Wanted:
    """Return what is read of a query of one step: finer levels at its ends, and the coarsest one in its middle."""
    levels, covers = retention.levels, _covers(since, query)
    is_fine = query.end - query.start <= _FINE
    least = (query.end - query.start) * _ROUNDED
    # The start is rounded, because it costs a block of each series that is read for some of its cells.
    first = max(
        [at for at in covers if levels[at].step <= least and not (is_fine and levels[at].is_coarse)] or covers[:1]
    )
    length = levels[first].step
    start = int(query.start // length) * length
    last = next((at for at in range(first) if since[at] <= query.end - 2 * length), first)
    end = -int(-query.end // levels[last].step) * levels[last].step
    times = [(start, end)] * (last + 1)
    for at in range(last + 1, len(levels)):
        length = levels[at].step
        inner = -(-times[-1][0] // length) * length, times[-1][1] // length * length
        if inner[0] >= inner[1] or since[at] > inner[0] or (at > first and is_fine and levels[at].is_coarse):
            break
        times.append(inner)
    return Wanted(aggregate, times, start, end - start, 1, {})


def _groups(
    connection: sqlite3.Connection,
    metrics: Mapping[int, Metric],
    aggregate: int,
    where: Where,
    by: Sequence[str],
) -> dict[int, Labels]:
    """Return the group of each series that matches."""
    query = (
        "SELECT s.id, s.metric, s.labels, r.data FROM series s JOIN resource r ON r.id = s.resource "
        "WHERE s.aggregate = ? AND s.metric IN (SELECT value FROM json_each(?))"
    )
    arguments: list[object] = [aggregate, json.dumps(list(metrics))]
    service = where.get("service")
    is_label = any("service" in each.labels for each in metrics.values())
    if isinstance(service, str) and is_of_services(aggregate) and not is_label:
        # The resource of such a series is the service alone, which is found by an index.
        query += " AND r.data = ?"
        arguments.append(text_of({"service": service}))
    wanted = {name: {value} if isinstance(value, str) else frozenset(value) for name, value in where.items()}
    found: dict[int, Labels] = {}
    for series, metric, labels, resource in connection.execute(query, arguments):
        values = {**_as_resource(resource), **dict(zip(metrics[metric].labels, _as_texts(labels), strict=True))}
        if all(values.get(name, "") in value for name, value in wanted.items()):
            found[int(series)] = tuple([values.get(name, "") for name in by])
    return found


def _limited(
    connection: sqlite3.Connection, retention: Retention, wanted: Wanted, query: Query
) -> tuple[Wanted, dict[Labels, float]]:
    """Return the query with the smaller groups as one, or without them, and the totals by which groups are ranked."""
    number = len(set(wanted.groups.values()))
    # One step of the whole time is ordered by what was read.
    if number <= 1 or (query.is_whole and number <= query.limit):
        return wanted, {}
    ranks = totals(connection, retention, wanted)
    if len(ranks) <= query.limit:
        return wanted, ranks
    kept = set(sorted(ranks, key=lambda each: (-ranks[each], each))[: query.limit])
    other = (OTHER,) * len(query.by)
    groups = {
        series: group if group in kept else other
        for series, group in wanted.groups.items()
        if query.has_others or group in kept
    }
    return msgspec.structs.replace(wanted, groups=groups), ranks


def _sums(
    connection: sqlite3.Connection, retention: Retention, wanted: Wanted, metric: Metric, query: Query
) -> dict[Labels, list[Value | None]]:
    """Return the sums of counters or histograms by group and step."""
    if metric.kind == "histogram":
        if query.values == "count":
            return counts_of_histograms(connection, retention, wanted)
        return sums_of_histograms(connection, retention, wanted)
    found: dict[Labels, list[Value | None]] = {}
    for series, index, value in cells(connection, retention, wanted):
        if isinstance(value, (int, float)):
            values = found.setdefault(wanted.groups[series], [None] * wanted.steps)
            before = values[index]
            values[index] = value + before if isinstance(before, (int, float)) else value
    return found


def _fill(
    connection: sqlite3.Connection,
    retention: Retention,
    wanted: Wanted,
    query: Query,
    of_labels: set[str],
    found: dict[Labels, list[Value | None]],
    zero: Value,
) -> None:
    """Set steps without a value to zero if a program of the group has reported."""
    other = (OTHER,) * len(query.by)

    def programs_of(group: Labels) -> Labels | None:
        """Return what a group says of programs; `None` is all of them."""
        if group == other:
            return None
        return tuple([value for name, value in zip(query.by, group, strict=True) if name not in of_labels])

    needed = {programs_of(group) for group, values in found.items() if None in values}
    if not needed:
        return
    names = tuple(each for each in query.by if each not in of_labels)
    where = {name: value for name, value in query.where.items() if name not in of_labels}
    aggregate = smallest_aggregate((), {*names, *where})
    groups = _groups(connection, _metrics(connection, REPORTS.name), aggregate, where, names)
    if None not in needed:
        groups = {series: group for series, group in groups.items() if group in needed}
    reports = msgspec.structs.replace(wanted, aggregate=aggregate, groups=groups)
    present: dict[Labels | None, set[int]] = {None: set()}
    for series, index, _ in cells(connection, retention, reports):
        present.setdefault(groups[series], set()).add(index)
        present[None].add(index)
    for group, values in found.items():
        for index in present.get(programs_of(group), ()):
            if values[index] is None:
                values[index] = zero


def _gauges(
    connection: sqlite3.Connection, retention: Retention, wanted: Wanted, metric: Metric
) -> dict[Labels, list[Value | None]]:
    """Return gauges by group and step: each series over time first, then all series of a group."""
    by_series: dict[int, dict[int, Stored]] = {}
    for series, index, value in cells(connection, retention, wanted):
        values = by_series.setdefault(series, {})
        values[index] = summed((values[index], value)) if index in values else value
    combine = _COMBINE[metric.merge]
    parts: dict[Labels, dict[int, list[tuple[float, ...]]]] = {}
    for series, values in by_series.items():
        of_group = parts.setdefault(wanted.groups[series], {})
        for index, value in values.items():
            if isinstance(value, tuple):
                of_group.setdefault(index, []).append(value)
    found: dict[Labels, list[Value | None]] = {}
    for group, steps in parts.items():
        row = found[group] = [None] * wanted.steps
        for index, gauges in steps.items():
            _, lasts, lows, highs = zip(*gauges, strict=True)
            row[index] = (0.0, float(combine(lasts)), float(combine(lows)), float(combine(highs)))
    return found


def _group(labels: dict[str, str], values: list[Value | None], *, is_gauge: bool) -> Group:
    if is_gauge:
        columns = [[each[at] if isinstance(each, tuple) else None for each in values] for at in (1, 2, 3)]
        return Group(labels=labels, values=columns[0], lows=columns[1], highs=columns[2])
    return Group(labels=labels, values=[each if not isinstance(each, tuple) else None for each in values])


def _weight(value: Value | None) -> float:
    """Return what groups are ordered by."""
    if isinstance(value, Histogram):
        return float(value.count)
    return value[1] if isinstance(value, tuple) else float(value or 0)


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
        for label, value in zip(metrics[metric].labels, _as_texts(labels), strict=True):
            found.setdefault(label, set()).add(value)
    return {label: sorted(values) for label, values in found.items()}


def resource_values(connection: sqlite3.Connection) -> list[dict[str, str]]:
    """Return the resources of all series by instance."""
    query = "SELECT data FROM resource WHERE id IN (SELECT resource FROM series WHERE aggregate = 0) ORDER BY data"
    return [{**_as_resource(data)} for (data,) in connection.execute(query)]
