"""Clients: the CPU that a call of `echo` costs them. Every process has one library; all call the same server."""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchmarks.size import FULL, Size
from benchmarks.stubs import ours
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import process

__all__ = ["run"]

CLIENTS = ("idlrt", "idlrt asyncio", "thriftpy2", "apache")
NOTE = """CPU time per call of the client's process alone: the best of {rounds} rounds of {calls} calls, and the median
in brackets. Ratios are ours (the first row) divided by theirs, of the best. The server is ours. Framed; the peers are
accelerated. One call at a time on each connection; `idlrt asyncio` has 16 calls at once on one connection instead of 16
connections."""


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure all clients.

    Args:
        folder: for the stubs.
        size: how much to measure.
    """
    ours(folder)  # compiled here, so that the processes only import
    head = ["", "ours / theirs, 1 connection", "16 connections", "1 connection", "16 connections"]
    table = Table("Clients", head, NOTE.format(rounds=size.client_rounds, calls=size.client_calls))
    with process("benchmarks.echo_server", "idlrt", str(folder)) as server:
        one, many = (_measure_clients(folder, server.first, connections, size) for connections in (1, 16))
    for name in CLIENTS:
        ratios = ["", ""]
        if name != CLIENTS[0]:
            ratios = [f"{min(times[CLIENTS[0]]) / min(times[name]):.2f}" for times in (one, many)]
        cells = [f"{unit(min(times[name]))} ({unit(middle(times[name]))})" for times in (one, many)]
        table.add(name, *ratios, *cells)
    return table


def _measure_clients(folder: Path, port: str, connections: int, size: Size) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with contextlib.ExitStack() as stack:
        clients = {
            name: stack.enter_context(process("benchmarks.echo_client", name, str(folder), port, str(connections)))
            for name in CLIENTS
        }
        for client in clients.values():
            client.ask(str(size.client_calls // 4))
        for round in range(size.client_rounds):
            progress(f"clients, {connections} connections, round {round + 1}")
            for name, client in clients.items():
                times[name].append(client.ask(str(size.client_calls)) / size.client_calls)
    return times
