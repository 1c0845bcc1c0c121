"""Percentiles of the load tool, against those of sorted lists; and that a stall is not left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from virtual_loop import VirtualLoop

from idlrt.errors import ConnectionLost
from idlrt.tools.histogram import Histogram
from idlrt.tools.load import Outcome, Plan, run

Make = Callable[[], Awaitable[Any]]


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


def load(make: Make, plan: Plan, loop: VirtualLoop | None = None) -> Outcome:
    loop = loop or VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(run([make], plan, tick=lambda share, outcome: None, clock=loop.time))


def test_a_stall_counts_for_all_that_were_due_in_it() -> None:
    loop = VirtualLoop()
    calls = 0

    async def make() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            # The whole process stands still, as a server does that collects garbage.
            loop.pass_by(0.3)

    outcome = load(make, Plan(rate=200, seconds=0.6, warm_up=0), loop)
    # 60 of 120 calls were due while nothing went on: their latency is what was left of the stall.
    assert outcome.latencies.count in (120, 121)
    assert abs(outcome.latencies.percentile(75) - 0.15) < 0.01
    assert abs(outcome.latencies.percentile(100) - 0.3) < 0.01
    assert outcome.latencies.percentile(45) < 0.01


def test_errors_are_counted_by_kind() -> None:
    calls = 0

    async def make() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls % 2:
            raise ConnectionLost("gone")

    outcome = load(make, Plan(concurrency=2, seconds=5, calls=100, warm_up=0))
    assert outcome.errors["ConnectionLost"] + outcome.latencies.count == 100
    assert outcome.errors["ConnectionLost"] > 0
