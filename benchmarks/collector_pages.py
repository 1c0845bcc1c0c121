"""Pages of the collector: time of the server, size, and first paint in a browser, for many services."""

from __future__ import annotations

import gzip
import http.client
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.collector_queries import INSTANCES, METHODS, put_calls
from benchmarks.registries import harness
from benchmarks.size import FULL, Size
from benchmarks.table import Table, progress, unit
from benchmarks.workers import background, python
from idlrt.collector.store import CellStore

__all__ = ["PAGES", "run"]

PAGES: Final = (
    ("services, 15 min", "/?last=900"),
    ("services, 1 h", "/"),
    ("methods, 15 min", "/methods?last=900"),
    ("methods, 1 h", "/methods"),
    ("methods by p99, 1 h", "/methods?sort=-p99"),
    ("graph, 1 h", "/graph"),
    ("one service, 1 h", "/service?service=service1"),
    ("one method, 1 h", "/method?service=service1&method=shop.S1.method1"),
    ("comparison, 1 h", "/compare?service=service1"),
    ("collector", "/collector"),
)
NOTE: Final = """{services} services with {methods} methods on {instances} instances, with made-up calls of the last
hour, {rounds} requests each. Time of the server as a client sees it, the best and the median; size of the page alone,
and compressed. First paint, and all that was transferred, are those of Chromium with an empty cache; "-" without it.
The bounds are 1 s and 300 kB."""
_HOUR: Final = 3600
_FINE: Final = 700

Paint = Callable[[str], tuple[str, str]]


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure all pages.

    Args:
        folder: folder of the files.
        size: how much.
    """
    services, rounds = size.collector_services, size.collector_rounds
    note = NOTE.format(services=services, methods=METHODS, instances=INSTANCES, rounds=rounds)
    head = ["", "best", "median", "size", "compressed", "first paint", "transferred"]
    table = Table("Collector, pages", head, note)
    data = folder / "data"
    data.mkdir()
    progress(f"collector: putting an hour of {services} services")
    _fill(data / "cells.db", services)
    command = python("idlrt", "monitor", "serve", "--data", str(data), "--address", "127.0.0.1:0")
    with background(command) as process, ExitStack() as stack:
        address = process.first.rpartition(" ")[2]
        paint = _browser(stack, folder / "profile", address)
        for name, path in PAGES:
            progress(f"collector: {name}")
            taken: list[float] = []
            for _ in range(rounds):
                begun = time.perf_counter()
                body = _get(address, path)
                taken.append(time.perf_counter() - begun)
            compressed = len(gzip.compress(body, 6))
            sizes = (_kilobytes(len(body)), _kilobytes(compressed))
            table.add(name, unit(min(taken)), unit(statistics.median(taken)), *sizes, *paint(f"http://{address}{path}"))
    return table


def _fill(path: Path, services: int) -> None:
    """Put the calls of the last hour: every minute, and every 10 s at the end."""
    now = int(time.time()) // 10 * 10
    at = [float(now)]
    with CellStore(path, max_bytes=1 << 40, now=lambda: at[0]) as store:
        for second in (*range(now - _HOUR, now - _FINE, 60), *range(now - _FINE, now, 10)):
            at[0] = float(second)
            put_calls(store, at[0], services)
            store.commit()
            if second % 600 < 10:
                store.maintain()
        # The collector does so every 10 s; all at once would slow the first pages down.
        at[0] = float(now)
        store.maintain()


def _get(address: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", path, headers={"accept": "text/html"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: status {response.status}: {body[:200].decode(errors='replace')}")
        return body
    finally:
        connection.close()


def _browser(stack: ExitStack, profile: Path, address: str) -> Paint:
    """Return a function that measures the first paint of a page, and what it transfers."""
    stack.enter_context(harness())
    import chromium

    if chromium.PROGRAM is None:
        return lambda url: ("-", "-")
    profile.mkdir()
    page: Any = stack.enter_context(chromium.opened(f"http://{address}/_web/nothing", profile))

    def paint(url: str) -> tuple[str, str]:
        page.empty_cache()
        page.evaluate(f"location.href = {url!r}")
        page.wait_for(f"location.href === {url!r} && performance.getEntriesByType('paint').length > 1")
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        kinds = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        transferred = page.evaluate(f"{kinds}.reduce((sum, each) => sum + each.transferSize, 0)")
        return unit(first / 1000), _kilobytes(transferred)

    return paint


def _kilobytes(size: float) -> str:
    return f"{size / 1000:.0f} kB"
