"""Cells of the comparison: one figure each, measured by two versions in turns."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.compare.trees import Tree
from benchmarks.servers import pipelined
from benchmarks.stubs import ours, small
from benchmarks.table import progress
from benchmarks.workers import Process, WorkerError
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import client_dialect

__all__ = ["CELLS", "PARTS", "Cell", "Cpus", "Pair", "measure_pairs"]

_CONNECTIONS: Final = 16
# CPU seconds of one measurement; a pair of a cell has four of them.
_SECONDS: Final = 0.04
_FIRST_COUNT: Final = 256

Run = Callable[[int], float]
"""Do so much, and return the CPU seconds that the worker has used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure.

    Attributes:
        name: of it.
        part: by which it is chosen.
        role: of the worker (`benchmarks.compare.worker`).
        line: what a codec's worker is sent, before the count.
        framing: of calls to a server.
        depth: calls in flight on each connection to a server.
    """

    name: str
    part: str
    role: str
    line: str = ""
    framing: str = ""
    depth: int = 0


def _cells() -> Iterator[Cell]:
    for protocol in ("binary", "compact"):
        for value in ("small", "list"):
            for action in ("encode", "decode"):
                line = f"{protocol} {action} {value}"
                yield Cell(name=f"codec {line}", part="codec", role="codec", line=line)
    for part, framing in (("servers", "framed"), ("header", "header")):
        for role, name in (("server", "Server"), ("async-server", "async handlers")):
            for depth in (1, 16):
                yield Cell(
                    name=f"{name} {framing} {_CONNECTIONS}x{depth}", part=part, role=role, framing=framing, depth=depth
                )
    yield Cell(name="calls blocking", part="calls", role="client")
    yield Cell(name="calls asyncio", part="calls", role="async-client")


CELLS: Final = tuple(_cells())
PARTS: Final = tuple(dict.fromkeys(cell.part for cell in CELLS))


@dataclass(frozen=True, slots=True)
class Pair:
    """Measurements of two versions, taken in turns.

    Attributes:
        old: CPU seconds of one round or call.
        new: likewise.
    """

    old: float
    new: float

    @property
    def ratio(self) -> float:
        """The new time divided by the old one."""
        return self.new / self.old


@dataclass(frozen=True, slots=True)
class Cpus:
    """Where processes run; -1 is anywhere.

    Attributes:
        worker: what is measured.
        load: its load generator, or the server that it calls.
    """

    worker: int = -1
    load: int = -1

    @classmethod
    def choose(cls) -> Cpus:
        """Return two CPUs of those that this process may use, if there are two."""
        if not hasattr(os, "sched_getaffinity"):
            return cls()
        found = sorted(os.sched_getaffinity(0))
        return cls(worker=found[-1], load=found[0]) if len(found) > 1 else cls()


@contextlib.contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    """Run this process on one CPU."""
    if cpu < 0:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Measurement:
    """Measures pairs of cells.

    Args:
        trees: the old and the new one.
        cpus: where processes run.
        folder: for the stubs of the load generator.
    """

    def __init__(self, trees: tuple[Tree, Tree], cpus: Cpus, folder: Path) -> None:
        self._trees = trees
        self._cpus = cpus
        self._stubs: Any = ours(folder)
        self._counts: dict[Cell, int] = {}

    def pair(self, cells: Sequence[Cell], number: int, port: str) -> dict[Cell, Pair]:
        """Measure each cell once in both trees. All of `cells` have one role.

        Args:
            number: of the pair; the tree that begins changes from pair to pair.
            port: of the server that clients call.
        """
        role = cells[0].role
        more = [port] if role in ("client", "async-client") else []
        with ExitStack() as stack:
            started: dict[int, Process] = {}
            for which in (0, 1) if number % 2 else (1, 0):
                started[which] = self._trees[which].worker(role, self._cpus.worker, *more)
                stack.callback(started[which].end)
            workers = [started[0], started[1]]
            backends: list[str] = []
            ports: list[int] = []
            for worker in workers:
                backend, _, served = worker.read_line().partition(" ")
                backends.append(backend)
                ports.append(int(served))
            if len(set(backends)) > 1:
                raise WorkerError(f"the codecs differ: old {backends[0]}, new {backends[1]}; build the native ones")
            return {cell: self._measure(cell, workers, ports, number) for cell in cells}

    def _measure(self, cell: Cell, workers: Sequence[Process], ports: Sequence[int], number: int) -> Pair:
        with ExitStack() as stack:
            runs = [self._run(cell, worker, port, stack) for worker, port in zip(workers, ports, strict=True)]
            count = self._counts.get(cell) or self._calibrate(cell, runs[0])
            for run in runs:
                run(_whole(count / 4))  # caches, and code that is specialized when it has run for a while
            # In this order a steady drift affects both versions equally.
            order = (0, 1, 1, 0) if number % 2 else (1, 0, 0, 1)
            seconds = [0.0, 0.0]
            for which in order:
                seconds[which] += runs[which](count)
        return Pair(*(each / count / 2 for each in seconds))

    def _run(self, cell: Cell, worker: Process, port: int, stack: ExitStack) -> Run:
        if cell.role == "codec":
            return lambda count: worker.ask(f"{cell.line} {count}")
        if not port:
            return lambda count: worker.ask(str(count))
        method = self._stubs.EchoClient.__thrift_service__.methods["echo"]
        call = ClientConnection(client_dialect(cell.framing)).request(method, (small(self._stubs.Small),))[1]
        load = pipelined(port, call, _CONNECTIONS, cell.depth, stack)

        def run(count: int) -> float:
            before = worker.ask("cpu")
            load(count)
            return worker.ask("cpu") - before

        return run

    def _calibrate(self, cell: Cell, run: Run) -> int:
        """Return how many rounds take about `_SECONDS`, and remember it: it is the same in all pairs."""
        count = _FIRST_COUNT
        run(count)
        while (seconds := run(count)) < _SECONDS / 4:
            count *= 4
        self._counts[cell] = _whole(count * _SECONDS / seconds)
        return self._counts[cell]


def _whole(count: float) -> int:
    """Round up to full rounds over all connections to a server."""
    return math.ceil(count / _FIRST_COUNT) * _FIRST_COUNT


def measure_pairs(
    old: Tree, new: Tree, cells: Sequence[Cell], pairs: int, cpus: Cpus, folder: Path
) -> Mapping[Cell, Sequence[Pair]]:
    """Measure `cells` in both trees, in turns.

    Args:
        pairs: measurements of each cell.
        cpus: where processes run.
        folder: for the stubs of the load generator.

    Raises:
        WorkerError: a worker has failed.
    """
    found: dict[Cell, list[Pair]] = {cell: [] for cell in cells}
    by_role: dict[str, list[Cell]] = {}
    for cell in cells:
        by_role.setdefault(cell.role, []).append(cell)
    measurement = _Measurement((old, new), cpus, folder)
    with ExitStack() as stack:
        port = ""
        if {"client", "async-client"} & by_role.keys():
            server = new.worker("server", cpus.load)
            stack.callback(server.end)
            port = server.read_line().rpartition(" ")[2]
        stack.enter_context(_pinned(cpus.load))
        for number in range(pairs):
            progress(f"{old.name} against {new.name}: pair {number + 1} of {pairs}")
            for same_role in by_role.values():
                for cell, pair in measurement.pair(same_role, number, port).items():
                    found[cell].append(pair)
    return found
