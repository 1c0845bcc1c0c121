"""Acknowledged values survive a kill and a full disk; readers see whole commits while the writer writes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from idlrt.collector.store import CellStore, Level, Retention
from idlrt.errors import ConfigurationError
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Metric, Series

RETRIES = Metric(name="retries_total", kind="counter", help="Retries", labels=("mode",))
CALLS = Metric(name="calls_seconds", kind="histogram", help="Calls", labels=("method",))
T = 1_800_057_600.0
LONG = 1e9
RETENTION = Retention(
    (
        Level(step=10, cells=3, keep=LONG, keep_instances=LONG),
        Level(step=60, cells=4, keep=LONG, keep_instances=LONG),
        Level(step=600, cells=4, keep=LONG, keep_instances=LONG, is_coarse=True),
    )
)

# Puts one retry a second of virtual time, and says how many were committed.
WRITER = f"""
import sys
from idlrt.collector.store import CellStore, Level, Retention
from idlrt.observe.metric import Metric, Series

RETENTION = Retention(tuple(
    Level(step=step, cells=cells, keep=1e9, keep_instances=1e9, is_coarse=step == 600)
    for step, cells in ((10, 3), (60, 4), (600, 4))
))
metric = Metric(name="retries_total", kind="counter", help="Retries", labels=("mode",))
at = {T} + int(sys.argv[2])
store = CellStore(sys.argv[1], retention=RETENTION, now=lambda: at)
while True:
    at += 1
    store.put({{"service": "orders", "instance": "a"}}, at, [Series(metric, {{("failover",): 1.0}})])
    store.commit()
    print(int(at - {T}), flush=True)
    if at % 7 == 0:
        store.maintain()
"""

# Lets the file grow to one size, then to any.
FULL = f"""
import resource, sys
from idlrt.collector.store import CellStore, StoreError
from idlrt.observe.metric import Metric, Series

metric = Metric(name="retries_total", kind="counter", help="Retries", labels=("mode",))
at = {T}
store = CellStore(sys.argv[1], now=lambda: at)
identity = {{"service": "orders", "instance": "a"}}

def put(count):
    many = {{(f"{{at}} {{number}}",): 1.0 for number in range(count)}}
    store.put(identity, at, [Series(metric, many)])

put(10)
store.commit()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
at += 10
put(5000)
for attempt in range(2):
    try:
        store.commit()
        print("committed")
    except StoreError as error:
        print(error)
print(len(store.labels(metric.name)["mode"]), "series while full")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
at += 10
put(20)
store.commit()
found = store.read(metric.name, {T} - 10, at, step=10).groups[0].values
print(*map(int, found), len(store.labels(metric.name)["mode"]))
"""


def total(values: Sequence[Histogram | float | None]) -> float:
    return sum([each.count if isinstance(each, Histogram) else each or 0.0 for each in values])


@pytest.mark.slow
def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    written = 0.0
    for lines in (60, 1, 150):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(int(written))], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split("\n")
        # The last line may not be whole.
        acknowledged = max([acknowledged, *(int(each) for each in rest[:-1])])
        with CellStore(path, retention=RETENTION, now=lambda at=T + acknowledged: at) as store:  # type: ignore[misc]
            found = [
                total(store.read(RETRIES.name, T, T + acknowledged + 600, step=step).groups[0].values)
                for step in (10, 60, 600)
            ]
        # The commit that was under way may have succeeded.
        assert found[0] in (acknowledged, acknowledged + 1)
        assert found == [found[0]] * 3
        written = found[0]


@pytest.mark.slow
def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "metrics.db")], stdout=subprocess.PIPE, text=True, check=True
    )
    *errors, series, values = found.stdout.splitlines()
    assert len(errors) == 2
    for each in errors:
        assert each.startswith(f"cannot write the metrics in '{tmp_path / 'metrics.db'}': ")
        assert each.endswith("; check the disk and its free space")
    assert series == "10 series while full"
    assert values == "10 5000 20 5030"


def test_readers_see_whole_commits_while_the_writer_writes(tmp_path: Path) -> None:
    clock = [T]
    errors: list[str] = []
    is_over = threading.Event()
    store = CellStore(tmp_path / "metrics.db", retention=RETENTION, now=lambda: clock[0])

    def read(step: int) -> None:
        before = 0.0
        while True:
            is_last = is_over.is_set()
            groups = store.read(CALLS.name, T, T + 3600, step=step, by=("instance",)).groups
            whole = store.read(CALLS.name, T, T + 3600, step=step).groups
            sums = {total(each.values) for each in groups}
            if len(sums) > 1 or (sums and min(sums) < before) or (groups and len(groups) != 2):
                errors.append(f"{sums} after {before}")
            before = max(sums, default=0.0)
            if whole and total(whole[0].values) < 2 * before:
                errors.append(f"{total(whole[0].values)} of {before}")
            if is_last:
                if before != 200:
                    errors.append(f"{before} at the end")
                return

    with store:
        readers = [threading.Thread(target=read, args=(step,)) for step in (10, 60, 600)]
        for each in readers:
            each.start()
        for _ in range(200):
            clock[0] += 10
            for instance in ("a", "b"):
                calls = Series(CALLS, {("get",): Histogram.of([1000])})
                store.put({"service": "orders", "instance": instance}, clock[0], [calls])
            store.commit()
            store.maintain()
        is_over.set()
        for each in readers:
            each.join()
    assert errors == []


def test_a_damaged_file_is_told_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    with CellStore(path, retention=RETENTION, now=lambda: T + 86400) as store:
        for number in range(200):
            store.put(
                {"service": "orders"}, T + 10 * number, [Series(CALLS, {(f"m{number}",): Histogram.of([number])})]
            )
        store.commit()
        store.maintain()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(32768)
        file.write(b"\xaa" * (size - 32768))
    message = r"metrics in '.*metrics\.db': .*; restore it from a backup, or delete it"
    with pytest.raises(ConfigurationError, match=message), CellStore(path, retention=RETENTION) as store:
        store.read(CALLS.name, T, T + 3600)
