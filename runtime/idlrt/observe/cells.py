"""Cells: histograms and counters of many series that one process records, without locks on the path of a call.

A series is one combination of label values, as a tuple. Each thread writes to cells that no other thread writes to, so
that no count is lost; readers copy and add them. A new thread continues the cells of one that has ended. A forked child
begins with none, because its parent keeps counting its own.

The number of series is bounded. Further ones count as `OTHER`, label by label from the last one, and as dropped.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from idlrt.core.forks import forks
from idlrt.observe.arena import BUCKETS_AT, HISTOGRAM_WORDS, arenas, histogram_of
from idlrt.observe.histogram import MAX_INDEX, SUB_BITS, Histogram
from idlrt.observe.metric import OTHER, Labels, Metric, Series
from idlrt.serialization import compiled

__all__ = ["MAX_SERIES", "Cell", "Counts", "Histograms", "make_cell"]

MAX_SERIES: Final = 2000
"""Default of the maximum number of series of a metric."""

_SHIFT: Final = SUB_BITS + 1
_MAX_SHIFT: Final = (MAX_INDEX >> SUB_BITS) - 1
_MAX_AT: Final = MAX_INDEX + BUCKETS_AT
# Longest duration in nanoseconds: 127 years.
_LONGEST: Final = 4e18
# Sum of all durations, in nanoseconds: 584 years.
_MAX_SUM: Final = (1 << 64) - 1


class Cell:
    """Histogram that one thread writes to, as words of an arena."""

    __slots__ = ("max", "min", "received", "sent", "sum", "words")

    def __init__(self, words: memoryview) -> None:
        self.words = words
        # Copies of words, because reading one takes longer than reading an attribute.
        self.sum = 0
        self.min = 1 << 63
        self.max = 0
        self.received = 0
        self.sent = 0

    def add(self, nanoseconds: int) -> None:
        """Add a duration; a negative one counts as 0."""
        # As `bucket_index`, without the call.
        shift = nanoseconds.bit_length() - _SHIFT
        if shift > 0 and nanoseconds > 0:
            at = (shift << SUB_BITS) + (nanoseconds >> shift) + BUCKETS_AT if shift <= _MAX_SHIFT else _MAX_AT
        elif nanoseconds > 0:
            at = nanoseconds + BUCKETS_AT
        else:
            at, nanoseconds = BUCKETS_AT, 0
        words = self.words
        words[at] += 1
        self.sum = total = self.sum + nanoseconds
        words[0] = total if total <= _MAX_SUM else _MAX_SUM
        if nanoseconds < self.min:
            words[1] = self.min = nanoseconds
        if nanoseconds > self.max:
            words[2] = self.max = nanoseconds

    def add_call(self, seconds: float, received: int, sent: int) -> None:
        """Add a call: its duration in seconds, and the bytes of its messages."""
        nanoseconds = seconds * 1e9 + 0.5
        self.add(int(min(nanoseconds, _LONGEST)) if nanoseconds > 0 else 0)
        words = self.words
        words[3] = self.received = self.received + received
        words[4] = self.sent = self.sent + sent


make_cell: Final[Callable[[memoryview], Cell]] = compiled("Cell") or Cell
"""Makes a cell, in C if there is a compiled module."""


class _Count:
    """Counter that one thread writes to."""

    __slots__ = ("value", "words")

    def __init__(self, words: memoryview) -> None:
        self.words = words
        self.value = 0


C = TypeVar("C", Cell, _Count)


class _Token:
    """Ends with its thread, whose cells the next thread continues."""

    def __init__(self, store: _Store[Any]) -> None:
        self._store = store

    def __del__(self) -> None:
        self._store.has_ended = True


class _Store(Generic[C]):
    """Cells of one thread."""

    __slots__ = ("cells", "has_ended")

    def __init__(self) -> None:
        self.cells: dict[Labels, C] = {}
        self.has_ended = False


class _Local(threading.local):
    cells: dict[Labels, Any] | None = None
    token: Any = None


class _Cells(Generic[C]):
    """Series of one metric; base of `Histograms` and `Counts`."""

    __slots__ = ("__weakref__", "_dropped", "_known", "_local", "_lock", "_max_series", "_stores", "metric")

    def __init__(self, metric: Metric, max_series: int = MAX_SERIES) -> None:
        self.metric = metric
        self._max_series = max_series
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin without counts in a forked child."""
        self._lock = threading.Lock()
        self._local = _Local()
        self._stores: list[_Store[C]] = []
        self._known: set[Labels] = set()
        self._dropped = 0

    @property
    def threads(self) -> int:
        """Number of threads with separate cells."""
        return len(self._stores)

    @property
    def dropped(self) -> int:
        """Number of records whose series counts as `OTHER`."""
        return self._dropped

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self._known)

    @abstractmethod
    def _make(self, labels: Labels) -> C:
        """Return a new cell."""

    def cell(self, labels: Labels) -> C:
        """Return the cell of this thread for a series, or for the one that it counts as. No other thread may use it."""
        with self._lock:
            if labels not in self._known and len(self._known) >= self._max_series:
                self._dropped += 1
                labels = self._other(labels)
            self._known.add(labels)
            cells: dict[Labels, C] | None = self._local.cells
            if cells is None:
                store = next((each for each in self._stores if each.has_ended), None)
                if store is None:
                    store = _Store[C]()
                    self._stores.append(store)
                store.has_ended = False
                cells = self._local.cells = store.cells
                self._local.token = _Token(store)
            cell = cells.get(labels)
            if cell is None:
                cell = cells[labels] = self._make(labels)
            return cell

    def _other(self, labels: Labels) -> Labels:
        for kept in range(len(labels) - 1, 0, -1):
            found = _shortened(labels, kept)
            if found in self._known:
                return found
        # A few more series than the maximum: one for each method whose labels have grown.
        if len(labels) > 1 and len(self._known) < self._max_series + self._max_series // 8:
            return _shortened(labels, len(labels) - 1)
        return _shortened(labels, 0)

    def _parts(self) -> dict[Labels, list[C]]:
        """Return the cells of all threads, by series."""
        parts: dict[Labels, list[C]] = {}
        with self._lock:
            for store in self._stores:
                for labels, cell in store.cells.copy().items():
                    parts.setdefault(labels, []).append(cell)
        return parts


