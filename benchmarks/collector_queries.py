"""Queries of pages: totals and plots of many services, at the time of a day at which most cells are not packed yet."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.size import FULL, Size
from benchmarks.table import Table, progress, unit
from idlrt.collector.store import CellStore
from idlrt.observe.catalogue import METHOD, SERVER_CALLS, STATUS
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Series

__all__ = ["names", "put_calls", "run"]

METHODS: Final = 10
INSTANCES: Final = 2
_START: Final = 1_800_057_600
_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
# Blocks are packed 30 seconds after their end, so at this time those of all levels are pending.
_END: Final = _START + 2 * _DAY + 20
# Seconds before the end, and the interval in seconds at which programs push from then on.
_PUSHES: Final = ((_DAY + _HOUR, _HOUR), (7 * _HOUR, 600), (4200, 60), (700, 10))
_PERIODS: Final = (("5 min", 300), ("1 h", _HOUR), ("1 day", _DAY))

NOTE: Final = """Wall time of one query, the best of {rounds} and the median: {services} services with {methods} methods
on {instances} instances, which push every 10 s, at the time of a day at which most cells are not packed yet. Totals are
one step of the whole period by outcome, with histograms; plots have up to 360 steps. The bound is 300 ms."""


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure all queries.

    Args:
        folder: folder of the file.
        size: how much.
    """
    services, rounds = size.collector_services, size.collector_rounds
    note = NOTE.format(rounds=rounds, services=services, methods=METHODS, instances=INSTANCES)
    table = Table("Collector, queries", ["", "best", "median", "groups", "steps"], note)
    at = [float(_START)]
    with CellStore(folder / "metrics.db", max_bytes=1 << 40, now=lambda: at[0]) as store:
        progress(f"collector: putting the cells of {services} services")
        for at[0] in _times():
            put_calls(store, at[0], services)
            store.commit()
            if at[0] % 600 < 60:
                store.maintain()
        for name, period, arguments in _queries():
            progress(f"collector: {name}")
            taken: list[float] = []
            for _ in range(rounds):
                begun = time.perf_counter()
                found = store.read(SERVER_CALLS.name, _END - period, _END, **arguments)
                taken.append(time.perf_counter() - begun)
            groups, steps = str(len(found.groups)), str(found.steps)
            table.add(name, unit(min(taken)), unit(statistics.median(taken)), groups, steps)
    return table


def names() -> list[str]:
    """Return the names of all queries."""
    return [name for name, _, _ in _queries()]


def _queries() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield the name, the period in seconds and the arguments of each query."""
    whole: dict[str, Any] = {"is_whole": True, "limit": 20_000}
    top: dict[str, Any] = {"by": ("service", METHOD), "limit": 30, "has_others": False}
    for period, seconds in _PERIODS:
        yield f"all services, {period}", seconds, {"by": ("service", STATUS), **whole}
        yield f"all services, {period}, counts", seconds, {"by": ("service", STATUS), **whole, "values": "count"}
        one = {"where": {"service": "service1"}, "by": (METHOD, STATUS)}
        yield f"methods of one service, {period}", seconds, {**one, **whole}
        yield f"30 of all methods, {period}", seconds, {**top, "is_whole": True}
        yield f"plots of 30 of all methods, {period}", seconds, top
        yield f"plots of 30 of all methods, {period}, counts", seconds, {**top, "values": "count"}


def _times() -> Iterator[float]:
    """Yield the times at which programs push."""
    ends = (*(before for before, _ in _PUSHES[1:]), 0)
    for (before, step), end in zip(_PUSHES, ends, strict=True):
        last = _END - 20 - end if end else _END
        yield from map(float, range(_END - 20 - before + step, last + 1, step))


_DICE: Final = random.Random(1)


def _histogram(count: int, median: float) -> Histogram:
    """Return a histogram of log-normal durations."""
    made = Histogram.of(int(median * math.exp(_DICE.gauss(0, 0.8))) for _ in range(count))
    return Histogram(made.counts, count, made.sum, made.min, made.max, 120 * count, 700 * count)


_POOL: Final = {
    (count, speed): [_histogram(count, 1e6 * 20 ** (speed / 20)) for _ in range(10)]
    for count in (2, 10, 50)
    for speed in range(20)
}


def put_calls(store: CellStore, at: float, services: int) -> None:
    """Put the calls of all programs. The second instances serve one method: services as a whole are read the same."""
    for number in range(services):
        for instance in range(INSTANCES):
            values: dict[Labels, Histogram] = {}
            for method in range(1 if instance else METHODS):
                pool = _POOL[(2, 10, 50)[(number + method) % 3], (7 * number + method) % 20]
                values[f"shop.S{number}.method{method}", "ok", "", "web"] = _DICE.choice(pool)
            if not number % 5 and not instance:
                values[f"shop.S{number}.method0", "timeout", "timeout", "web"] = _DICE.choice(_POOL[2, 0])
            resource = {"service": f"service{number}", "instance": f"10.0.{number}.{instance}:9090"}
            store.put(resource, at, [Series(SERVER_CALLS, values)])
