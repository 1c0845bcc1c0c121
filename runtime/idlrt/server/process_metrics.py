"""Metrics of server processes, which their supervisor reads in memory that they share and adds up.

Counters and histograms are in that memory, so nothing that a process has counted is lost when it is killed. Everything
else, such as gauges, is reported twice a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from idlrt.core.logs import get_logger
from idlrt.errors import RemoteProtocolError
from idlrt.observe.arena import SharedArena, arenas
from idlrt.observe.catalogue import DROPPED, SERVER_PROCESSES, SERVER_RESTARTS
from idlrt.observe.metric import Series, merged
from idlrt.observe.snapshot import Snapshot, by_name, decode_snapshot, encode_snapshot
from idlrt.observe.sources import read_all
from idlrt.server.process_slot import ProcessSlot

__all__ = ["ProcessMetrics"]

_log: Final = get_logger("idlrt.server")


class ProcessMetrics:
    """Metrics of all processes of a supervisor; a `Source`.

    Args:
        processes: the supervised processes.
        count: number of processes that there will be.
        is_serving: returns whether a process answers, by its number.
    """

    def __init__(self, processes: Sequence[ProcessSlot], count: int, is_serving: Callable[[int], bool]) -> None:
        self._processes = processes
        self._is_serving = is_serving
        self._arenas: list[SharedArena | None] = [None] * count
        self._retired: list[Series] = []

    # The supervisor.

    def renew(self, number: int) -> None:
        """Prepare for a new process; what the one before has counted is kept."""
        arena = self._arenas[number]
        if arena is not None:
            parts = [*self._retired, *(each for each in self._of(arena) if each.metric.kind != "gauge")]
            self._retired = merged(parts)
        self._arenas[number] = SharedArena()

    def read(self) -> Iterator[Series]:
        """Return the sums over all processes, since the supervisor has started. Called on any thread."""
        parts = list(self._retired)
        states = {"serving": 0, "starting": 0, "stopped": 0}
        for number, process in enumerate(self._processes):
            arena = self._arenas[number]
            if arena is not None:
                found = self._of(arena)
                parts += found if process.pid else [each for each in found if each.metric.kind != "gauge"]
            state = "stopped" if not process.pid else "serving" if self._is_serving(number) else "starting"
            states[state] += 1
        yield from merged(parts)
        yield Series(SERVER_PROCESSES, {(state,): count for state, count in states.items()})
        yield Series(SERVER_RESTARTS, {(): sum(each.restarts for each in self._processes)})

    def _of(self, arena: SharedArena) -> list[Series]:
        found = arena.read()
        report = arena.last_report()
        if report:
            try:
                found += decode_snapshot(report).series.values()
            except RemoteProtocolError as error:  # the process was killed while it wrote the report
                _log.debug("ignoring the last report of a process: %s", error)
        if arena.lost:
            found.append(Series(DROPPED, {("memory",): arena.lost}))
        return found

    # A process.

    def enter(self, number: int) -> None:
        """Record in the shared memory from now on. Called in a process before its server is created."""
        arena = self._arenas[number]
        if arena is not None:
            arenas.current = arena

    def report(self, number: int) -> None:
        """Report what is not in shared memory. Called in a process."""
        arena = self._arenas[number]
        if arena is None:
            return
        known = arena.metrics
        rest = by_name(each for each in read_all() if each.metric.name not in known)
        snapshot = Snapshot(at=0.0, started_at=0.0, series=rest)
        while not arena.report(encode_snapshot(snapshot)):
            # Too much for the report: without the largest metric.
            largest = max(rest, key=lambda name: len(rest[name].values))
            del rest[largest]
            snapshot = msgspec.structs.replace(snapshot, series=rest)
