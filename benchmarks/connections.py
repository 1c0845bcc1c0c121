"""Many connections on one server process: what an idle one costs, and what many of them cost those that work."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path
from typing import Any

from benchmarks.calls import Process, process
from benchmarks.servers import pipelined
from benchmarks.stubs import ours, small
from benchmarks.table import Table, progress, unit
from idlrt.wire.connection import ClientConnection
from idlrt.wire.dialect import dialect

__all__ = ["run"]

IDLE = 10_000
BUSY = 1_000
CALLS = 20_000
ROUNDS = 5

NOTE = f"""One `Server` process (`idlrt`) or event loop (`idlrt asyncio`). `idle`: by how much the resident memory
of the process has grown for each of {IDLE:,} connections that have made one call. `alone`, `beside idle ones`: CPU
time of the server per call with {BUSY:,} busy connections, one call under way on each: the best of {ROUNDS} rounds."""


def run(folder: Path) -> Table:
    """Measure everything."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = min(IDLE, hard - BUSY - 200)
    stubs: Any = ours(folder)
    method = stubs.EchoClient.__thrift_service__.methods["echo"]
    call = ClientConnection(dialect("framed")).call(method, (small(stubs.Small),))[1]
    table = Table(
        "Connections",
        ["", "idle connections", "memory of an idle one", f"{BUSY} busy, alone", "beside idle ones"],
        NOTE,
    )
    for name in ("idlrt", "idlrt asyncio"):
        progress(f"connections: {name}")
        with process("benchmarks.echo_server", name, str(folder)) as server, contextlib.ExitStack() as stack:
            load = pipelined(int(server.first), call, BUSY, 1, stack)
            load(CALLS)
            alone = min(_cpu(server, load) for _ in range(ROUNDS))
            before = _memory(server)
            for _ in range(idle):
                raw = stack.enter_context(socket.create_connection(("127.0.0.1", int(server.first))))
                raw.sendall(call)
                raw.recv(65536)
            grown = (_memory(server) - before) / idle
            beside = min(_cpu(server, load) for _ in range(ROUNDS))
        table.add(name, f"{idle:,}", f"{grown / 1024:.1f} KiB", unit(alone), f"{unit(beside)} ({beside / alone:.2f} x)")
    return table


def _cpu(server: Process, load: Any) -> float:
    before = server.ask("cpu")
    load(CALLS)
    return (server.ask("cpu") - before) / CALLS


def _memory(server: Process) -> int:
    """Bytes."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
