"""Servers: the CPU time that a call of `echo`, with a struct of about 105 bytes, costs the server's process.

Each server is a separate process with one library. All Thrift servers get the same calls from the same load
generator; gRPC's servers get messages of the same size from gRPC's own client.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.native_peers import CPP, GO, NativePeer, Unavailable, build, thrift_version
from benchmarks.size import FULL
from benchmarks.stubs import ours, small
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import Process, running
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import client_dialect
from idlrt.protocol.thrift.requests import ThriftResponse

__all__ = ["ROWS", "Row", "pipelined", "run"]

CONNECTIONS = 16
DEPTHS = (1, 16)
# Seconds without any answer after which a server has failed.
ANSWER_TIMEOUT: Final = 60.0
PLOT: Final = Path(__file__).with_name("servers.svg")

Load = Callable[[int], int]
"""Make about as many calls, and return how many."""
Start = Callable[[Path], Sequence[str]]


def _python(kind: str) -> Start:
    return lambda folder: [sys.executable, "-m", "benchmarks.echo_server", kind, str(folder)]


def _native(peer: NativePeer, *arguments: str) -> Start:
    return lambda folder: [str(build(peer)), *arguments]


def _grpc(kind: str) -> Start:
    def start(folder: Path) -> Sequence[str]:
        if importlib.util.find_spec("grpc") is None:
            raise Unavailable("grpcio not found; install it with `pip install --group bench`")
        return _python(kind)(folder)

    return start


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A server that is measured.

    Attributes:
        start: returns the command of the server's process, which prints its port and answers a line of input with the
            CPU seconds that it has used; raises `Unavailable` if this machine cannot run it.
        framing: what it is called with: a framing of `idlrt`, "echo" for a server that returns the bytes of a call,
            or "grpc".
        baseline: the row that it is compared with.
        is_option: whether it is the baseline with an option, so that the ratio is its time / that of the baseline.
        targets: upper bounds of the ratio, one for each of `DEPTHS`.
    """

    start: Start
    framing: str = "framed"
    baseline: str = "idlrt"
    is_option: bool = False
    targets: tuple[float | None, ...] = (None,) * len(DEPTHS)


ROWS: Mapping[str, Row] = {
    "idlrt": Row(start=_python("idlrt")),
    "idlrt workers": Row(start=_python("idlrt workers")),
    "idlrt async": Row(start=_python("idlrt async")),
    "idlrt asyncio": Row(start=_python("idlrt asyncio")),
    "idlrt measured": Row(start=_python("idlrt measured"), is_option=True, targets=(1.08, None)),
    "idlrt async measured": Row(
        start=_python("idlrt async measured"), baseline="idlrt async", is_option=True, targets=(1.08, None)
    ),
    "idlrt header": Row(start=_python("idlrt"), framing="header"),
    "idlrt async header": Row(start=_python("idlrt async"), framing="header"),
    "bare selector": Row(start=_python("bare selector"), framing="echo", targets=(1.6, None)),
    "thriftpy2": Row(start=_python("thriftpy2"), targets=(0.5, 0.25)),
    "apache": Row(start=_python("apache")),
    "apache nonblocking": Row(start=_python("apache nonblocking"), targets=(0.25, None)),
    "apache go": Row(start=_native(GO, "framed")),
    "apache go header": Row(start=_native(GO, "header"), framing="header", baseline="idlrt header"),
    "apache c++": Row(start=_native(CPP)),
    "grpcio": Row(start=_grpc("grpcio"), framing="grpc", targets=(0.08, None)),
    "grpc.aio": Row(start=_grpc("grpc.aio"), framing="grpc"),
}

NOTE = """CPU time per call of the server's process alone: the best of {rounds} rounds of {calls} calls, and the median
in brackets. Ratios are ours / theirs, of the best, with the target where there is one; ours is `idlrt`, or
`idlrt header` for `apache go header`. {connections} connections, with 1 call in flight on each, and with 16. Binary
protocol, framed; rows named `header` with THeader, as our clients send it.

- `idlrt` is `Server` with a plain handler, `idlrt workers` the same with 4 worker threads, `idlrt async` the same with
  an `async` handler. `idlrt asyncio` is `AsyncServer` with an `async` handler.
- `idlrt measured` and `idlrt async measured` have `metrics=True`. Their ratios are on / off: what measuring costs.
- `bare selector` returns the bytes that it gets without reading them.
- `thriftpy2` and `apache` are the threaded servers of the Python libraries, `apache nonblocking` is Apache's
  `TNonblockingServer` in Python with 1 thread. All use their C code.
- `apache go` is Apache Thrift's Go library{go}: `TSimpleServer`, a goroutine per connection.
- `apache c++` is its C++ library{cpp}: `TNonblockingServer` with 1 I/O thread that runs the handlers, built with -O2.
  Both run with their defaults and the code that Apache's compiler generates.
- gRPC's servers get bytes from gRPC's own client and spend nothing on protobuf."""


