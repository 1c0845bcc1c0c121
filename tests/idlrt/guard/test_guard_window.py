"""Sliding windows."""

from __future__ import annotations

import threading

from hypothesis import example, given
from hypothesis import strategies as st

from idlrt.guard.window import Window


def count(window: Window, now: float, *, good: int = 0, bad: int = 0) -> tuple[int, int]:
    if now >= window.ends:
        window.rotate(now)
    window.successes += good
    window.failures += bad
    return window.earlier_successes + window.successes, window.earlier_failures + window.failures


@given(
    st.integers(1, 12),
    st.floats(0.5, 20),
    st.lists(st.tuples(st.floats(0, 8), st.integers(0, 5), st.integers(0, 5)), max_size=60),
)
@example(2, 2.5670187959888606, [(0.0, 0, 1), (2.5670187959888606, 0, 0), (1.0, 0, 0)])  # rounded
def test_exactly_the_events_of_the_window_count(
    buckets: int, seconds: float, steps: list[tuple[float, int, int]]
) -> None:
    window, now = Window(seconds, buckets), 50.0
    width = seconds / buckets
    happened: list[tuple[float, int, int]] = []
    for pause, good, bad in steps:
        now += pause
        happened.append((now, good, bad))
        found = count(window, now, good=good, bad=bad)
        for place in (0, 1):
            surely = sum(each[1 + place] for each in happened if each[0] > now - seconds + width + 1e-6)
            perhaps = sum(each[1 + place] for each in happened if each[0] > now - seconds - 1e-6)
            assert surely <= found[place] <= perhaps


def test_a_window_may_have_one_bucket() -> None:
    window = Window(1.0, 1)
    assert count(window, 0.0, good=3) == (3, 0)
    assert count(window, 0.9, bad=1) == (3, 1)
    assert count(window, 1.0) == (0, 0)


def test_clear_resets_the_counters() -> None:
    window = Window(10.0, 10)
    count(window, 0.0, good=3, bad=1)
    count(window, 5.0, good=3, bad=1)
    window.clear()
    assert count(window, 5.0) == (0, 0)


def test_an_earlier_clock_reading_does_not_rotate_back() -> None:
    window = Window(10.0, 10)
    count(window, 5.0, good=1)
    window.rotate(4.9)
    assert count(window, 4.9, good=1) == (2, 0)


def test_threads_rotate_it_once() -> None:
    for _ in range(50):
        window = Window(10.0, 10)
        count(window, 0.0, good=7)
        threads = [threading.Thread(target=window.rotate, args=(1.5,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert count(window, 1.5) == (7, 0)
        assert count(window, 9.9) == (7, 0)
        assert count(window, 10.0) == (0, 0)
