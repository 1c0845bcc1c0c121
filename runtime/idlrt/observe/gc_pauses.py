"""Garbage collection: collections and their pauses, by generation.

A collection may begin at any allocation, also inside of code that holds a lock. So its callback only writes to cells
that exist already. The interpreter starts no collection within another one, so these cells have one writer at a time.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from idlrt.core.forks import forks
from idlrt.observe.cells import Cell, Histograms
from idlrt.observe.metric import Metric, Series, Value

__all__ = ["COLLECTED", "COLLECTIONS", "GC_PAUSE", "UNCOLLECTABLE", "GcPauses"]

_GENERATION: Final = ("generation",)

GC_PAUSE: Final = Metric(
    name="python_gc_pause_seconds", kind="histogram", help="Duration of garbage collections", labels=_GENERATION
)
COLLECTIONS: Final = Metric(
    name="python_gc_collections_total", kind="counter", help="Garbage collections", labels=_GENERATION
)
COLLECTED: Final = Metric(
    name="python_gc_objects_collected_total",
    kind="counter",
    help="Objects collected by the garbage collector",
    labels=_GENERATION,
)
UNCOLLECTABLE: Final = Metric(
    name="python_gc_objects_uncollectable_total",
    kind="counter",
    help="Objects that the garbage collector could not collect",
    labels=_GENERATION,
)
_FIELDS: Final = ((COLLECTIONS, "collections"), (COLLECTED, "collected"), (UNCOLLECTABLE, "uncollectable"))


class GcPauses:
    """Garbage collections of this process; a `Source`. Pauses are measured until it is no longer referenced.

    Args:
        now: clock in nanoseconds.
    """

    __slots__ = ("__weakref__", "_before", "_began", "_cells", "_now", "_pauses")

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now = now
        self._before: Sequence[dict[str, int]] = [{} for _ in gc.get_stats()]
        self._reset()
        self._open()
        forks.register(self)
        _call_weakly(self)

    def _reset(self) -> None:
        self._began = 0
        self._cells: list[Cell] = []

    def after_fork(self) -> None:
        """Count from 0 in a forked child. Its pauses are measured once they have been read for the first time."""
        # The memory of new cells may not be ready before the other objects have been reset.
        self._reset()
        self._before = gc.get_stats()

    def _open(self) -> None:
        """Create the cells."""
        pauses = Histograms(GC_PAUSE)
        self._pauses = pauses
        self._cells = [pauses.cell((str(generation),)) for generation in range(len(self._before))]

    def heard(self, phase: str, generation: int) -> None:
        """Record a collection that starts or stops; called by the interpreter."""
        cells = self._cells
        if phase == "start":
            self._began = self._now()
        elif self._began and generation < len(cells):
            cells[generation].add(self._now() - self._began)

    def read(self) -> Iterable[Series]:
        if not self._cells:
            self._open()
        found = {labels: histogram for labels, histogram in self._pauses.read().items() if histogram.count}
        yield Series(GC_PAUSE, found)
        stats = gc.get_stats()
        for metric, field in _FIELDS:
            values: dict[tuple[str, ...], Value] = {
                (str(generation),): each[field] - before.get(field, 0)
                for generation, (each, before) in enumerate(zip(stats, self._before, strict=True))
            }
            yield Series(metric, values)


def _call_weakly(pauses: GcPauses) -> None:
    """Let the interpreter call `heard` while its object is referenced."""
    found = weakref.ref(pauses)

    def callback(phase: str, info: dict[str, Any]) -> None:
        each = found()
        if each is not None:
            each.heard(phase, info["generation"])

    gc.callbacks.append(callback)
    weakref.finalize(pauses, _remove, callback)


def _remove(callback: Callable[[str, dict[str, Any]], None]) -> None:
    if callback in gc.callbacks:
        gc.callbacks.remove(callback)
