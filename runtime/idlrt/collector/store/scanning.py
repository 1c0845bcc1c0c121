"""Where the cells of a query are, and how they are read and added.

A query reads nested times, one for each level. Blocks of a level are read in what is in its time and not in that of the
next level. Pending cells of a level are read in all of its time, because no coarser level has them yet. So each cell
counts once, whichever levels a query combines.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from idlrt.collector.store import summaries
from idlrt.collector.store.adding import Sum
from idlrt.collector.store.blocks import counts, decode, decode_one, packed, packed_one
from idlrt.collector.store.keys import key, keys, number_of, series_of
from idlrt.collector.store.retention import Level, Retention, is_of_services
from idlrt.collector.store.values import Gauge, Stored
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels

__all__ = ["Value", "Wanted", "cells", "counts_of_histograms", "sums_of_histograms", "totals"]

Value: TypeAlias = Histogram | Gauge | float
"""Value of a group in a step: a histogram, a gauge, or a counter or number of values."""

# Series up to which single rows are looked up instead of adding summaries.
_FEW: Final = 64
# Share of all series from which on all rows of a time are read instead of looking up single ones.
_MANY: Final = 0.25


class Wanted(msgspec.Struct, frozen=True):
    """Series of a query, and where their cells are.

    Attributes:
        aggregate: number of the aggregate; 0 for series by instance.
        times: start and end of what is read of each level, the finest one first; each is within the one before, and a
            multiple of the cells of its level.
        start: start of the first step.
        step: length of a step.
        steps: number of steps.
        groups: group of each series.
    """

    aggregate: int
    times: Sequence[tuple[int, int]]
    start: int
    step: int
    steps: int
    groups: dict[int, Labels]


class _Range(NamedTuple):
    """Rows of one table and tier.

    Attributes:
        table: table.
        level: level of the cells.
        tier: tier.
        first: number of the first cell or block.
        end: number after the last one.
        since: start of the time.
        until: end of the time.
    """

    table: summaries.Table
    level: Level
    tier: int
    first: int
    end: int
    since: int
    until: int

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest key."""
        return keys(self.tier, self.first, self.end)

    @property
    def is_complete(self) -> bool:
        """Whether all cells of the rows are in the time."""
        span = self.level.span
        return self.table == "pending" or (self.since % span == 0 and self.until % span == 0)

    def positions(self, number: int) -> tuple[int, int]:
        """Return the first position of a block that is in the time, and the one after the last."""
        begin, step = number * self.level.span, self.level.step
        return max((self.since - begin) // step, 0), min((self.until - begin) // step, self.level.cells)


def _ranges(retention: Retention, wanted: Wanted) -> Iterator[_Range]:
    inner_start = inner_end = wanted.times[-1][1]
    for at in reversed(range(len(wanted.times))):
        level, tier = retention.levels[at], 2 * at + is_of_services(wanted.aggregate)
        start, end = wanted.times[at]
        for since, until in ((start, inner_start), (inner_end, end)):
            if since < until:
                yield _Range("block", level, tier, since // level.span, -(-until // level.span), since, until)
        yield _Range("pending", level, tier, start // level.step, end // level.step, start, end)
        inner_start, inner_end = start, end


def _rows(
    connection: sqlite3.Connection, found: _Range, groups: Mapping[int, object], column: str
) -> Iterator[tuple[int, Any]]:
    """Yield the keys and values of the series of a query in a range."""
    first, last = found.bounds
    if first > last or not groups:
        return
    number = connection.execute("SELECT count(*) FROM series").fetchone()[0]
    if len(groups) > max(number * _MANY, _FEW):
        query = f"SELECT key, {column} FROM {found.table} WHERE key BETWEEN ? AND ?"
        for row in connection.execute(query, (first, last)):
            if series_of(row[0]) in groups:
                yield row
        return
    series = json.dumps(sorted(groups))
    query = f"SELECT t.key, t.{column} FROM json_each(?) s CROSS JOIN {found.table} t ON t.key = s.value + ?"
    following = f"SELECT min(key) FROM {found.table} WHERE key BETWEEN ? AND ?"
    while True:
        # Skip to the next number that has rows.
        at = connection.execute(following, (first, last)).fetchone()[0]
        if at is None:
            return
        base = int(at) - series_of(at)
        yield from connection.execute(query, (series, base))
        first = base + key(0, 1)


def totals(connection: sqlite3.Connection, retention: Retention, wanted: Wanted) -> dict[Labels, float]:
    """Return the total of each group, about: of all blocks that are in the time in part."""
    found: dict[Labels, float] = {}
    ends: dict[int, int] = {}
    for each in _ranges(retention, wanted):
        if each.table == "block":
            # Both ends of the time may be in the same block.
            each = each._replace(first=max(each.first, ends.get(each.tier, 0)))
            ends[each.tier] = each.end
        for series, total in _totals(connection, each, wanted.groups):
            group = wanted.groups[series]
            found[group] = found.get(group, 0.0) + total
    return found


def _totals(connection: sqlite3.Connection, found: _Range, groups: Mapping[int, object]) -> Iterator[tuple[int, float]]:
    """Yield the series of a query and their totals of a range."""
    if len(groups) <= _FEW:
        for at, total in _rows(connection, found, groups, "total"):
            yield series_of(at), total
        return
    query = f"SELECT data FROM {found.table}_summary WHERE key BETWEEN ? AND ?"
    for series, total in summaries.added(data for (data,) in connection.execute(query, found.bounds)).items():
        if series in groups:
            yield series, total


def cells(connection: sqlite3.Connection, retention: Retention, wanted: Wanted) -> Iterator[tuple[int, int, Stored]]:
    """Yield the series, the index of the step and the value of all cells."""
    start, step = wanted.start, wanted.step
    for each in _ranges(retention, wanted):
        length, span = each.level.step, each.level.span
        for at, data in _rows(connection, each, wanted.groups, "data"):
            series, number = series_of(at), number_of(at)
            if each.table == "pending":
                yield series, (number * length - start) // step, decode_one(data)
                continue
            first, end = each.positions(number)
            for position, value in decode(data).items():
                if first <= position < end:
                    yield series, (number * span + position * length - start) // step, value


def sums_of_histograms(
    connection: sqlite3.Connection, retention: Retention, wanted: Wanted
) -> dict[Labels, list[Value | None]]:
    """Return the sums of histograms by group and step."""
    if wanted.steps == 1:
        return {group: [each] for group, each in _whole_sums(connection, retention, wanted)}
    parts: dict[Labels, list[Sum | None]] = {}
    start, step, groups = wanted.start, wanted.step, wanted.groups
    for each in _ranges(retention, wanted):
        length, span = each.level.step, each.level.span
        for at, data in _rows(connection, each, groups, "data"):
            group, number = groups[series_of(at)], number_of(at)
            sums = parts.get(group)
            if sums is None:
                sums = parts[group] = [None] * wanted.steps
            if each.table == "pending":
                _sum_of(sums, (number * length - start) // step).add(packed_one(data))
                continue
            offset = number * span - start
            for position, cell in packed(data, *each.positions(number)):
                _sum_of(sums, (offset + position * length) // step).add(cell)
    found: dict[Labels, list[Value | None]] = {}
    for group, sums in parts.items():
        if any(each is not None for each in sums):
            found[group] = [each.histogram() if each is not None else None for each in sums]
    return found


def _whole_sums(
    connection: sqlite3.Connection, retention: Retention, wanted: Wanted
) -> Iterator[tuple[Labels, Histogram]]:
    """Yield the sums of histograms by group. Adding group by group keeps each sum in the caches of the processor."""
    found: dict[Labels, tuple[list[bytes], list[tuple[bytes, int, int]]]] = {}
    groups = wanted.groups
    for each in _ranges(retention, wanted):
        for at, data in _rows(connection, each, groups, "data"):
            group = groups[series_of(at)]
            rows = found.get(group)
            if rows is None:
                rows = found[group] = [], []
            if each.table == "pending":
                rows[0].append(data)
            else:
                rows[1].append((data, *each.positions(number_of(at))))
    for group, (pending, blocks) in found.items():
        sum_of_group, is_empty = Sum(), True
        for data in pending:
            sum_of_group.add(packed_one(data))
            is_empty = False
        for data, first, end in blocks:
            for _, cell in packed(data, first, end):
                sum_of_group.add(cell)
                is_empty = False
        if not is_empty:
            yield group, sum_of_group.histogram()


def _sum_of(sums: list[Sum | None], index: int) -> Sum:
    found = sums[index]
    if found is None:
        found = sums[index] = Sum()
    return found


def counts_of_histograms(
    connection: sqlite3.Connection, retention: Retention, wanted: Wanted
) -> dict[Labels, list[Value | None]]:
    """Return the numbers of values of histograms by group and step, without their counts of buckets."""
    found: dict[Labels, list[float | None]] = {}
    start, step, groups = wanted.start, wanted.step, wanted.groups

    def add(series: int, index: int, count: float) -> None:
        values = found.get(groups[series])
        if values is None:
            values = found[groups[series]] = [None] * wanted.steps
        values[index] = (values[index] or 0.0) + count

    for whole in _ranges(retention, wanted):
        for each in _by_block(whole) if wanted.steps == 1 else (whole,):
            length, span = each.level.step, each.level.span
            if wanted.steps == 1 and each.is_complete:
                for series, count in _totals(connection, each, groups):
                    add(series, 0, count)
            elif each.table == "pending":
                for at, count in _rows(connection, each, groups, "total"):
                    add(series_of(at), (number_of(at) * length - start) // step, count)
            else:
                for at, data in _rows(connection, each, groups, "data"):
                    number = number_of(at)
                    first, end = each.positions(number)
                    for position, count in counts(data):
                        if first <= position < end:
                            add(series_of(at), (number * span + position * length - start) // step, float(count))
    return {group: list[Value | None](values) for group, values in found.items()}


def _by_block(found: _Range) -> Iterator[_Range]:
    """Yield the parts of a range: blocks that are in the time as a whole, and those that are not."""
    span = found.level.span
    since, until = -(-found.since // span) * span, found.until // span * span
    if found.table == "pending" or since >= until:
        yield found
        return
    for start, end in ((found.since, since), (since, until), (until, found.until)):
        if start < end:
            yield found._replace(first=start // span, end=-(-end // span), since=start, until=end)