def run(
    folder: Path,
    *,
    rounds: int = FULL.server_rounds,
    calls: int = FULL.server_calls,
    rows: Mapping[str, Row] = ROWS,
    plot: Path | None = PLOT,
) -> Table:
    """Measure everything.

    Args:
        folder: for our stubs.
        rounds: how often each server is measured.
        calls: in a round, rounded down to a multiple of the calls in flight, if there are as many.
        rows: what to measure, with its baselines.
        plot: where to write the plot; `None` for no plot.

    Raises:
        RuntimeError: a server failed or answered wrongly.
    """
    found: dict[str, dict[int, list[float]]] = {}
    missing: dict[str, str] = {}
    for name, row in rows.items():
        try:
            command = row.start(folder)
        except Unavailable as error:
            progress(f"{name}: not measured: {error}")
            missing[name] = str(error)
            continue
        ours(folder)  # compiled here, so that the processes only import
        found[name] = {}
        # One server at a time: idle threads of another would disturb it.
        for depth in DEPTHS:
            progress(f"servers, {CONNECTIONS} connections, {depth} calls on each: {name}")
            try:
                found[name][depth] = _measure_row(folder, row, command, depth, rounds, calls)
            except (OSError, RuntimeError) as error:
                raise RuntimeError(f"cannot measure {name}: {error}") from error
    if plot is not None:
        _plot({name: [min(times[depth]) for depth in DEPTHS] for name, times in found.items()}, plot)
    return _table(rows, found, missing, rounds, calls)


def _table(
    rows: Mapping[str, Row],
    found: Mapping[str, Mapping[int, Sequence[float]]],
    missing: Mapping[str, str],
    rounds: int,
    calls: int,
) -> Table:
    versions = {
        key: f" {thrift_version(peer)}" if name in found else ""
        for key, name, peer in (("go", "apache go", GO), ("cpp", "apache c++", CPP))
    }
    note = NOTE.format(rounds=rounds, calls=calls, connections=CONNECTIONS, **versions)
    for name, reason in missing.items():
        note += f"\n- `{name}`: not measured: {reason}."
    heads = [f"ours / theirs, {CONNECTIONS} x {depth}" for depth in DEPTHS]
    table = Table("Servers", ["", *heads, *[f"{CONNECTIONS} x {depth}" for depth in DEPTHS]], note)
    for name, times in found.items():
        baseline = found.get(rows[name].baseline)
        cells = ["" for _ in DEPTHS]
        if baseline is not None and baseline is not times:
            ratios = [min(baseline[depth]) / min(times[depth]) for depth in DEPTHS]
            cells = [
                f"{1 / ratio if rows[name].is_option else ratio:.2f}" + (f" (target {target})" if target else "")
                for ratio, target in zip(ratios, rows[name].targets, strict=True)
            ]
        table.add(name, *cells, *[f"{unit(min(times[depth]))} ({unit(middle(times[depth]))})" for depth in DEPTHS])
    return table


def _measure_row(folder: Path, row: Row, command: Sequence[str], depth: int, rounds: int, calls: int) -> list[float]:
    stubs: Any = ours(folder)
    value = small(stubs.Small)
    framing = "framed" if row.framing in ("echo", "grpc") else row.framing
    connection = ClientConnection(client_dialect(framing))
    call = connection.request(stubs.EchoClient.__thrift_service__.methods["echo"], (value,))[1]

    def check(answer: bytes) -> None:
        """Raise unless a server has answered with the value that it was sent."""
        if row.framing == "echo":
            is_right = answer == call
        else:
            events = connection.receive_data(answer)
            is_right = [each.result() for each in events if isinstance(each, ThriftResponse)] == [value]
        if not is_right:
            raise RuntimeError(f"wrong answer: {answer!r}")

    with running(command) as server, contextlib.ExitStack() as stack:
        if row.framing == "grpc":
            load = _grpc_load(server, call, depth, stack)
        else:
            load = pipelined(int(server.first), call, CONNECTIONS, depth, stack, check)
        return _measure(server, load, rounds, calls)


