"""Files of the trace store: what survives a crash, what is dropped, and what a damaged file leads to."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_traces import NOW, Clock, id_of, search_range, span, store_in, write_all

from idlrt.collector.traces import TailSampling, TraceLimits, TraceQuery, TraceStorageError, TraceStore
from idlrt.errors import ConfigurationError

HARNESS = Path(__file__).parents[2] / "harness"
TIMEOUT = 120.0


def ids(store: TraceStore, **conditions: Any) -> list[str]:
    query = TraceQuery(**{**search_range(), "limit": 1000, **conditions})
    return [each.trace_id for each in store.search(query)]


def files(folder: Path, pattern: str = "*.db") -> list[Path]:
    return sorted(folder.glob(pattern))


def program(text: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HARNESS), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", text, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
    )


COMMITTER = """
import sys
from pathlib import Path
from stored_traces import Clock, span, store_in
clock = Clock()
store = store_in(Path(sys.argv[1]), clock)
for number in range(1, 10_000):
    store.put([span(number, 1, attributes={"tag.a": "b"}), span(number, 2, 1), span(max(number - 30, 1), 3, 1)])
    store.commit()
    print(number, flush=True)
    clock.time += 1.0
    store.maintain()
"""


@pytest.mark.parametrize("commits", [1, 7, 25, 120])
def test_what_was_committed_survives_a_kill(tmp_path: Path, commits: int) -> None:
    with program(COMMITTER, tmp_path) as process:
        assert process.stdout is not None
        for _ in range(commits):
            committed = int(process.stdout.readline())
        process.kill()
        process.wait(TIMEOUT)
    clock = Clock(NOW + 10_000.0)
    store = store_in(tmp_path, clock)
    assert {each.stat().st_size for each in files(tmp_path, "*-wal")} <= {0}
    for number in range(1, committed + 1):
        expected = {1, 2, 3} if number <= max(committed - 30, 1) else {1, 2}
        assert {int(each.span_id) for each in store.trace(id_of(number))} >= expected
    write_all(store, clock)
    found = ids(store, tags={"a": "b"}, start=NOW - 60, end=NOW + 60)
    assert set(found) >= {id_of(number) for number in range(1, committed + 1)}
    assert len(found) == len(set(found))
    store.close()


def test_what_was_not_committed_may_be_lost_but_the_store_opens(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put([span(1)])
    store.commit()
    store.close()
    (journal,) = files(tmp_path, "*.journal")
    whole = journal.read_bytes()
    for length in range(len(whole)):
        journal.write_bytes(whole[:length])
        store = store_in(tmp_path)
        assert store.trace(id_of(1)) == []
        store.close()
    journal.write_bytes(whole)
    store = store_in(tmp_path)
    assert store.trace(id_of(1)) == [span(1)]
    store.close()


def test_the_journal_is_deleted_when_its_traces_are_written(tmp_path: Path) -> None:
    clock = Clock()
    limits = TraceLimits(journal_bytes=40_000)
    store = store_in(tmp_path, clock, limits=limits)
    largest = 0
    for number in range(1, 500):
        store.put([span(number, at, attributes={"text": "x" * 100}) for at in range(1, 6)])
        store.commit()
        clock.time += 1.0
        store.maintain()
        largest = max(largest, store.figures().journal_bytes)
    assert largest < limits.journal_bytes
    write_all(store, clock)
    assert (store.figures().journal_bytes, files(tmp_path, "*.journal")) == (0, [])
    assert store.figures().early == 0
    store.close()


def test_a_journal_that_grows_too_large_writes_traces_early(tmp_path: Path) -> None:
    clock = Clock()
    limits = TraceLimits(journal_bytes=20_000)
    store = store_in(tmp_path, clock, limits=limits)
    for number in range(1, 500):
        store.put([span(number, attributes={"text": "x" * 100})])
        store.commit()
        assert store.figures().journal_bytes <= limits.journal_bytes
    assert store.figures().early > 300
    write_all(store, clock)
    assert len(ids(store)) == 499
    store.close()


def test_files_are_dropped_by_age(tmp_path: Path) -> None:
    clock = Clock()
    store = store_in(tmp_path, clock, keep_hours=3)
    for hour in range(8):
        clock.time = NOW + hour * 3600.0
        write_all(store, clock, [span(hour + 1, began=hour * 3600.0)])
    assert len(files(tmp_path)) == 4
    assert ids(store) == [id_of(number) for number in (8, 7, 6, 5)]
    assert store.trace(id_of(1)) == []
    assert store.figures().files_dropped == 4
    assert len(files(tmp_path, "*-wal")) == len(files(tmp_path, "*-shm")) <= 4
    # A span that comes when the file of its trace is dropped begins another row.
    write_all(store, clock, [span(1, 2, began=7.5 * 3600.0)])
    assert id_of(1) in ids(store)
    store.close()


@pytest.mark.slow
def test_files_are_dropped_by_size_also_within_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    limit = 800_000
    store = store_in(tmp_path, clock, max_bytes=limit)
    dice = [f"{at * 2654435761 % 2**32:x}" for at in range(1500)]
    for number in range(1, 1500):
        store.put([span(number, at, attributes={"text": dice[number] * 12 + str(at)}) for at in range(1, 8)])
        if number % 30 == 0:
            write_all(store, clock)
            assert store.figures().bytes < limit * 1.5
        clock.time = NOW
    assert store.figures().files_dropped > 1
    found = ids(store)
    assert found
    assert store.trace(id_of(1470))
    assert store.trace(id_of(1)) == []
    store.close()


@pytest.mark.slow
def test_a_file_that_is_being_read_is_dropped_without_an_error(tmp_path: Path) -> None:
    clock = Clock()
    store = store_in(tmp_path, clock, keep_hours=1)
    done = threading.Event()

    def read(reads: Callable[[], object]) -> int:
        count = 0
        while not done.is_set() or not count:
            reads()
            count += 1
        return count

    readers: list[Callable[[], object]] = [
        lambda: store.search(TraceQuery(start=clock.time - 86400, end=clock.time + 86400, order="slowest")),
        lambda: store.search(TraceQuery(start=clock.time - 86400, end=clock.time + 86400, tags={"a": "b"})),
        lambda: store.trace(id_of(3)),
        lambda: (store.services(), store.operations("shop"), store.figures()),
    ]
    with ThreadPoolExecutor(len(readers)) as pool:
        running = [pool.submit(read, each) for each in readers]
        for hour in range(40):
            clock.time = NOW + hour * 3600.0
            spans = [span(hour * 20 + at, 1, began=hour * 3600.0, attributes={"tag.a": "b"}) for at in range(1, 21)]
            write_all(store, clock, spans)
        done.set()
        assert all(each.result(TIMEOUT) > 0 for each in running)
    store.maintain()
    assert len(files(tmp_path)) == 2
    store.close()


def test_a_trace_is_visible_at_any_moment_while_it_is_being_written(tmp_path: Path) -> None:
    clock = Clock()
    store = store_in(tmp_path, clock)
    done = threading.Event()
    last = [0]

    def read() -> list[int]:
        missing = []
        while not done.is_set():
            number = last[0]
            if number and not store.trace(id_of(number)):
                missing.append(number)
        return missing

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(read) for _ in range(2)]
        for number in range(1, 60):
            store.put([span(number)])
            last[0] = number
            store.commit()
            clock.time += 11.0
            store.maintain()
            write_all(store, clock, [span(number, 2, 1)])
        done.set()
        assert [each.result(TIMEOUT) for each in running] == [[], []]
    store.close()


def test_one_store_uses_a_folder_at_a_time(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with pytest.raises(ConfigurationError, match="another process uses it; stop it, or choose another folder"):
        store_in(tmp_path)
    store.close()
    store.close()
    store_in(tmp_path).close()


def written(folder: Path) -> Path:
    clock = Clock()
    store = store_in(folder, clock)
    write_all(store, clock, [span(number) for number in range(1, 200)])
    store.close()
    (path,) = files(folder)
    return path


def test_a_file_that_is_no_database_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(ConfigurationError, match=rf"cannot read traces from {path}: .*; move the file away") as caught:
        store_in(tmp_path)
    assert "not a database" in str(caught.value)
    path.rename(tmp_path / "away")
    store_in(tmp_path).close()


def test_the_database_of_another_program_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE users (id)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="it is the database of another program; move the file away"):
        store_in(tmp_path)
    assert path.read_bytes() == before


def test_a_file_of_a_later_version_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 3")
    database.close()
    with pytest.raises(ConfigurationError, match="file format 3 is not the supported format 2; use the version that"):
        store_in(tmp_path)


def test_a_file_that_was_begun_only_is_completed(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"")
    path.with_suffix(".new").write_bytes(b"half of a file")
    clock = Clock()
    store = store_in(tmp_path, clock)
    write_all(store, clock, [span(1)])
    assert ids(store) == [id_of(1)]
    store.close()


@pytest.mark.parametrize("changed", [0, 20, 60])
def test_a_damaged_journal_is_an_error_with_its_name(tmp_path: Path, changed: int) -> None:
    store = store_in(tmp_path)
    for number in range(1, 4):
        store.put([span(number)])
        store.commit()
    store.close()
    (journal,) = files(tmp_path, "*.journal")
    content = bytearray(journal.read_bytes())
    content[changed] ^= 0xFF
    journal.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"cannot read traces from {journal}: .*; move the file away"):
        store_in(tmp_path)
    journal.unlink()
    store_in(tmp_path).close()


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_damaged_file_leads_to_errors_of_the_runtime_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = written(folder)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        size = data.draw(st.sampled_from([1, 16, 4096]))
        content[at : at + size] = bytes(data.draw(st.integers(0, 255)) for _ in range(1)) * len(content[at : at + size])
    path.write_bytes(content)
    clock = Clock()
    try:
        store = store_in(folder, clock)
    except (ConfigurationError, TraceStorageError):
        return
    try:
        uses: list[Callable[[], object]] = [
            lambda: ids(store),
            lambda: ids(store, service="shop"),
            lambda: ids(store, order="slowest"),
            lambda: [store.trace(id_of(number)) for number in range(1, 200)],
            store.services,
            lambda: write_all(store, clock, [span(number, 2, 1) for number in range(1, 200)]),
        ]
        for each in uses:
            failures: list[Exception] = []
            try:
                each()
            except (ConfigurationError, TraceStorageError) as error:
                failures.append(error)
            assert all(str(path) in str(error) for error in failures)
    finally:
        store.close()


FULL = """
import resource, sys
from pathlib import Path
from stored_traces import Clock, id_of, search_range, span, store_in
from idlrt.collector.traces import TraceLimits, TraceQuery, TraceStorageError
clock = Clock()
store = store_in(Path(sys.argv[1]), clock, limits=TraceLimits(open_spans=500))
acknowledged = []
refused = 0
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for number in range(1, 700):
    if number == 100:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    if number == 500:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        store.put([span(number, at, attributes={"text": f"{number * 2654435761 % 2**32:x}" * 5}) for at in range(1, 6)])
        store.commit()
        acknowledged.append(number)
    except TraceStorageError as error:
        refused += 1
        assert sys.argv[1] in str(error) and "check space" in str(error), error
    try:
        clock.time += 0.5
        store.maintain()
    except TraceStorageError:
        pass
    assert store.figures().open_spans <= 505, store.figures()
