"""Adaptive sampling keeps its rate, in virtual time."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.context import TraceContext
from idlrt.observe.tracing.sampling import Adaptive, SampleRequest
from idlrt.observe.tracing.thresholds import probability

WINDOW = 60.0


class Load:
    """Calls in virtual time, and the times of those that were sampled."""

    def __init__(self, target: float, seed: int) -> None:
        self.at = 0.0
        self.random = random.Random(seed)
        self.sampler = Adaptive(target, ClockAndRandom(now=lambda: self.at))
        self.kept: list[float] = []
        self.weight = 0.0

    def call(self) -> None:
        decision = self.sampler.decide(SampleRequest(f"{self.random.getrandbits(128):032x}"))
        if decision.is_sampled:
            self.kept.append(self.at)
            assert decision.threshold is not None
            self.weight += 1 / probability(decision.threshold)

    def run(self, rate: float, seconds: float, *, is_random: bool = True) -> tuple[float, float]:
        """Return the lowest and the highest number of sampled traces of windows that begin after a minute."""
        start = self.at
        while True:
            following = self.at + (self.random.expovariate(rate) if is_random else 1 / rate)
            if following >= start + seconds:
                break
            self.at = following
            self.call()
        self.at = start + seconds
        counts = []
        begin = start + 60
        while begin + WINDOW <= self.at:
            counts.append(bisect_left(self.kept, begin + WINDOW) - bisect_left(self.kept, begin))
            begin += 0.5
        return min(counts), max(counts)


@pytest.mark.parametrize(
    ("target", "before", "after", "is_random"),
    [(20, 40, 400, True), (20, 300, 30, True), (20, 50, 500, False), (50, 100, 1000, True), (100, 2000, 200, True)],
)
def test_the_target_is_kept_within_ten_percent_after_a_tenfold_jump(
    target: float, before: float, after: float, is_random: bool
) -> None:
    load = Load(target, seed=int(target + before))
    for rate, seconds in ((before, 150), (after, 180)):
        low, high = load.run(rate, seconds, is_random=is_random)
        assert 0.9 * target * WINDOW <= low <= high <= 1.1 * target * WINDOW, (rate, low, high)


def test_all_calls_are_sampled_below_the_target() -> None:
    load = Load(20, seed=3)
    load.run(200, 150)
    low, _ = load.run(5, 200)
    assert load.sampler.probability == 1
    assert low > 0.7 * 5 * WINDOW
    # Nothing is made up for afterwards: the next rise begins at the target.
    _, high = load.run(500, 130)
    assert high <= 1.1 * 20 * WINDOW


def test_thresholds_tell_how_many_calls_there_were() -> None:
    load = Load(50, seed=4)
    load.run(500, 200)
    assert load.weight == pytest.approx(500 * 200, rel=0.1)


def test_a_burst_is_noticed_inside_the_second() -> None:
    load = Load(20, seed=5)
    for _ in range(50_000):
        load.at += 0.00001
        load.call()
    # Half a second at 100,000 calls per second, of which all would be sampled at first.
    assert len(load.kept) < 20 * 5 + 100
    load.at += 3600
    before = len(load.kept)
    for _ in range(20_000):
        load.call()
    assert len(load.kept) - before < 300


def test_calls_with_a_decision_do_not_count() -> None:
    load = Load(20, seed=6)
    parent = TraceContext("1" * 32, "2" * 16, True)
    for _ in range(10_000):
        load.at += 0.001
        assert load.sampler.decide(SampleRequest(parent.trace_id, parent=parent)).reason == "parent"
    assert load.sampler.probability == 1


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="target of adaptive sampling must be above 0 per second, got -1"):
        Adaptive(-1)
    with pytest.raises(ConfigurationError, match="initial sampling probability must be above 0 and at most 1, got 2"):
        Adaptive(1, initial=2)