def _measure(server: Process, load: Load, rounds: int, calls: int) -> list[float]:
    load(calls // 4)
    times: list[float] = []
    for _ in range(rounds):
        before = server.ask("cpu")
        made = load(calls)
        times.append((server.ask("cpu") - before) / made)
    if min(times) <= 0:
        raise RuntimeError(f"a round of {calls} calls took no CPU time")
    return times


def pipelined(
    port: int,
    call: bytes,
    connections: int,
    depth: int,
    stack: contextlib.ExitStack,
    check: Callable[[bytes], None] = lambda answer: None,
    *,
    receive: Callable[[socket.socket], bytes] | None = None,
    others: Sequence[bytes] = (),
) -> Load:
    """Return a load generator with `connections` connections and `depth` calls in flight on each.

    Args:
        port: of a server on this machine.
        call: the bytes of a call.
        stack: closes the connections.
        check: looks at the first answer. All others must be as long.
        receive: reads the first answer; `None`: a frame that begins with its length.
        others: further calls, which take turns with `call` and have answers of the same length.

    Raises:
        RuntimeError: no answer, or a wrong one; so does the load generator.
    """
    raws = [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT)) for _ in range(connections)
    ]
    raws[0].sendall(call)
    answer = (receive or _receive_frame)(raws[0])
    check(answer)
    calls = itertools.cycle((call, *others))
    size = len(answer)
    selector = stack.enter_context(selectors.DefaultSelector())
    missing: dict[socket.socket, int] = {}
    for raw in raws:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(None)  # a timeout costs a system call for each receive
        selector.register(raw, selectors.EVENT_READ)

    def run(count: int) -> int:
        """Make calls: when all that were sent over a connection are answered, send as many again."""
        rounds = max(1, count // (len(raws) * depth))
        left = dict.fromkeys(raws, rounds - 1)
        for raw in raws:
            missing[raw] = size * depth
            raw.sendall(next(calls) * depth)
        busy = len(raws)
        while busy:
            ready = selector.select(ANSWER_TIMEOUT)
            if not ready:
                raise RuntimeError(f"no answer for {ANSWER_TIMEOUT:g} s, {sum(missing.values())} bytes are missing")
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                raw = key.fileobj
                data = raw.recv(65536)
                missing[raw] -= len(data)
                if missing[raw] > 0 and data:
                    continue
                if missing[raw] or not data:
                    raise RuntimeError("the server closed a connection" if not data else "an answer is too long")
                if left[raw]:
                    left[raw] -= 1
                    missing[raw] = size * depth
                    raw.sendall(next(calls) * depth)
                else:
                    busy -= 1
        return rounds * len(raws) * depth

    return run


def _receive_frame(raw: socket.socket) -> bytes:
    head = _receive(raw, 4)
    return head + _receive(raw, struct.unpack(">I", head)[0])


def _receive(raw: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = raw.recv(size - len(data))
        if not more:
            raise RuntimeError("the server closed the connection without an answer")
        data += more
    return data


def _grpc_load(server: Process, call: bytes, depth: int, stack: contextlib.ExitStack) -> Load:
    import grpc

    methods = []
    for number in range(CONNECTIONS):
        # Equal channels would share a connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("connection", number)]
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.first}", options))
        methods.append(channel.unary_unary("/Echo/echo"))

    def run(count: int) -> int:
        rounds = max(1, count // (len(methods) * depth))
        for _ in range(rounds):
            futures = [method.future(call) for method in methods for _ in range(depth)]
            for future in futures:
                assert future.result() == call
        return rounds * len(methods) * depth

    return run


def _plot(best: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw bars, if matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        progress("no plot: matplotlib is not installed")
        return
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "idlc"
    from matplotlib import pyplot

    names = list(best)[::-1]
    figure, axes = pyplot.subplots(figsize=(8, 7), layout="constrained")
    for index, depth in enumerate(DEPTHS):
        places = [place + (0.5 - index) * 0.4 for place in range(len(names))]
        times = [best[name][index] * 1e6 for name in names]
        bars = axes.barh(places, times, 0.38, label=f"{CONNECTIONS} connections, calls in flight on each: {depth}")
        axes.bar_label(bars, [f"{time:.1f}" for time in times], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlabel("CPU time of the server per call, µs (logarithmic)")
    axes.set_title("echo of a struct of about 105 bytes")
    axes.margins(x=0.12)
    figure.legend(loc="outside lower center", ncols=len(DEPTHS))
    figure.savefig(path, metadata={"Date": None})
