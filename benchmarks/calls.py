"""Servers and clients: the CPU that a call of a trivial `echo` costs each side. Every process has one library.

Servers get the same bytes from the same generator; clients call the same server, which is ours.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.stubs import ours
from benchmarks.table import Table, middle, progress, unit
from idlrt.wire.connection import ClientConnection
from idlrt.wire.dialect import dialect

__all__ = ["run"]

ROUNDS = 7
CALLS = 2000
SERVERS = ("idlrt", "thriftpy2", "apache")
CLIENTS = ("idlrt", "idlrt asyncio", "thriftpy2", "apache")

NOTE = f"""CPU time per call of the server's or the client's process alone: the best of {ROUNDS} rounds of {CALLS}
calls, and the median in brackets. Ratios are ours (the first row) divided by theirs, of the best. Framed; the peers are
accelerated, their servers are `TThreadedServer`s. One call at a time on each connection; `idlrt asyncio` has 16 calls
at once on one connection instead of 16 connections."""


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
    # Compiled here, so that the processes only import.
    call = _call_bytes(ours(folder))
    table = Table(
        "Calls", ["", "ours / theirs, 1 connection", "16 connections", "1 connection", "16 connections"], NOTE
    )
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(process("benchmarks.echo_server", name, str(folder))) for name in SERVERS}
        _fill(table, "server", SERVERS, lambda connections: _measure_servers(servers, call, connections))
        port = servers["idlrt"].first
        _fill(table, "client", CLIENTS, lambda connections: _measure_clients(folder, port, connections))
    return table


def _fill(table: Table, side: str, names: tuple[str, ...], measure: Any) -> None:
    one, many = measure(1), measure(16)
    for name in names:
        ratios = ["", ""]
        if name != names[0]:
            ratios = [f"{min(times[names[0]]) / min(times[name]):.2f}" for times in (one, many)]
        cells = [f"{unit(min(times[name]))} ({unit(middle(times[name]))})" for times in (one, many)]
        table.add(f"{side} {name}", *ratios, *cells)


def _call_bytes(stubs: Any) -> bytes:
    method = stubs.EchoClient.__thrift_service__.methods["echo"]
    return ClientConnection(dialect("framed")).call(method, ("hello, world",))[1]


def _measure_servers(servers: dict[str, Process], call: bytes, connections: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in servers}
    with contextlib.ExitStack() as stack:
        sockets = {
            name: [
                stack.enter_context(socket.create_connection(("127.0.0.1", int(server.first))))
                for _ in range(connections)
            ]
            for name, server in servers.items()
        }
        for raws in sockets.values():
            _load(raws, call, CALLS // 4)
        for round in range(ROUNDS):
            progress(f"servers, {connections} connections, round {round + 1}")
            for name, server in servers.items():
                before = server.ask("cpu")
                _load(sockets[name], call, CALLS)
                times[name].append((server.ask("cpu") - before) / CALLS)
    return times


def _load(raws: list[socket.socket], call: bytes, count: int) -> None:
    """Make `count` calls, one at a time on each connection."""
    size = len(call)  # the answer has a field of its own number, and else the same bytes
    if len(raws) == 1:
        [raw] = raws
        for _ in range(count):
            raw.sendall(call)
            got = 0
            while got < size:
                got += len(raw.recv(65536))
        return
    with selectors.DefaultSelector() as selector:
        for raw in raws:
            selector.register(raw, selectors.EVENT_READ)
            raw.sendall(call)
        left = count - len(raws)
        waiting = len(raws)
        while waiting:
            for key, _ in selector.select():
                raw = key.fileobj  # type: ignore[assignment]
                got = len(raw.recv(65536))
                while got < size:
                    got += len(raw.recv(65536))
                if left > 0:
                    left -= 1
                    raw.sendall(call)
                else:
                    waiting -= 1


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
