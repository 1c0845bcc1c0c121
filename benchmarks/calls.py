"""Clients: the CPU that a call of `echo` costs them. Every process has one library; all call the same server."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmarks.stubs import ours
from benchmarks.table import Table, middle, progress, unit

__all__ = ["Process", "process", "run"]

ROUNDS = 7
CALLS = 2000
CLIENTS = ("idlrt", "idlrt asyncio", "thriftpy2", "apache")
NOTE = f"""CPU time per call of the client's process alone: the best of {ROUNDS} rounds of {CALLS} calls, and the median
in brackets. Ratios are ours (the first row) divided by theirs, of the best. The server is ours. Framed; the peers are
accelerated. One call at a time on each connection; `idlrt asyncio` has 16 calls at once on one connection instead of 16
connections."""


class Process:
    """A process that answers a line with a line."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.pid = self._process.pid
        self.first = self._answer()

    def _answer(self) -> str:
        answer = _pipe(self._process.stdout).readline()
        if not answer:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return answer.strip()

    def ask(self, line: str) -> float:
        """Send a line; the number that it answers with."""
        pipe = _pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()
        return float(self._answer())

    def end(self) -> None:
        """End it."""
        _pipe(self._process.stdin).close()
        self._process.wait(20)
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextlib.contextmanager
def process(module: str, *arguments: str) -> Iterator[Process]:
    """A process for a while."""
    started = Process(module, *arguments)
    try:
        yield started
    finally:
        started.end()


def run(folder: Path) -> Table:
    """Measure everything."""
    ours(folder)  # compiled here, so that the processes only import
    head = ["", "ours / theirs, 1 connection", "16 connections", "1 connection", "16 connections"]
    table = Table("Clients", head, NOTE)
    with process("benchmarks.echo_server", "idlrt", str(folder)) as server:
        one, many = (_measure_clients(folder, server.first, connections) for connections in (1, 16))
    for name in CLIENTS:
        ratios = ["", ""]
        if name != CLIENTS[0]:
            ratios = [f"{min(times[CLIENTS[0]]) / min(times[name]):.2f}" for times in (one, many)]
        cells = [f"{unit(min(times[name]))} ({unit(middle(times[name]))})" for times in (one, many)]
        table.add(name, *ratios, *cells)
    return table


def _measure_clients(folder: Path, port: str, connections: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with contextlib.ExitStack() as stack:
        clients = {
            name: stack.enter_context(process("benchmarks.echo_client", name, str(folder), port, str(connections)))
            for name in CLIENTS
        }
        for client in clients.values():
            client.ask(str(CALLS // 4))
        for round in range(ROUNDS):
            progress(f"clients, {connections} connections, round {round + 1}")
            for name, client in clients.items():
                times[name].append(client.ask(str(CALLS)) / CALLS)
    return times