def _shortened(labels: Labels, kept: int) -> Labels:
    """Return labels whose values after the first `kept` ones are `OTHER`."""
    return labels[:kept] + (OTHER,) * (len(labels) - kept)


class Histograms(_Cells[Cell]):
    """Histograms of a metric.

    Args:
        metric: the metric.
        max_series: maximum number of series.
    """

    __slots__ = ()

    def record(self, labels: Labels, nanoseconds: int) -> None:
        """Add a duration to a series. Called on any thread.

        Args:
            labels: values of the metric's labels.
            nanoseconds: the duration; negative ones count as 0.
        """
        cells = self._local.cells
        cell: Cell | None = cells.get(labels) if cells is not None else None
        if cell is None:
            cell = self.cell(labels)
        cell.add(nanoseconds)

    def record_call(self, labels: Labels, seconds: float, received: int, sent: int) -> None:
        """Add a call: its duration in seconds, and the bytes of its messages that were received and sent."""
        cells = self._local.cells
        cell: Cell | None = cells.get(labels) if cells is not None else None
        if cell is None:
            cell = self.cell(labels)
        cell.add_call(seconds, received, sent)

    def _make(self, labels: Labels) -> Cell:
        return make_cell(arenas.current.allocate(self.metric, labels, HISTOGRAM_WORDS))

    def read(self) -> Mapping[Labels, Histogram]:
        """Return the histograms of all series, since the process has started."""
        return {
            labels: Histogram.merged(histogram_of(each.words) for each in found)
            for labels, found in self._parts().items()
        }

    def series(self) -> Series:
        """Return all series."""
        return Series(self.metric, self.read())


class Counts(_Cells[_Count]):
    """Counters of a metric.

    Args:
        metric: the metric.
        max_series: maximum number of series.
    """

    __slots__ = ()

    def add(self, labels: Labels, number: int = 1) -> None:
        """Increase the counter of a series. Called on any thread.

        Args:
            labels: values of the metric's labels.
            number: what to add, at least 0.
        """
        cells = self._local.cells
        cell: _Count | None = cells.get(labels) if cells is not None else None
        if cell is None:
            cell = self.cell(labels)
        cell.words[0] = cell.value = cell.value + number

    def _make(self, labels: Labels) -> _Count:
        return _Count(arenas.current.allocate(self.metric, labels, 1))

    def read(self) -> Mapping[Labels, int]:
        """Return the counters of all series, since the process has started."""
        return {labels: sum(each.value for each in found) for labels, found in self._parts().items()}

    def series(self) -> Series:
        """Return all series."""
        return Series(self.metric, self.read())
