"""Trace store of the collector: disk space, CPU time of storing, and latency of searches.

    python -m benchmarks.collector_traces [--traces 100000] [--folder FOLDER]

stores traces of 10 spans that are spread over 24 hours, with 8 attributes and 2 business tags each, in virtual time,
and searches all 24 hours.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from idlrt.collector.traces import TraceQuery, TraceStore
from idlrt.observe.tracing.span import Attribute, Kind
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["spans_of_traces"]

_BEGAN: Final = 1_760_000_400.0
_DAY: Final = 86400.0
_SPANS: Final = 10
_BATCH: Final = 200
_ROUNDS: Final = 30
_SERVICES: Final = {
    "web": ("GET /cart", "GET /item", "POST /order", "GET /search"),
    "shop": ("Shop.find", "Shop.list", "Shop.price", "Shop.order"),
    "stock": ("Stock.reserve", "Stock.count", "Stock.release"),
    "users": ("Users.get", "Users.login", "Users.rights"),
    "payment": ("Payment.charge", "Payment.refund"),
    "search": ("Search.query", "Search.suggest"),
}
_NAMES: Final = tuple(_SERVICES)


def spans_of_traces(traces: int, seed: int = 7) -> Iterator[list[SpanRecord]]:
    """Yield the spans of each trace: a web request, and calls as pairs of a client and a server span."""
    dice = random.Random(seed)
    for at in range(traces):
        yield _trace(dice, _BEGAN + _DAY * at / traces)


def _trace(dice: random.Random, began: float) -> list[SpanRecord]:
    trace_id = f"{dice.getrandbits(128):032x}"
    tags = {"tag.user": str(dice.randrange(20_000)), "tag.tenant": f"tenant-{dice.randrange(50)}"}
    has_failed = dice.random() < 0.01
    slowness = dice.lognormvariate(-4.0, 0.8)
    found: list[SpanRecord] = []

    def add(kind: Kind, service: str, name: str, parent: SpanRecord | None, share: float, fails: bool) -> SpanRecord:
        start = began if parent is None else parent.started_at + parent.duration_s * dice.uniform(0.02, 0.08)
        duration = slowness if parent is None else parent.duration_s * share * dice.uniform(0.7, 1.0)
        span = SpanRecord(
            trace_id=trace_id,
            span_id=f"{dice.getrandbits(64):016x}",
            parent_id=parent.span_id if parent else "",
            service=service,
            name=name,
            kind=kind,
            started_at=int(start * 1e9) / 1_000_000_000,
            duration_s=int(duration * 1e9) / 1_000_000_000,
            status="error" if fails else "unset",
            message="no stock" if fails else "",
            attributes=_attributes(dice, kind, name, duration, fails) | tags,
            is_remote_parent=kind == "server" and parent is not None,
        )
        found.append(span)
        return span

    parent = add("server", "web", dice.choice(_SERVICES["web"]), None, 1.0, has_failed)
    entry = parent
    while len(found) < _SPANS - 1:
        service = dice.choice(_NAMES[1:])
        name = dice.choice(_SERVICES[service])
        is_last = len(found) >= _SPANS - 3
        client = add("client", parent.service, name, parent, 0.8, has_failed and is_last)
        server = add("server", service, name, client, 0.9, has_failed and is_last)
        parent = server if dice.random() < 0.5 else entry
    add("internal", parent.service, "look up", parent, 0.5, False)
    return found


def _attributes(dice: random.Random, kind: Kind, name: str, duration: float, fails: bool) -> dict[str, Attribute]:
    if kind == "internal":
        return {"table": "articles", "rows": dice.randrange(100), "cache.hit": dice.random() < 0.5, "shard": 3}
    found: dict[str, Attribute] = {
        "rpc.system.name": "thrift",
        "rpc.method": name,
        "rpc.response.status_code": "internal" if fails else "ok",
    }
    if fails:
        found["error.type"] = "OutOfStock"
    if kind == "client":
        host = f"10.0.{dice.randrange(4)}.{dice.randrange(20)}"
        found |= {"server.address": host, "server.port": 9090, "network.transport": "tcp", "rpc.attempt": 1}
        return found | {"rpc.retry.kind": "first"}
    found |= {
        "client.address": f"10.0.{dice.randrange(4)}.{dice.randrange(20)}:{dice.randrange(32768, 60999)}",
        "rpc.caller": dice.choice(_NAMES),
        "rpc.server.queue_s": round(duration * dice.random() * 0.05, 9),
        "rpc.server.handler_s": round(duration * 0.9, 9),
        "rpc.server.serialization_s": round(dice.random() * 1e-4, 9),
    }
    return found


class _Clock:
    """Virtual clock."""

    def __init__(self) -> None:
        self.time = _BEGAN

    def __call__(self) -> float:
        return self.time


def _store(folder: Path, traces: int) -> tuple[TraceStore, list[str], float, float]:
    """Store traces, and return the store, some ids, and the CPU and wall-clock time in seconds."""
    clock = _Clock()
    store = TraceStore(folder, now=clock)
    ids: list[str] = []
    cpu = wall = 0.0
    batch: list[SpanRecord] = []

    def flush() -> None:
        nonlocal cpu, wall
        # Spans of several programs arrive mixed.
        dice.shuffle(batch)
        before, began = time.process_time(), time.perf_counter()
        store.put(batch)
        store.commit()
        store.maintain()
        cpu += time.process_time() - before
        wall += time.perf_counter() - began
        batch.clear()

    dice = random.Random(3)
    for at, spans in enumerate(spans_of_traces(traces)):
        clock.time = spans[0].started_at + 1.0
        batch += spans
        if at % (traces // 100 or 1) == 0:
            ids.append(spans[0].trace_id)
        if len(batch) >= _BATCH * _SPANS:
            flush()
    flush()
    clock.time += 60.0
    flush()
    return store, ids, cpu, wall


def _latencies(search: Callable[[int], int]) -> str:
    took: list[float] = []
    found: list[int] = []
    for at in range(_ROUNDS):
        began = time.perf_counter()
        found.append(search(at))
        took.append(time.perf_counter() - began)
    return (
        f"median {statistics.median(took) * 1e3:7.2f} ms   max {max(took) * 1e3:7.2f} ms   "
        f"{statistics.median(found):g} results"
    )


def _searches(store: TraceStore, ids: list[str], end: float) -> dict[str, Callable[[int], int]]:
    def query(**conditions: object) -> int:
        values = {"start": _BEGAN, "end": end, "limit": 20, **conditions}
        return len(store.search(TraceQuery(**values)))  # type: ignore[arg-type]

    shop = _SERVICES["shop"]
    return {
        "newest": lambda _: query(),
        "slowest": lambda _: query(order="slowest"),
        "service": lambda at: query(service=_NAMES[at % len(_NAMES)]),
        "service, slowest": lambda at: query(service=_NAMES[at % len(_NAMES)], order="slowest"),
        "service + operation": lambda at: query(service="shop", operation=shop[at % 4]),
        "service + operation, 1,000": lambda at: query(service="shop", operation=shop[at % 4], limit=1000),
        "service + operation, slowest": lambda at: query(service="shop", operation=shop[at % 4], order="slowest"),
        "service + operation, >= 0.2 s": lambda at: query(service="web", operation="GET /cart", min_s=0.2),
        "tag user (1 of 20,000)": lambda at: query(tags={"user": str(at * 577 % 20_000)}),
        "tag tenant (1 of 50)": lambda at: query(tags={"tenant": f"tenant-{at % 50}"}),
        "2 tags": lambda at: query(tags={"tenant": f"tenant-{at % 50}", "user": str(at * 577 % 20_000)}),
        "tag tenant + operation, slowest": lambda at: query(
            tags={"tenant": f"tenant-{at % 50}"}, service="shop", operation=shop[at % 4], order="slowest"
        ),
        "failed": lambda _: query(is_failed=True),
        "failed, slowest, 1,000": lambda _: query(is_failed=True, order="slowest", limit=1000),
        "failed, service + operation": lambda at: query(service="stock", operation="Stock.count", is_failed=True),
        "error.type": lambda _: query(tags={"error.type": "OutOfStock"}),
        ">= 0.2 s": lambda _: query(min_s=0.2),
        "no result": lambda _: query(tags={"user": "none"}, min_s=5.0),
        "trace by id": lambda at: len(store.trace(ids[at % len(ids)])),
        "unknown id": lambda at: len(store.trace(f"{at:032x}")),
        "services": lambda _: len(store.services()),
        "operations": lambda _: len(store.operations("shop")),
    }


def _run(folder: Path, traces: int) -> None:
    store, ids, cpu, wall = _store(folder, traces)
    figures = store.figures()
    spans = figures.spans
    print(f"{figures.traces:,} traces, {spans:,} spans, {figures.open_traces} open")
    print(f"disk space: {figures.bytes / 1e6:.1f} MB, {figures.bytes / spans:.1f} bytes a span")
    print(f"storing: {spans / cpu:,.0f} spans per second of CPU time ({cpu / spans * 1e6:.2f} µs a span)")
    print(f"         {spans / wall:,.0f} spans per second of wall-clock time")
    for name, search in _searches(store, ids, _BEGAN + _DAY + 60).items():
        print(f"{name:34}{_latencies(search)}", flush=True)
    store.close()
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Measure the trace store of the collector.")
    parser.add_argument("--traces", type=int, default=100_000, help="number of traces of 10 spans")
    parser.add_argument("--folder", type=Path, help="folder to keep the files in")
    options = parser.parse_args()
    if options.folder is not None:
        _run(options.folder, options.traces)
        return
    with tempfile.TemporaryDirectory(prefix="idlc-bench-") as folder:
        _run(Path(folder), options.traces)


if __name__ == "__main__":
    main()
