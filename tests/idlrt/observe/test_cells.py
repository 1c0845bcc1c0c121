"""Recording of durations by several threads, and its bounds."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe.cells import OTHER, Cells
from idlrt.observe.histogram import Histogram


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(-10, 1 << 50))))
def test_a_histogram_has_what_was_recorded(records: list[tuple[str, int]]) -> None:
    cells = Cells()
    for label, value in records:
        cells.record((label,), value)
    expected = {(label,): Histogram.of(value for key, value in records if key == label) for label, _ in records}
    assert cells.read() == expected


def test_no_record_of_many_threads_is_lost() -> None:
    cells, threads, number = Cells(), 8, 5000
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:

        def work(seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(number):
                cells.record((dice.choice("abc"),), dice.randrange(10**9))

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


def test_records_of_threads_that_have_ended_are_kept_in_one_place() -> None:
    cells = Cells()
    for number in range(50):
        thread = threading.Thread(target=cells.record, args=(("a",), number))
        thread.start()
        thread.join()
    assert cells.read() == {("a",): Histogram.of(range(50))}
    assert cells.threads <= 1  # the cells of the others were added up


def test_a_forked_child_begins_with_nothing() -> None:
    cells = Cells()
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
    cells = Cells(max_series=2)
    for caller in ("one", "two", "three", "four"):
        cells.record(("get", caller), 1)
    found = {labels: each.count for labels, each in cells.read().items()}
    assert found[("get", "one")] == found[("get", "two")] == 1
    assert sum(found.values()) == 4
    assert {labels for labels in found if OTHER in labels} <= {("get", OTHER), (OTHER, OTHER)}
    assert cells.dropped == 2


@pytest.mark.parametrize("number", [1000])
def test_the_number_of_series_is_bounded(number: int) -> None:
    cells = Cells(max_series=16)
    for each in range(number):
        cells.record((f"method {each}", "ok"), 1)
    found = cells.read()
    assert len(found) <= 16 + 16 // 8 + 1
    assert sum(each.count for each in found.values()) == number
    assert cells.dropped == number - 16
