"""Store of the collector: what programs have measured, in cells of 10 s and coarser ones, in one file.

One thread puts, commits and maintains; any number of threads read.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from idlrt.collector.store import summaries
from idlrt.collector.store.blocks import decode_one, encode_one
from idlrt.collector.store.database import Database, StoreError
from idlrt.collector.store.identities import Identities, text_of
from idlrt.collector.store.keys import key, keys
from idlrt.collector.store.query import Query, Result, Where
from idlrt.collector.store.reading import label_values, metric_names, read, resource_values
from idlrt.collector.store.retention import DEFAULT, Retention
from idlrt.collector.store.rolling import delete_expired, delete_unused, enforce_size, roll_up
from idlrt.collector.store.values import CODES, REPORTS, Stored, stored, summed, total
from idlrt.observe.metric import Metric, Series

__all__ = ["CellStore"]

# Says that a program has reported.
_REPORT: Final = Series(REPORTS, {(): 1.0})
# Seconds that the clock of a program may be ahead; later times count as now.
_AHEAD: Final = 600
# Seconds after which series that nothing was put into are no longer open.
_PERIOD: Final = 3600
# Share of free pages in the file that is not worth the work of returning them.
_SLACK: Final = 0.1


class CellStore:
    """Cells of all series.

    Args:
        path: the file; created if it does not exist. `-wal`, `-shm` and `.lock` files are beside it.
        retention: levels of cells, and how long each is kept. The steps of a file must stay the same.
        max_bytes: upper bound of the size of the file. When it is exceeded, the oldest cells of the finest level are
            deleted first.
        max_series: maximum number of series by instance that are open, i.e. were put into in the last hour or two.
            Further ones count as `OTHER`.
        max_buffered: maximum number of cells that were put and not yet committed.
        now: clock, in seconds since 1970.

    Raises:
        ConfigurationError: the file belongs to another program, is damaged, was written by a newer version, or another
            process writes to it.
        StoreError: it cannot be opened at present.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        retention: Retention = DEFAULT,
        max_bytes: int = 1 << 30,
        max_series: int = 20_000,
        max_buffered: int = 100_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self._retention = retention
        self._max_bytes = max_bytes
        self._max_buffered = max_buffered
        self._now = now
        self._step = retention.levels[0].step
        self._database = Database(self.path)
        try:
            self._database.check_steps([(each.step, each.cells) for each in retention.levels])
            with self._database.translated("read"):
                self._identities = Identities(self._database.writer, max_series)
        except BaseException:
            self._database.close()
            raise
        # Cells by number of the finest level and by tier, then by series.
        self._buffer: dict[tuple[int, int], dict[int, list[Stored]]] = {}
        self._buffered = 0
        # States of writers that were put and not yet committed.
        self._states: dict[str, bytes] = {}
        self._newest = 0.0
        self._turned_at = now()
        self._skipped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, resource: Mapping[str, str], at: float, series: Iterable[Series]) -> None:
        """Add what one program has measured in one step.

        Args:
            resource: identity of the program: `service`, `instance`, `host`, `zone`, `version`; those that are known.
            at: end of the step, in seconds since 1970; it counts in the cell in which it ends. A time of more than
                10 minutes ahead counts as now.
            series: what was added to counters and histograms in the step, and the values of gauges. Counters and
                histograms to which nothing was added may be left out: as the program has reported, they read as zero.

        Raises:
            StoreError: too much was put since the last commit that succeeded; nothing of this was added.
        """
        self.check_space()
        now = self._now()
        at = now if not at <= now + _AHEAD else max(at, self._step)
        number = int(-(-at // self._step)) - 1
        started_at = number * self._step
        details = self._buffer.setdefault((0, number), defaultdict(list))
        aggregates = self._buffer.setdefault((1, number), defaultdict(list))
        before = len(details) + len(aggregates)
        identities, owner = self._identities, text_of(resource)
        with self._database.translated("read"):
            for each in (_REPORT, *series):
                metric, code = each.metric, CODES[each.metric.kind]
                opened = identities.opened(metric, owner)
                for labels, value in each.values.items():
                    if len(labels) != len(metric.labels) or (kept := stored(code, value, at)) is None:
                        self._skipped += 1
                        continue
                    ids = opened.get(labels)
                    if ids is None:
                        ids = identities.series(metric, owner, labels, started_at)
                    for found in ids.details:
                        details[found].append(kept)
                    for found in ids.aggregates:
                        aggregates[found].append(kept)
        self._buffered += len(details) + len(aggregates) - before
        self._newest = max(self._newest, at)

    def check_space(self) -> None:
        """Check that `put` would take more.

        Raises:
            StoreError: it would not; see `put`.
        """
        if self._buffered >= self._max_buffered:
            raise StoreError(
                f"cannot keep more metrics for {str(self.path)!r} in memory: {self._buffered} cells were not written; "
                "commit them first"
            )

    def put_state(self, name: str, data: bytes) -> None:
        """Keep what the writer has to know after a restart; it is written in one transaction with the cells.

        Args:
            name: name of the state.
            data: the state; empty to delete it.
        """
        self._states[name] = data

    def states(self) -> dict[str, bytes]:
        """Return all states that were committed, by name."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT name, data FROM state"))

    def commit(self) -> None:
        """Write what was put, in one transaction. After it returns, that survives a kill and a power failure.

        Raises:
            StoreError: it cannot be written, e.g. because the disk is full. Nothing was written and nothing is lost:
                commit again.
            ConfigurationError: the file is damaged.
        """
        if not self._buffer and not self._states:
            return
        with self._database.transaction("write") as connection:
            for name, data in self._states.items():
                if data:
                    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, data))
                else:
                    connection.execute("DELETE FROM state WHERE name = ?", (name,))
            self._identities.write()
            for (tier, number), cells in sorted(self._buffer.items()):
                _write(connection, tier, number, cells)
            query = (
                "INSERT INTO setting VALUES ('newest', ?1) ON CONFLICT DO UPDATE SET value = ?1 WHERE value + 0 < ?1"
            )
            connection.execute(query, (self._newest,))
        self._identities.written()
        self._buffer.clear()
        self._buffered = 0
        self._states.clear()

    def roll_up(self) -> None:
        """Pack complete blocks, and add them to the cells of coarser levels; `maintain` does this too.

        Raises:
            StoreError: the file cannot be written at present. Blocks that were packed before stay so; try again.
            ConfigurationError: the file is damaged.
        """
        roll_up(self._database, self._retention, self._now())

    def maintain(self) -> None:
        """Roll up, delete what has expired, and bound the size of the file. Call it once a minute, after a commit.

        Raises:
            StoreError: the file cannot be written at present; try again.
            ConfigurationError: the file is damaged.
        """
        now = self._now()
        self.roll_up()
        with self._database.translated("read"):
            row = self._database.writer.execute("SELECT value + 0 FROM setting WHERE name = 'newest'").fetchone()
        # A clock that has jumped ahead must not delete everything.
        newest = min(now, float(row[0]) + _PERIOD) if row is not None else 0.0
        delete_expired(self._database, self._retention, newest)
        enforce_size(self._database, self._retention, self._max_bytes)
        self._database.shrink(self._max_bytes, _SLACK)
        if self._buffer:
            # What is new may belong to what is unused.
            return
        if delete_unused(self._database, self._retention, newest, self._identities.open_series()):
            self._identities.forget()
        if not 0 <= now - self._turned_at < _PERIOD:
            self._identities.turn()
            self._turned_at = now

    def read(
        self,
        metric: str,
        start: float,
        end: float,
        *,
        step: float | None = None,
        where: Where | None = None,
        by: Sequence[str] = (),
        limit: int = 30,
        values: Literal["full", "count"] = "full",
        is_whole: bool = False,
        has_others: bool = True,
    ) -> Result:
        """Return what was committed of a metric between two times.

        Args:
            metric: its name.
            start: start in seconds since 1970; rounded down to a multiple of the step.
            end: end.
            step: length of a step in seconds, rounded up to what is kept for that time; `None` for at most 360 steps.
            where: values that keys of the resource and labels must have, one or one of several. A label takes
                precedence over a key of the resource with the same name.
            by: keys of the resource and labels by which values are grouped.
            limit: maximum number of groups; the smaller ones are in one group with `OTHER` in all of `by`.
            values: `count` for numbers of values instead of histograms, which take many times as long.
            is_whole: whether to return one step from start to end, and groups ordered by their values. The start is
                rounded down by at most a 60th of the time, or to the finest cells that are kept of it, and the end is
                rounded up to the finest cells. Percentiles are within 0.8 % up to 2 hours.
            has_others: whether to return the group of the smaller ones.

        Raises:
            ConfigurationError: an argument is out of range, or the file is damaged.
            StoreError: the file cannot be read at present.
        """
        query = Query(metric, start, end, step, where or {}, tuple(by), limit, values, is_whole, has_others)
        return self.read_many([query])[0]

    def read_many(self, queries: Iterable[Query]) -> list[Result]:
        """Return the answers to several queries of one state of the file; see `read`."""
        with self._database.reading() as connection:
            return [read(connection, self._retention, each) for each in queries]

    def metrics(self) -> list[Metric]:
        """Return all metrics that have cells, by name; of several descriptions of one name the latest."""
        with self._database.reading() as connection:
            return metric_names(connection)

    def labels(self, metric: str) -> dict[str, list[str]]:
        """Return the values of each label of a metric, sorted."""
        with self._database.reading() as connection:
            return label_values(connection, metric)

    def resources(self) -> list[dict[str, str]]:
        """Return the resources of all series by instance."""
        with self._database.reading() as connection:
            return resource_values(connection)

    @property
    def open_series(self) -> int:
        """Number of open series by instance; one of each program counts its reports."""
        return self._identities.number

    @property
    def overflowed(self) -> int:
        """Number of values that count as `OTHER` because too many series are open."""
        return self._identities.overflowed

    @property
    def skipped(self) -> int:
        """Number of values that were not stored: not finite, not of the kind of their metric, or with other labels."""
        return self._skipped

    @property
    def buffered(self) -> int:
        """Number of cells that were put and not yet committed."""
        return self._buffered

    @property
    def used_bytes(self) -> int:
        """Size of the file without free pages."""
        with self._database.translated("read"):
            return self._database.used_bytes

    def close(self) -> None:
        """Close the file. What was not committed is discarded."""
        self._database.close()


def _write(connection: sqlite3.Connection, tier: int, number: int, cells: dict[int, list[Stored]]) -> None:
    """Add pending cells of the finest level."""
    query = "SELECT key, data FROM pending WHERE key BETWEEN ? AND ?"
    present: dict[int, bytes] = dict(connection.execute(query, keys(tier, number, number + 1)))
    totals: dict[int, float] = {}

    def rows() -> Iterator[tuple[int, float, bytes]]:
        for series in sorted(cells):
            at, value = key(tier, number, series), summed(cells[series])
            before = present.get(at)
            if before is not None:
                value = summed((decode_one(before), value))
            totals[series] = total(value)
            yield at, totals[series], encode_one(value)

    connection.executemany("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", rows())
    summaries.update(connection, "pending", key(tier, number), totals)