clock.time += 11.0
store.maintain()
missing = [each for each in acknowledged if len(store.trace(id_of(each))) != 5]
print(len(acknowledged), refused, missing[:5], acknowledged[-1])
store.close()
"""


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    with program(FULL, tmp_path) as process:
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    acknowledged, refused, missing, last = output.split()
    assert int(refused) > 100
    assert int(acknowledged) >= 299
    assert (missing, last) == ("[]", "699")


def test_tail_sampling_decides_what_the_store_keeps(tmp_path: Path) -> None:
    clock = Clock()
    tail = TailSampling(share=0.0, rare=0)
    store = store_in(tmp_path, clock, tail=tail)
    failed = {number for number in range(1, 400) if number % 7 == 0}
    write_all(store, clock, [span(number, status="error" if number in failed else "ok") for number in range(1, 400)])
    assert set(ids(store)) == {id_of(number) for number in failed}
    assert (tail.kept["failed"], tail.dropped) == (len(failed), 399 - len(failed))
    # Late spans of a dropped trace: the failed ones are kept, and the trace stands for no other one.
    write_all(store, clock, [span(1, 2, 1), span(2, 2, 1, status="error"), span(7, 2, 1)])
    assert store.figures().late_dropped == 1
    summaries = store.search(TraceQuery(**search_range(), limit=1000))
    counts = {each.trace_id: (each.spans, each.reason, each.adjusted_count) for each in summaries}
    assert counts[id_of(2)] == (1, "failed", 0.0)
    assert counts[id_of(7)] == (2, "failed", 1.0)
    assert id_of(1) not in counts
    store.close()


@pytest.mark.parametrize("changes", [{"keep_hours": 0}, {"max_bytes": 0}, {"quiet_s": -1.0}])
def test_values_out_of_range_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="keep_hours and max_bytes must be at least 1 and quiet_s at least 0"):
        store_in(tmp_path, **changes)


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceStorageError, match=r"cannot write traces to .*file/traces: .*; check space"):
        store_in(tmp_path / "file" / "traces")
