"""Clients: the CPU that a call of `echo` costs them. Every process has one library; all call the same server."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from benchmarks.stubs import ours
from benchmarks.table import Table, middle, progress, unit

__all__ = ["Process", "process", "run", "running"]

ROUNDS = 7
CALLS = 2000
CLIENTS = ("idlrt", "idlrt asyncio", "thriftpy2", "apache")
NOTE = f"""CPU time per call of the client's process alone: the best of {ROUNDS} rounds of {CALLS} calls, and the median
in brackets. Ratios are ours (the first row) divided by theirs, of the best. The server is ours. Framed; the peers are
accelerated. One call at a time on each connection; `idlrt asyncio` has 16 calls at once on one connection instead of 16
connections."""


class Process:
    """A child process that prints a line when it is ready, then a line for each line of its input.

    Args:
        command: the program and its arguments.

    Attributes:
        pid: its process id.
        first: the line that it printed first.

    Raises:
        RuntimeError: it ended before it was ready.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = f"`{shlex.join(command)}`"
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.pid = self._process.pid
        self.first = self._read_line()

    def _read_line(self) -> str:
        line = _pipe(self._process.stdout).readline()
        if not line:
            self._close()
            raise RuntimeError(f"{self._command} ended with exit status {self._process.wait()}")
        return line.strip()

    def ask(self, line: str) -> float:
        """Send a line and return the number in the reply.

        Raises:
            RuntimeError: the process has ended.
        """
        pipe = _pipe(self._process.stdin)
        with contextlib.suppress(BrokenPipeError):  # `_read_line` reports it
            pipe.write(line + "\n")
            pipe.flush()
        return float(self._read_line())

    def end(self) -> None:
        """Close its input and wait until it ends.

        Raises:
            RuntimeError: its exit status is not 0.
        """
        self._close()
        if status := self._process.wait(20):
            raise RuntimeError(f"{self._command} ended with exit status {status}")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[Process]:
    """Run a command as a `Process`; end it afterwards, or kill it if something failed meanwhile."""
    started = Process(command)
    try:
        yield started
    except BaseException:
        started.kill()
        raise
    started.end()


def process(module: str, *arguments: str) -> contextlib.AbstractContextManager[Process]:
    """Run a Python module as a `Process`."""
    return running([sys.executable, "-m", module, *arguments])


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
