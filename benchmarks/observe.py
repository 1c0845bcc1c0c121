"""Monitoring: the CPU time of recording a call, of reading what was recorded, and of tracing, beside others."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import tracing
from benchmarks.size import FULL, Size
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import Process, python, running

__all__ = ["PEERS", "READERS", "RECORDERS", "VALUES", "run"]

RECORDERS: Final = (
    *("server, result", "server, error", "client, result", "client, error"),
    *("client, attempt", "client, call with its attempt"),
)
"""Names of ours."""
PEERS: Final = ("prometheus_client, cached children", "prometheus_client", "OpenTelemetry")
"""Names of the others."""
READERS: Final = ("read", "text", "prometheus_text", "otlp", "opentelemetry_otlp")
"""Names of the readings of `benchmarks.observe_recorders`."""
VALUES: Final = 20
"""Values of each series that is read."""

BACKENDS: Final = ("native", "pure")
# Seconds for a call: the upper bounds of a side, with labels and the class of an error.
TARGETS: Final = {"native": 0.5e-6, "pure": 1e-6}

RECORD_NOTE: Final = """CPU time of one call: the best of {rounds} rounds of {calls} calls, and the median in brackets.
All in one run: recorders take turns, and cells in C (native) and in Python (pure) run in two processes. Each recording
has method, status and error class as labels, and the duration; the server reads the clock, too.

- Ours: a histogram by labels and caller, with the bytes of both messages, from which counters of calls and bytes are
  read. `server, result` and `client, result` are calls with a result; a client with several instances records each
  attempt, too.
- Peers: a histogram with 15 buckets and a counter with one more label, `caller`. `prometheus_client` with `labels(...)`
  for each call, or with children that the program has cached; OpenTelemetry with attributes that are made for each
  call. They count no bytes.
- Ratios are ours (native) / theirs, of the best. `native / 500 ns` and `pure / 1.0 µs` are the shares of the targets,
  the upper bounds of what a side may cost."""

READ_NOTE: Final = """CPU time of one reading of a histogram and its counters, with {values} values in each series: the
best of {rounds} rounds, and the median in brackets; ours with cells in C. `text` is what a scrape returns, `OTLP` an
export as protobuf. Ours has three counters for each series, peers have one. Ratios are ours / theirs."""


def run(folder: Path, size: Size = FULL) -> list[Table]:
    """Measure everything.

    Args:
        folder: not used.
        size: how much.
    """
    command = python("benchmarks.observe_recorders")
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(running(command, environment={**os.environ, "IDLRT_BACKEND": name}))
            for name in BACKENDS
        }
        for name, each in processes.items():
            if each.first != name:
                raise RuntimeError(f"cannot measure {name} cells: the process has {each.first} ones")
        tables = [_recording(processes, size), _reading(processes["native"], size)]
    return [*tables, tracing.table(size)]


def _recording(processes: Mapping[str, Process], size: Size) -> Table:
    progress("recording")
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(size.observe_rounds):
        for backend, process in processes.items():
            for name in (*RECORDERS, *PEERS):
                seconds = process.ask(f"{name}|{size.observe_calls}")
                found.setdefault((backend, name), []).append(seconds)
    note = RECORD_NOTE.format(rounds=size.observe_rounds, calls=size.observe_calls)
    targets = [f"{each} / {unit(TARGETS[each])}" for each in BACKENDS]
    head = ["", *BACKENDS, *targets, *(f"ours / {name}" for name in PEERS)]
    table = Table("Recording a call", head, note)
    for name in RECORDERS:
        best = {backend: min(found[backend, name]) for backend in BACKENDS}
        # What a call with its attempt is, peers would have to record twice.
        times = 2 if name == RECORDERS[-1] else 1
        ratios = [f"{best['native'] / min(found['native', peer]) / times:.2f}" for peer in PEERS]
        shares = [f"{best[each] / TARGETS[each]:.2f}" for each in BACKENDS]
        table.add(name, *(_times(found[each, name]) for each in BACKENDS), *shares, *ratios)
    for name in PEERS:
        table.add(name, _times(found["native", name]), *[""] * (len(head) - 2))
    return table


def _reading(process: Process, size: Size) -> Table:
    note = READ_NOTE.format(rounds=size.observe_reads, values=VALUES)
    head = ["", "read", "text", "prometheus_client", "ours / theirs", "OTLP", "OpenTelemetry", "ours / theirs"]
    table = Table("Reading", head, note)
    for series in size.observe_series:
        progress(f"reading {series:,} series")
        found: dict[str, list[float]] = {name: [] for name in READERS}
        for _ in range(size.observe_reads):
            for name in READERS:
                found[name].append(process.ask(f"read|{name}|{series}|1"))
        cells = {name: _times(times) for name, times in found.items()}
        table.add(
            f"{series:,} series",
            *(cells["read"], cells["text"], cells["prometheus_text"], _ratio(found["text"], found["prometheus_text"])),
            *(cells["otlp"], cells["opentelemetry_otlp"], _ratio(found["otlp"], found["opentelemetry_otlp"])),
        )
    return table


def _times(times: Sequence[float]) -> str:
    return f"{unit(min(times))} ({unit(middle(times))})"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    return f"{min(ours) / min(theirs):.2f}"
