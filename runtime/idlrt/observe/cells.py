"""Cells: histograms of many series that one process records, without locks on the path of a call.

A series is one combination of label values, as a tuple. Each thread writes to cells that no other thread writes to, so
that no count is lost; readers copy and add them. The cells of a thread that has ended are kept, and a forked child
begins with none, because its parent keeps counting its own.

The number of series is bounded. Further ones count as `OTHER`, label by label from the last one, and as dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from idlrt.core.forks import forks
from idlrt.observe.histogram import MAX_INDEX, SUB_BITS, Histogram

__all__ = ["MAX_SERIES", "OTHER", "Cell", "Cells", "Labels"]

Labels: TypeAlias = tuple[str, ...]
"""Values of the labels of a series."""

OTHER: Final = "_OTHER"
"""Label value of series beyond the maximum number."""

MAX_SERIES: Final = 2000
"""Default of the maximum number of series."""

_SHIFT: Final = SUB_BITS + 1
_MAX_SHIFT: Final = (MAX_INDEX >> SUB_BITS) - 1


class Cell:
    """Histogram that one thread writes to."""

    __slots__ = ("counts", "max", "min", "sum")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.sum = 0
        self.min = 1 << 62
        self.max = 0

    def add(self, nanoseconds: int) -> None:
        """Add a duration; a negative one counts as 0."""
        # As `bucket_index`, without the call.
        shift = nanoseconds.bit_length() - _SHIFT
        if shift > 0 and nanoseconds > 0:
            index = (shift << SUB_BITS) + (nanoseconds >> shift) if shift <= _MAX_SHIFT else MAX_INDEX
        elif nanoseconds > 0:
            index = nanoseconds
        else:
            index = nanoseconds = 0
        counts = self.counts
        if index in counts:
            counts[index] += 1
        else:
            counts[index] = 1
        self.sum += nanoseconds
        if nanoseconds > self.max:
            self.max = nanoseconds
        if nanoseconds < self.min:
            self.min = nanoseconds

    def copy(self) -> Histogram:
        """Return the histogram. Called on any thread."""
        # Copying a dict is atomic; the other values may be one record older or newer.
        counts = self.counts.copy()
        count = sum(counts.values())
        return Histogram(counts, count, self.sum, self.min if count else 0, self.max)


class _Token:
    """Ends with its thread, which marks the cells of that thread."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    def __del__(self) -> None:
        self._store.has_ended = True


class _Store:
    """Cells of one thread."""

    __slots__ = ("cells", "has_ended")

    def __init__(self) -> None:
        self.cells: dict[Labels, Cell] = {}
        self.has_ended = False


class _Local(threading.local):
    cells: dict[Labels, Cell] | None = None
    token: Any = None


class Cells:
    """Series of one metric.

    Args:
        max_series: maximum number of series.
    """

    __slots__ = ("__weakref__", "_dropped", "_known", "_local", "_lock", "_max_series", "_retired", "_stores")

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin without counts in a forked child."""
        self._lock = threading.Lock()
        self._local = _Local()
        self._stores: list[_Store] = []
        self._retired: dict[Labels, Histogram] = {}
        self._known: set[Labels] = set()
        self._dropped = 0

    def record(self, labels: Labels, nanoseconds: int) -> None:
        """Add a duration to a series.

        Args:
            labels: values of the labels, always the same number.
            nanoseconds: the duration; negative ones count as 0.
        """
        cells = self._local.cells
        cell = cells.get(labels) if cells is not None else None
        if cell is None:
            cell = self.cell(labels)
        cell.add(nanoseconds)

    def read(self) -> Mapping[Labels, Histogram]:
        """Return the histograms of all series, since the process has started."""
        with self._lock:
            self._retire()
            parts: dict[Labels, list[Histogram]] = {labels: [found] for labels, found in self._retired.items()}
            for store in self._stores:
                for labels, cell in store.cells.copy().items():
                    parts.setdefault(labels, []).append(cell.copy())
        return {labels: Histogram.merged(found) for labels, found in parts.items()}

    @property
    def threads(self) -> int:
        """Number of threads with separate cells. Those of threads that have ended are added up when others begin."""
        return len(self._stores)

    @property
    def dropped(self) -> int:
        """Number of records whose series counts as `OTHER`."""
        return self._dropped

    def cell(self, labels: Labels) -> Cell:
        """Return the cell of this thread for a series, or for the one that it counts as. No other thread may use it."""
        with self._lock:
            if labels not in self._known and len(self._known) >= self._max_series:
                self._dropped += 1
                labels = self._other(labels)
            self._known.add(labels)
            cells = self._local.cells
            if cells is None:
                self._retire()
                store = _Store()
                self._stores.append(store)
                cells = self._local.cells = store.cells
                self._local.token = _Token(store)
            cell = cells.get(labels)
            if cell is None:
                cell = cells[labels] = Cell()
            return cell

    def _other(self, labels: Labels) -> Labels:
        for kept in range(len(labels) - 1, 0, -1):
            found = (*labels[:kept], *(OTHER,) * (len(labels) - kept))
            if found in self._known:
                return found
        # A few more series than the maximum: one for each method whose labels have grown.
        found = (*labels[:-1], OTHER)
        if len(labels) > 1 and len(self._known) < self._max_series + self._max_series // 8:
            return found
        return (OTHER,) * len(labels)

    def _retire(self) -> None:
        """Add up the cells of threads that have ended."""
        for store in [each for each in self._stores if each.has_ended]:
            self._stores.remove(store)
            for labels, cell in store.cells.items():
                known = self._retired.get(labels, Histogram())
                self._retired[labels] = Histogram.merged((known, cell.copy()))
