"""Percentiles of the load tool, against those of sorted lists; and that a stall is not left out."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConnectionLost
from idlrt.tools.histogram import Histogram
from idlrt.tools.load import Outcome, Plan, run


@given(st.lists(st.floats(1e-6, 100), min_size=1, max_size=300), st.sampled_from([1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_right_to_one_in_a_hundred(times: list[float], percent: float) -> None:
    histogram = Histogram()
    for seconds in times:
        histogram.add(seconds)
    exact = sorted(times)[max(-(-len(times) * percent // 100), 1).__ceil__() - 1]
    assert exact <= histogram.percentile(percent) * 1.000001
    assert histogram.percentile(percent) <= exact * 1.0101
    assert histogram.count == len(times)
    assert abs(histogram.mean - sum(times) / len(times)) < 1e-6 * len(times)


def test_of_nothing() -> None:
    assert Histogram().percentile(99) == Histogram().mean == 0.0


def load(make: object, **plan: float) -> Outcome:
    return asyncio.run(run([make], Plan(**plan), tick=lambda share, outcome: None))  # type: ignore[arg-type,list-item]


def test_a_stall_counts_for_all_that_were_due_in_it() -> None:
    calls = 0

    async def make() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            # The whole process stands still, as a server does that collects garbage.
            import time

            time.sleep(0.3)

    outcome = load(make, rate=200, seconds=0.6, warm_up=0)
    # About 60 of 120 calls were due while nothing went on: their latency is what was left of the stall.
    assert outcome.latencies.count >= 100
    assert outcome.latencies.percentile(75) > 0.05


def test_errors_are_counted_by_kind() -> None:
    calls = 0

    async def make() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls % 2:
            raise ConnectionLost("gone")

    outcome = load(make, concurrency=2, seconds=5, calls=100, warm_up=0)
    assert outcome.errors["ConnectionLost"] + outcome.latencies.count == 100
    assert outcome.errors["ConnectionLost"] > 0
