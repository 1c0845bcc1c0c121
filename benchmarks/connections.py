"""Many connections on one server process: memory of an idle one, and the effect of many on busy ones."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path
from typing import Any

from benchmarks.servers import Load, pipelined
from benchmarks.size import FULL, Size
from benchmarks.stubs import ours, small
from benchmarks.table import Table, progress, unit
from benchmarks.workers import Process, process
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import dialect

__all__ = ["run"]

NOTE = """One `Server` process (`idlrt`) or event loop (`idlrt asyncio`). `idle`: by how much the resident memory
of the process has grown for each of {idle:,} connections that have made one call. `alone`, `beside idle ones`: CPU
time of the server per call with {busy:,} busy connections, one call under way on each: the best of {rounds} rounds."""


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure both servers.

    Args:
        folder: for the stubs.
        size: how much to measure.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        return _measure(folder, size, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _measure(folder: Path, size: Size, files: int) -> Table:
    busy, calls, rounds = size.connections_busy, size.connections_calls, size.connections_rounds
    idle = min(size.connections_idle, files - busy - 200)
    stubs: Any = ours(folder)
    method = stubs.EchoClient.__thrift_service__.methods["echo"]
    call = ClientConnection(dialect("framed")).request(method, (small(stubs.Small),))[1]
    table = Table(
        "Connections",
        ["", "idle connections", "memory of an idle one", f"{busy} busy, alone", "beside idle ones"],
        NOTE.format(idle=idle, busy=busy, rounds=rounds),
    )
    for name in ("idlrt", "idlrt asyncio"):
        progress(f"connections: {name}")
        with process("benchmarks.echo_server", name, str(folder)) as server, contextlib.ExitStack() as stack:
            load = pipelined(int(server.first), call, busy, 1, stack)
            load(calls)
            alone = min(_cpu(server, load, calls) for _ in range(rounds))
            before = _memory(server)
            for _ in range(idle):
                raw = stack.enter_context(socket.create_connection(("127.0.0.1", int(server.first))))
                raw.sendall(call)
                if not raw.recv(65536):
                    raise ConnectionError("the server closed a connection")
            grown = (_memory(server) - before) / idle
            beside = min(_cpu(server, load, calls) for _ in range(rounds))
        table.add(name, f"{idle:,}", f"{grown / 1024:.1f} KiB", unit(alone), f"{unit(beside)} ({beside / alone:.2f} x)")
    return table


def _cpu(server: Process, load: Load, calls: int) -> float:
    before = server.ask("cpu")
    made = load(calls)
    return (server.ask("cpu") - before) / made


def _memory(server: Process) -> int:
    """Bytes."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
