"""Tracing: the CPU time that it costs a call, beside the SDK of OpenTelemetry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from benchmarks.size import Size
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import Process, python, running

__all__ = ["OURS", "THEIRS", "table"]

OURS: Final = (
    *("server, the caller has not sampled", "server, begins an unsampled trace"),
    *("client, in an unsampled trace", "client, begins an unsampled trace"),
    *("server, sampled, sent by OTLP", "client, sampled, sent by OTLP"),
    *("server, sampled, sent to Zipkin", "client, sampled, sent to Zipkin"),
)
"""Names of ours."""
THEIRS: Final = tuple(f"OpenTelemetry, {name}" for name in OURS[:6])
"""Names of the same with the SDK of OpenTelemetry."""

BACKENDS: Final = ("native", "pure")
# What the loop costs without tracing.
NOTHING: Final = {name: f"nothing, {name}" for name in ("server", "sampled server", "client")}
# Seconds for a call: the upper bounds of a side.
UNSAMPLED: Final = {"native": 0.7e-6, "pure": 1.5e-6}
SAMPLED: Final = 25e-6
# The first ones of `OURS` are not sampled.
_UNSAMPLED_RUNS: Final = 4
# Calls of one round whose spans are sent: the queue of the SDK takes 2,048.
_SENT: Final = 2000
# Less than a small round can tell from nothing.
_LEAST: Final = 1e-9

NOTE: Final = """CPU time of the whole process for one call: the best of {rounds} rounds of {calls} calls, {sent} where
spans are sent, and the median in brackets. What the loop costs without tracing is subtracted. All in one run, in turns.

- Unsampled: what a server does between reading a request and answering it, and a client between its call and the
  result, with the headers of the request. Upper bounds: 700 ns with codecs in C (native), 1.5 µs without (pure).
- Sampled: a span with its attributes, kept for `/rpcz`, encoded and sent in batches over HTTP to another process, until
  that has all. Upper bound: 25 µs.
- OpenTelemetry: the SDK with the same attributes, a sampler with the same ratio, its propagator of W3C's headers, its
  batch processor and its exporter (OTLP over HTTP). Ratios are ours (native) / theirs, of the best."""


def table(size: Size) -> Table:
    """Measure everything."""
    progress("tracing")
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        receiver = stack.enter_context(running(python("benchmarks.span_receiver")))
        command = python("benchmarks.tracing_recorders", receiver.first)
        processes: Mapping[str, Process] = {
            name: stack.enter_context(running(command, environment={**os.environ, "IDLRT_BACKEND": name}))
            for name in BACKENDS
        }
        for name, each in processes.items():
            if each.first != name:
                raise RuntimeError(f"cannot measure {name} codecs: the process has {each.first} ones")
        for _ in range(size.observe_rounds):
            for backend, process in processes.items():
                for name in (*NOTHING.values(), *OURS, *THEIRS):
                    count = min(_SENT, size.observe_calls) if "sent" in name else size.observe_calls
                    found.setdefault((backend, name), []).append(process.ask(f"{name}|{count}"))
        if not receiver.ask("bytes"):
            raise RuntimeError("cannot measure sampled calls: no span has arrived")
    return _table(found, size)


def _table(found: Mapping[tuple[str, str], list[float]], size: Size) -> Table:
    nothing = {(backend, name): min(found[backend, name]) for backend in BACKENDS for name in NOTHING.values()}

    def times(backend: str, name: str) -> tuple[float, float]:
        side, _, rest = name.removeprefix("OpenTelemetry, ").partition(", ")
        kind = f"sampled {side}" if "sampled, sent" in rest and side == "server" else side
        # What the SDK is given costs the same.
        base = nothing[backend, NOTHING[kind]] if not name.startswith("OpenTelemetry") or kind != side else 0.0
        measured = found[backend, name]
        return max(min(measured) - base, _LEAST), max(middle(measured) - base, _LEAST)

    note = NOTE.format(rounds=size.observe_rounds, calls=size.observe_calls, sent=min(_SENT, size.observe_calls))
    head = ["", *BACKENDS, *(f"{name} / bound" for name in BACKENDS), "OpenTelemetry", "ours / theirs"]
    result = Table("Tracing a call", head, note)
    for number, name in enumerate(OURS):
        best = {backend: times(backend, name) for backend in BACKENDS}
        bound = UNSAMPLED if number < _UNSAMPLED_RUNS else dict.fromkeys(BACKENDS, SAMPLED)
        # What is sent to Zipkin is compared with what the SDK sends by OTLP.
        peer = times("native", THEIRS[number if number < len(THEIRS) else number - 2])
        result.add(
            name,
            *(f"{unit(low)} ({unit(mid)})" for low, mid in best.values()),
            *(f"{best[backend][0] / bound[backend]:.2f}" for backend in BACKENDS),
            f"{unit(peer[0])} ({unit(peer[1])})",
            f"{best['native'][0] / peer[0]:.2f}",
        )
    return result
