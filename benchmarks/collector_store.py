"""Store of the collector: cells a second of CPU, size of a month, latency of plots.

Run `python -m benchmarks.collector_store`. Time is virtual. Where the fine cells of an early day are deleted in the
end, its calls are put once in 10 minutes instead of every 10 s, which leaves the same coarse cells and takes a fraction
of the time. The size is measured with fewer methods and multiplied: blocks belong to one series, so it is proportional.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from idlrt.collector.store import CellStore
from idlrt.observe.catalogue import SERVER_CALLS
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Series

INSTANCES: Final = 10
RATE: Final = 10
HOUR: Final = 3600
DAY: Final = 24 * HOUR
START: Final = 1_800_057_600
_POOL: Final = 60


class Load:
    """Calls of methods on instances of one service, in virtual time.

    Args:
        folder: folder of the file.
        methods: number of methods.
        spread: methods that all instances serve; the first instance serves all calls of the others.
    """

    def __init__(self, folder: Path, methods: int, spread: int | None = None) -> None:
        self.at = float(START)
        self.store = CellStore(folder / "metrics.db", max_bytes=1 << 40, now=lambda: self.at)
        self._labels = [(f"shop.Orders.method{number}", "ok", "", "web") for number in range(methods)]
        self._spread = methods if spread is None else spread
        self._dice = random.Random(1)
        self._pools: dict[tuple[int, int], list[Histogram]] = {}
        self.cells = 0
        self.put_s = self.commit_s = self.maintain_s = 0.0
        self.commits_s: list[float] = []

    def run(self, seconds: int, step: int) -> None:
        """Put the calls of a time, one report of each instance a step."""
        for _ in range(seconds // step):
            self.at += step
            for instance in range(INSTANCES):
                resource = {"service": "orders", "instance": f"10.0.0.{instance}:9090", "host": f"host{instance}"}
                labels = self._labels if not instance else self._labels[: self._spread]
                series = [Series(SERVER_CALLS, {each: self._histogram_of(at, step) for at, each in enumerate(labels)})]
                begun = time.process_time()
                self.store.put(resource, self.at, series)
                self.put_s += time.process_time() - begun
                self.cells += len(labels)
            begun, wall = time.process_time(), time.perf_counter()
            self.store.commit()
            self.commit_s += time.process_time() - begun
            self.commits_s.append(time.perf_counter() - wall)
            if step >= 60 or self.at % 60 < step:
                begun = time.process_time()
                self.store.maintain()
                self.maintain_s += time.process_time() - begun

    def _histogram_of(self, method: int, step: int) -> Histogram:
        """Return a histogram of log-normal durations with a median between 1 and 20 ms."""
        count = RATE * step * (1 if method < self._spread else INSTANCES)
        pool = self._pools.setdefault((count, method % 20), [])
        if len(pool) < _POOL:
            pool.append(self._histogram(count, 1e6 * 20 ** (method % 20 / 20)))
            return pool[-1]
        return self._dice.choice(pool)

    def _histogram(self, count: int, median: float) -> Histogram:
        dice = self._dice
        # Many values differ by the noise of their buckets only: count a tenth, and multiply.
        made = Histogram.of(int(median * math.exp(dice.gauss(0, 0.8))) for _ in range(min(count, 6000)))
        times = count // made.count
        counts: Mapping[int, int] = {
            i: n * times + (dice.randrange(times) if times > 1 else 0) for i, n in made.counts.items()
        }
        total = sum(counts.values())
        sizes = (total * 120 + dice.randrange(1000), total * 700 + dice.randrange(10_000))
        return Histogram(counts, total, made.sum * times, made.min, made.max, *sizes)


def throughput(methods: int) -> None:
    """Print cells a second of CPU."""
    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder), methods)
        load.run(HOUR, 10)
        cells = load.cells
        written = cells / (load.put_s + load.commit_s)
        everything = cells / (load.put_s + load.commit_s + load.maintain_s)
        parts = [1e6 * each / cells for each in (load.put_s, load.commit_s, load.maintain_s)]
        commits = [1e3 * each for each in sorted(load.commits_s)]
        click.echo(
            f"{cells:,} cells of 100 calls, {methods * INSTANCES} series: {written:,.0f} cells/s put and committed, "
            f"{everything:,.0f} with roll-up and retention"
        )
        click.echo(
            f"  put {parts[0]:.1f} µs, commit {parts[1]:.1f} µs, maintain {parts[2]:.1f} µs of CPU a cell; a "
            f"commit takes {statistics.median(commits):.0f} ms (median), {commits[-1]:.0f} ms (maximum)"
        )
        load.store.close()


def size(methods: int, of_methods: int) -> None:
    """Print the bytes of a month."""
    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder), methods)
        # Cells of 10 s are kept for 6 h at most, and those of 1 min for a day.
        load.run(29 * DAY - 2 * HOUR, 600)
        load.run(DAY - 5 * HOUR, 60)
        load.run(7 * HOUR, 10)
        used, file = load.store.used_bytes, (Path(folder) / "metrics.db").stat().st_size
        factor = of_methods / methods
        sizes = [
            f"{each / 2**20:.1f} MiB in use, file {on_disk / 2**20:.1f} MiB"
            for each, on_disk in ((used, file), (used * factor, file * factor))
        ]
        click.echo(f"30 days of {methods} methods on {INSTANCES} instances, {RATE} calls/s each: {sizes[0]}")
        click.echo(f"  times {factor:g}, for {of_methods} methods: {sizes[1]}")
        load.store.close()


def plots(methods: int, rounds: int) -> None:
    """Print the latency of plots of a month."""
    with tempfile.TemporaryDirectory() as folder:
        # Queries read the same number of cells as if all instances served all methods.
        load = Load(Path(folder), methods, spread=2)
        load.run(30 * DAY - HOUR, HOUR)
        load.run(HOUR, 10)
        start, end = load.at - 30 * DAY, load.at
        method = {"rpc_method": "shop.Orders.method1"}
        queries: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
            f"one method, by {INSTANCES} instances": (method, ("instance",)),
            "one method, all instances": (method, ()),
            f"whole service of {methods} methods": ({}, ()),
            f"whole service, by {INSTANCES} instances": ({}, ("instance",)),
            f"whole service, by method: 30 of {methods} and the others": ({}, ("rpc_method",)),
        }
        for name, (where, by) in queries.items():
            taken: list[float] = []
            for _ in range(rounds):
                begun = time.perf_counter()
                found = load.store.read(SERVER_CALLS.name, start, end, where=where, by=by)
                taken.append(time.perf_counter() - begun)
            click.echo(
                f"{name}: {1e3 * statistics.median(taken):.0f} ms (median), {1e3 * min(taken):.0f} to "
                f"{1e3 * max(taken):.0f} ms; {len(found.groups)} groups of {found.steps} histograms"
            )
        load.store.close()


@click.command()
@click.option("--methods", default=20, show_default=True, help="Methods of the size; 100 takes about half an hour.")
@click.option("--quick", is_flag=True, help="Run a small version in seconds; its numbers mean little.")
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(["throughput", "size", "plots"]), help="Parts to run."
)
def main(methods: int, quick: bool, parts: tuple[str, ...]) -> None:
    """Measure the store of the collector."""
    wanted = parts or ("throughput", "size", "plots")
    if "throughput" in wanted:
        throughput(2 if quick else 100)
    if "plots" in wanted:
        plots(2 if quick else 100, 3 if quick else 11)
    if "size" in wanted:
        size(1 if quick else methods, 100)


if __name__ == "__main__":
    main()
