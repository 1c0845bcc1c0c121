"""Servers: the CPU that a call of `echo`, of a struct of about 105 bytes, costs them. Every process has one library.

All Thrift servers get the same bytes from the same generator, which takes the same path for all; gRPC's get as many
bytes from gRPC's own client. What is measured is the server's process alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import selectors
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.calls import Process, process
from benchmarks.stubs import ours, small
from benchmarks.table import Table, middle, progress, unit
from idlrt.wire.connection import ClientConnection
from idlrt.wire.dialect import dialect

__all__ = ["pipelined", "run"]

ROUNDS = 7
CALLS = 3200
CONNECTIONS = 16
DEPTHS = (1, 16)
SERVERS = (
    "idlrt", "idlrt workers", "idlrt asyncio", "bare selector", "thriftpy2", "apache", "apache nonblocking", "grpcio",
    "grpc.aio",
)  # fmt: skip
GRPC = ("grpcio", "grpc.aio")
# What our first row may be of these at most, at each depth.
TARGETS = {
    "bare selector": (1.6, None),
    "thriftpy2": (0.5, 0.25),
    "apache nonblocking": (0.25, None),
    "grpcio": (0.08, None),
}

NOTE = f"""CPU time per call of the server's process alone: the best of {ROUNDS} rounds of {CALLS} calls, and the median
in brackets. Ratios are ours (the first row) divided by theirs, of the best, and the target where there is one.
{CONNECTIONS} connections, with 1 call under way on each, and with 16. Framed binary; `thriftpy2` and `apache` are
threaded servers, all of them accelerated; `idlrt workers` has 4 threads, `idlrt asyncio` an `async` handler. gRPC's
servers get bytes from gRPC's own client, and spend nothing on protobuf. `bare selector` gives back what comes and looks
at nothing."""

Load = Callable[[int], None]


def run(folder: Path) -> Table:
    """Measure everything."""
    stubs = ours(folder)
    method = stubs.EchoClient.__thrift_service__.methods["echo"]
    call = ClientConnection(dialect("framed")).call(method, (small(stubs.Small),))[1]
    found = {name: {depth: [0.0] for depth in DEPTHS} for name in SERVERS if name not in GRPC or _has_grpc()}
    for depth in DEPTHS:
        # Not all at once: idle threads of one would be in another's way.
        for name in found:
            progress(f"servers, {CONNECTIONS} connections, {depth} calls on each: {name}")
            with process("benchmarks.echo_server", name, str(folder)) as server, contextlib.ExitStack() as stack:
                load = (
                    _grpc_load(server, call, depth, stack)
                    if name in GRPC
                    else pipelined(int(server.first), call, CONNECTIONS, depth, stack)
                )
                found[name][depth] = _measure(server, load)
    table = Table("Servers", ["", *[f"ours / theirs, {CONNECTIONS} x {depth}" for depth in DEPTHS],
                              *[f"{CONNECTIONS} x {depth}" for depth in DEPTHS]], NOTE)  # fmt: skip
    for name, times in found.items():
        ratios = ["" for _ in DEPTHS]
        if name != SERVERS[0]:
            targets = TARGETS.get(name, (None, None))
            ratios = [
                f"{min(found[SERVERS[0]][depth]) / min(times[depth]):.2f}" + (f" (target {target})" if target else "")
                for depth, target in zip(DEPTHS, targets, strict=True)
            ]
        table.add(name, *ratios, *[f"{unit(min(times[depth]))} ({unit(middle(times[depth]))})" for depth in DEPTHS])
    _plot({name: [min(times[depth]) for depth in DEPTHS] for name, times in found.items()})
    return table


def _has_grpc() -> bool:
    return importlib.util.find_spec("grpc") is not None


def _measure(server: Process, load: Load) -> list[float]:
    load(CALLS // 4)
    times: list[float] = []
    for _ in range(ROUNDS):
        before = server.ask("cpu")
        load(CALLS)
        times.append((server.ask("cpu") - before) / CALLS)
    return times


def pipelined(port: int, call: bytes, connections: int, depth: int, stack: contextlib.ExitStack) -> Load:
    """What makes calls over so many connections, with so many under way on each.

    Args:
        call: its bytes, framed.
    """
    raws = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
    raws[0].sendall(call)
    head = raws[0].recv(4, socket.MSG_WAITALL)
    size = 4 + struct.unpack(">I", head)[0]
    raws[0].recv(size - 4, socket.MSG_WAITALL)
    selector = stack.enter_context(selectors.DefaultSelector())
    missing: dict[socket.socket, int] = {}
    for raw in raws:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(raw, selectors.EVENT_READ)

    def run(count: int) -> None:
        """Make `count` calls: when all that were sent over a connection are answered, as many are sent again."""
        rounds = count // (len(raws) * depth)
        left = dict.fromkeys(raws, rounds - 1)
        for raw in raws:
            missing[raw] = size * depth
            raw.sendall(call * depth)
        busy = len(raws)
        while busy:
            for key, _ in selector.select():
                raw: Any = key.fileobj
                missing[raw] -= len(raw.recv(65536))
                if missing[raw]:
                    continue
                if left[raw]:
                    left[raw] -= 1
                    missing[raw] = size * depth
                    raw.sendall(call * depth)
                else:
                    busy -= 1

    return run


def _grpc_load(server: Process, call: bytes, depth: int, stack: contextlib.ExitStack) -> Load:
    import grpc

    methods = []
    for number in range(CONNECTIONS):
        # Equal channels would share a connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("connection", number)]
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.first}", options))
        methods.append(channel.unary_unary("/Echo/echo"))

    def run(count: int) -> None:
        for _ in range(count // (len(methods) * depth)):
            futures = [method.future(call) for method in methods for _ in range(depth)]
            for future in futures:
                assert future.result() == call

    return run


def _plot(best: dict[str, list[float]]) -> None:
    """`servers.svg`: bars, where matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        progress("no plot: matplotlib is not installed")
        return
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "idlc"
    from matplotlib import pyplot

    names = list(best)[::-1]
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for index, depth in enumerate(DEPTHS):
        places = [place + (0.5 - index) * 0.4 for place in range(len(names))]
        times = [best[name][index] * 1e6 for name in names]
        bars = axes.barh(places, times, 0.38, label=f"{CONNECTIONS} connections, calls under way on each: {depth}")
        axes.bar_label(bars, [f"{time:.1f}" for time in times], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlabel("CPU time of the server per call, µs (logarithmic)")
    axes.set_title("echo of a struct of about 105 bytes")
    axes.margins(x=0.12)
    figure.legend(loc="outside lower center", ncols=len(DEPTHS))
    figure.savefig(Path(__file__).with_name("servers.svg"), metadata={"Date": None})
