"""Identities: numbers of metrics, resources and series, and a bound on how many are open.

A number is given when a series is first seen, and its row is written with the next commit. Until that succeeds, the row
stays in line, so a full disk changes no number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from idlrt.collector.store.retention import BY_LABELS, BY_PROGRAM, BY_SERVICE, OUTCOMES
from idlrt.observe.metric import OTHER, Labels, Metric

__all__ = ["Identities", "Ids", "text_of"]

_encode: Final = msgspec.json.encode


def text_of(resource: Mapping[str, str]) -> str:
    """Return a resource as text, independent of the order of its keys."""
    return _encode(resource, order="sorted").decode()


_OTHER: Final = text_of({"service": OTHER})


class Ids(NamedTuple):
    """Numbers of a series and of its aggregates.

    Attributes:
        details: the series and the aggregate of its program, which are kept as long as series by instance.
        aggregates: aggregates over instances.
    """

    details: tuple[int, ...]
    aggregates: tuple[int, ...]


_NONE: Final[Mapping[Labels, Ids]] = {}


class Identities:
    """Numbers of what the writer has seen.

    Args:
        connection: connection of the writer.
        max_open: maximum number of open series by instance.

    Attributes:
        number: number of open series by instance.
        overflowed: number of values that count as `OTHER`.
    """

    def __init__(self, connection: sqlite3.Connection, max_open: int) -> None:
        self._connection = connection
        self._max_open = max_open
        # Series of this period and of the one before, which `turn` ends.
        self._open: dict[tuple[Metric, str], dict[Labels, Ids]] = {}
        self._earlier: dict[tuple[Metric, str], dict[Labels, Ids]] = {}
        self.number = 0
        self._metrics: dict[Metric, int] = {}
        self._resources: dict[str, int] = {}
        self._aggregates: dict[tuple[int, int, int, str], int] = {}
        self._last = {name: self._largest(name) for name in ("metric", "resource", "series")}
        self._new: list[tuple[str, tuple[object, ...]]] = []
        self.overflowed = 0

    def _largest(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0])

    def metric(self, metric: Metric) -> int:
        """Return the number of a metric."""
        found = self._metrics.get(metric)
        if found is None:
            data = _encode(metric).decode()
            found = self._known("SELECT id FROM metric WHERE data = ?", (data,))
            if found is None:
                found = self._next("metric")
                self._new.append(("INSERT INTO metric VALUES (?, ?, ?)", (found, metric.name, data)))
            self._metrics[metric] = found
        return found

    def resource(self, owner: str) -> int:
        """Return the number of a resource, given as text."""
        found = self._resources.get(owner)
        if found is None:
            found = self._known("SELECT id FROM resource WHERE data = ?", (owner,))
            if found is None:
                found = self._next("resource")
                self._new.append(("INSERT INTO resource VALUES (?, ?)", (found, owner)))
            self._resources[owner] = found
        return found

    def opened(self, metric: Metric, owner: str) -> Mapping[Labels, Ids]:
        """Return the open series of a metric and a resource, given as text."""
        return self._open.get((metric, owner), _NONE)

    def series(self, metric: Metric, owner: str, labels: Labels, at: int) -> Ids:
        """Open a series, and return its numbers.

        Series beyond the maximum count as `OTHER`, in all labels and as the service. Nothing is remembered of them.

        Args:
            metric: the metric.
            owner: the resource, as text.
            labels: labels of the series.
            at: start of the cell, in seconds since 1970.
        """
        key = metric, owner
        found = self._open.get(key, _NONE).get(labels)
        if found is not None:
            return found
        found = self._earlier.get(key, {}).pop(labels, None)
        if found is None:
            if self.number >= self._max_open and owner != _OTHER:
                self.overflowed += 1
                return self.series(metric, _OTHER, (OTHER,) * len(labels), at)
            found = self._all(metric, owner, labels, at)
            self.number += 1
        self._open.setdefault(key, {})[labels] = found
        return found

    def _all(self, metric: Metric, owner: str, labels: Labels, at: int) -> Ids:
        number, program = self.metric(metric), self.resource(owner)
        one = self._one(number, 0, program, labels, at)
        if metric.kind == "gauge":
            return Ids((one,), ())
        name = msgspec.json.decode(owner, type=dict[str, str]).get("service", "")
        service = self.resource(text_of({"service": name}))
        outcome = tuple(value if name in OUTCOMES else "" for name, value in zip(metric.labels, labels, strict=True))
        return Ids(
            (one, self._aggregate(number, BY_PROGRAM, program, outcome, at)),
            (
                self._aggregate(number, BY_LABELS, service, labels, at),
                self._aggregate(number, BY_SERVICE, service, outcome, at),
            ),
        )

    def _aggregate(self, number: int, aggregate: int, owner: int, labels: Labels, at: int) -> int:
        key = (number, aggregate, owner, "\0".join(labels))
        found = self._aggregates.get(key)
        if found is None:
            found = self._aggregates[key] = self._one(number, aggregate, owner, labels, at)
        return found

    def _one(self, metric: int, aggregate: int, owner: int, labels: Labels, at: int) -> int:
        data = _encode(labels).decode()
        query = "SELECT id FROM series WHERE metric = ? AND aggregate = ? AND resource = ? AND labels = ?"
        found = self._known(query, (metric, aggregate, owner, data))
        if found is None:
            found = self._next("series")
            row = (found, metric, aggregate, owner, data, at)
            self._new.append(("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?)", row))
        return found

    def _known(self, query: str, values: tuple[object, ...]) -> int | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else int(row[0])

    def _next(self, table: str) -> int:
        self._last[table] += 1
        return self._last[table]

    def open_series(self) -> Iterator[int]:
        """Yield the numbers of all open series and their aggregates."""
        for opened in (*self._open.values(), *self._earlier.values()):
            for each in opened.values():
                yield from each.details
                yield from each.aggregates

    def write(self) -> None:
        """Write the rows of new numbers in the open transaction."""
        for query, values in self._new:
            self._connection.execute(query, values)

    def written(self) -> None:
        """Forget the rows that a transaction has written."""
        self._new.clear()

    def turn(self) -> None:
        """End a period: series that were not seen in the one before are no longer open.

        Only after `written`, because the numbers of those that are forgotten are read from the file.
        """
        if self._new:
            return
        self._earlier, self._open = self._open, {}
        self.number = sum(map(len, self._earlier.values()))
        self.forget()

    def forget(self) -> None:
        """Forget numbers that are in the file, and may have been deleted there, of what is not open.

        Only after `written`.
        """
        self._aggregates.clear()
        self._resources.clear()
        self._metrics.clear()
