"""Recording by several threads, its bounds, and memory that is shared with another process."""

from __future__ import annotations

import gc
import math
import os
import random
import signal
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe import OTHER, Counts, Histogram, Histograms, Metric
from idlrt.observe.arena import HISTOGRAM_WORDS, SharedArena, arenas, histogram_of
from idlrt.observe.cells import Cell, make_cell
from idlrt.serialization import backend

DURATIONS = Metric(name="x_duration_seconds", kind="histogram", help="Durations", labels=("method", "caller"))
NUMBERS = Metric(name="x_total", kind="counter", help="Numbers", labels=("method",))


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(-10, 1 << 50))))
def test_a_histogram_has_what_was_recorded(records: list[tuple[str, int]]) -> None:
    cells = Histograms(DURATIONS)
    for label, value in records:
        cells.record((label,), value)
    expected = {(label,): Histogram.of(value for key, value in records if key == label) for label, _ in records}
    assert cells.read() == expected


def test_bytes_are_recorded_with_calls() -> None:
    cells = Histograms(DURATIONS)
    cells.record_call(("a", ""), 5e-9, 100, 20)
    cells.record_call(("a", ""), 7e-9, 1, 2)
    found = cells.read()[("a", "")]
    assert (found.count, found.sum, found.received, found.sent) == (2, 12, 101, 22)


@given(
    st.lists(
        st.tuples(
            st.floats(-1, 1e5) | st.sampled_from([math.nan, math.inf, -math.inf, 1e300]),
            st.integers(0, 1 << 40),
            st.integers(0, 1 << 40),
        )
    ),
    st.lists(st.integers(-(1 << 62), 1 << 62)),
)
def test_cells_in_c_are_the_same(calls: list[tuple[float, int, int]], durations: list[int]) -> None:
    found: list[Histogram] = []
    for make in (Cell, make_cell):
        cell = make(memoryview(bytearray(8 * HISTOGRAM_WORDS)).cast("Q"))
        for each in calls:
            cell.add_call(*each)
        for duration in durations:
            cell.add(duration)
        found.append(histogram_of(cell.words))
    assert found[0] == found[1]


@pytest.mark.skipif(backend == "pure", reason="there is no cell in C")
def test_a_cell_in_c_checks_its_memory() -> None:
    with pytest.raises(ValueError, match="more memory"):
        make_cell(memoryview(bytearray(80)).cast("Q"))
    with pytest.raises(BufferError):
        make_cell(memoryview(bytes(8 * HISTOGRAM_WORDS)))


def test_cells_in_cycles_are_collected() -> None:
    cells = Histograms(DURATIONS)
    cells.record(("a",), 5)
    cell = cells.cell(("a",))
    cycle: list[object] = [cell, cell.words]
    cycle.append(cycle)
    del cells, cell, cycle
    gc.collect()  # exceptions of the collector fail the test


def test_no_record_of_many_threads_is_lost() -> None:
    cells, numbers, threads, number = Histograms(DURATIONS), Counts(NUMBERS), 8, 5000
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:

        def work(seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(number):
                cells.record((dice.choice("abc"),), dice.randrange(10**9))
                numbers.add(("a",), 2)

        running = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
        for each in running:
            each.start()
        while any(each.is_alive() for each in running):
            cells.read()
        for each in running:
            each.join()
    finally:
        sys.setswitchinterval(switch)
    expected: Counter[str] = Counter()
    total = 0
    for seed in range(threads):
        dice = random.Random(seed)
        for _ in range(number):
            expected[dice.choice("abc")] += 1
            total += dice.randrange(10**9)
    found = cells.read()
    assert {labels[0]: each.count for labels, each in found.items()} == expected
    assert sum(each.sum for each in found.values()) == total
    assert numbers.read() == {("a",): 2 * threads * number}


def test_threads_continue_the_cells_of_those_that_have_ended() -> None:
    cells = Histograms(DURATIONS)
    for number in range(50):
        thread = threading.Thread(target=cells.record, args=(("a",), number))
        thread.start()
        thread.join()
    assert cells.read() == {("a",): Histogram.of(range(50))}
    assert cells.threads == 1


def test_a_forked_child_begins_with_nothing() -> None:
    cells = Histograms(DURATIONS)
    cells.record(("a",), 5)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            cells.record(("a",), 7)
            os.write(writer, repr(cells.read() == {("a",): Histogram.of([7])}).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"True"
    assert cells.read() == {("a",): Histogram.of([5])}
    os.close(reader)
    os.close(writer)


def test_series_beyond_the_maximum_lose_their_last_label_first() -> None:
    cells = Histograms(DURATIONS, max_series=2)
    for caller in ("one", "two", "three", "four"):
        cells.record(("get", caller), 1)
    found = {labels: each.count for labels, each in cells.read().items()}
    assert found[("get", "one")] == found[("get", "two")] == 1
    assert sum(found.values()) == 4
    assert {labels for labels in found if OTHER in labels} <= {("get", OTHER), (OTHER, OTHER)}
    assert cells.dropped == 2


@pytest.mark.parametrize("number", [1000])
def test_the_number_of_series_is_bounded(number: int) -> None:
    cells = Histograms(DURATIONS, max_series=16)
    for each in range(number):
        cells.record((f"method {each}", "ok"), 1)
    found = cells.read()
    assert len(found) == len(cells) <= 16 + 16 // 8 + 1
    assert sum(each.count for each in found.values()) == number
    assert cells.dropped == number - 16


def test_another_process_reads_what_a_killed_one_has_recorded() -> None:
    arena = SharedArena()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            arenas.current = arena
            cells, numbers = Histograms(DURATIONS), Counts(NUMBERS)
            threads = [threading.Thread(target=cells.record_call, args=(("a", "b"), n / 1e9, 3, 4)) for n in range(100)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            cells.record(("é", ""), 10**9)
            numbers.add(("a",), 3)
            arena.report(b"one")
            arena.report(b"two")
            os.write(writer, b"done")
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.read(reader, 10) == b"done"
    _, status = os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    assert os.WTERMSIG(status) == signal.SIGKILL
    found = {each.metric: each.values for each in arena.read()}
    assert set(found) == {DURATIONS, NUMBERS}
    first = found[DURATIONS][("a", "b")]
    assert isinstance(first, Histogram)
    assert (first.counts, first.received, first.sent) == (Histogram.of(range(100)).counts, 300, 400)
    assert found[DURATIONS][("é", "")] == Histogram.of([10**9])
    assert found[NUMBERS] == {("a",): 3}
    assert arena.last_report() == b"two"
    assert arena.lost == 0


def test_cells_beyond_the_shared_memory_are_counted_as_lost() -> None:
    arena = SharedArena(4 << 20)
    arenas_before, arenas.current = arenas.current, arena
    try:
        cells = Histograms(DURATIONS)
        for number in range(1000):
            cells.record((str(number),), 1)
    finally:
        arenas.current = arenas_before
    assert len(cells.read()) == 1000
    [shared] = arena.read()
    assert arena.lost == 1000 - len(shared.values) > 0
