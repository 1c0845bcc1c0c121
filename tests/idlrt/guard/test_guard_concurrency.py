"""Adaptive limit on concurrent calls."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from guarded import Guarded
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom, Rejected
from idlrt.errors import ApplicationError, DeadlineExceeded, Overloaded
from idlrt.guard.concurrency import Aimd, ConcurrencySettings, Gradient
from idlrt.spec import DeclaredError

# By the gradient.


class Serving:
    """A server that works on `workers` calls at once, `seconds` each; more of them wait in a queue. There are always as
    many calls as the limit lets through."""

    def __init__(self, **settings: Any) -> None:
        self.limit = Gradient(ConcurrencySettings(**settings), ClockAndRandom(rng=random.Random(1).random))
        self.now = 0.0

    def work(self, rounds: int, workers: int, seconds: float) -> list[int]:
        limits = []
        for _ in range(rounds):
            calls, began = self.limit.limit, self.now
            self.now += seconds * math.ceil(calls / workers)
            for number in range(calls):
                took = seconds * (number // workers + 1)
                self.limit.on_response(began, began + took, calls)
            limits.append(self.limit.limit)
        return limits


def test_the_limit_is_minimal_while_the_minimum_latency_is_measured() -> None:
    serving = Serving(min_limit=3, initial_limit=40, min_rtt_samples=50)
    limits = serving.work(17, workers=10, seconds=0.01)
    assert limits[:16] == [3] * 16
    assert limits[16] == 40
    assert serving.limit.min_rtt == pytest.approx(0.01)


def test_without_a_queue_the_limit_rises_to_its_maximum() -> None:
    serving = Serving(max_limit=200, min_rtt_interval=0)
    assert serving.work(300, workers=1000, seconds=0.01)[-1] == 200


def test_with_a_queue_the_limit_stays_near_the_capacity() -> None:
    serving = Serving(min_rtt_interval=0, initial_limit=500)
    limits = serving.work(500, workers=20, seconds=0.05)[-100:]
    assert min(limits) >= 20, "the server has all it can do"
    assert sum(limits) / len(limits) <= 60, "and the queue is not much longer than what is worked on"


def test_the_limit_falls_when_the_server_becomes_slower() -> None:
    serving = Serving(min_rtt_interval=0)
    before = serving.work(300, workers=50, seconds=0.01)[-1]
    after = serving.work(300, workers=5, seconds=0.01)[-1]
    assert after < before / 2


def test_it_measures_again_and_restores_the_limit() -> None:
    serving = Serving(min_rtt_interval=10, max_limit=100)
    serving.work(300, workers=1000, seconds=0.02)
    assert serving.limit.limit == 100
    limits: list[int] = []
    while len(limits) < 2000 and 3 not in limits:
        limits += serving.work(1, workers=1000, seconds=0.02)
    assert limits[-1] == 3
    assert serving.now <= 10 * 1.15 + 2
    limits = serving.work(40, workers=1000, seconds=0.04)
    assert limits[-1] == 100
    assert serving.limit.min_rtt == pytest.approx(0.04), "of the new one"


def test_calls_that_began_before_a_measurement_are_ignored() -> None:
    limit = Gradient(
        ConcurrencySettings(min_rtt_samples=2, min_rtt_interval=1, min_samples=1), ClockAndRandom(rng=lambda: 0.0)
    )
    limit.on_response(0.0, 0.1, 1)
    limit.on_response(0.0, 0.1, 1)
    limit.on_response(1.2, 1.3, 1)
    assert limit.limit == 3, "it measures"
    for _ in range(10):
        limit.on_response(0.5, 1.9, 1)
    limit.on_response(1.3, 1.5, 1)
    limit.on_response(1.3, 1.5, 1)
    assert limit.min_rtt == pytest.approx(0.2)


def test_it_measures_again_when_stuck_at_the_minimum() -> None:
    serving = Serving(min_rtt_interval=0, max_limit=100)
    serving.work(100, workers=1000, seconds=0.01)
    # All calls take longer now, however few there are: what was measured is not true any more.
    serving.work(200, workers=1000, seconds=0.1)
    assert serving.limit.min_rtt == pytest.approx(0.1)
    assert serving.work(100, workers=1000, seconds=0.1)[-1] == 100


# By addition and multiplication.


def test_a_round_of_successes_adds_one() -> None:
    limit = Aimd(ConcurrencySettings(initial_limit=20), ClockAndRandom())
    for _ in range(21):
        limit.on_response(0.0, 0.1, 20)
    assert limit.limit == 21


def test_an_unused_limit_is_not_raised() -> None:
    limit = Aimd(ConcurrencySettings(initial_limit=20), ClockAndRandom())
    for _ in range(1000):
        limit.on_response(0.0, 0.1, 9)
    assert limit.limit == 20


def test_a_round_with_failures_lowers_the_limit_once() -> None:
    limit = Aimd(ConcurrencySettings(initial_limit=100), ClockAndRandom())
    for _ in range(50):
        limit.on_drop(1.0, 2.0)
    assert limit.limit == 90
    limit.on_drop(2.5, 3.0)
    assert limit.limit == 81


@given(
    st.sampled_from([Aimd, Gradient]),
    st.integers(1, 10),
    st.integers(0, 100),
    st.lists(st.tuples(st.booleans(), st.floats(0, 2), st.integers(0, 1000)), max_size=300),
)
def test_the_limit_stays_within_its_bounds(kind: Any, lowest: int, more: int, steps: Any) -> None:
    settings = ConcurrencySettings(
        min_limit=lowest, max_limit=lowest + more, min_rtt_samples=3, min_samples=2, min_rtt_interval=5
    )
    limit = kind(settings, ClockAndRandom(rng=lambda: 0.5))
    now = 0.0
    for is_good, took, in_flight in steps:
        now += took / 10
        if is_good:
            limit.on_response(now - took, now, in_flight)
        else:
            limit.on_drop(now - took, now)
        assert lowest <= limit.limit <= lowest + more


# The guard.


@pytest.mark.parametrize("algorithm", ["gradient", "aimd"])
def test_calls_beyond_the_adaptive_limit_are_rejected(algorithm: str) -> None:
    guarded = Guarded("concurrency", algorithm=algorithm, initial_limit=3)
    found = guarded.at_once(5, 1.0)
    assert found[:3] == ["answer"] * 3
    assert [type(each) for each in found[3:]] == [Overloaded] * 2
    assert "adaptive limit of 3 concurrent calls reached" in str(found[3])
    assert [(type(each), each.subject) for each in guarded.told] == [(Rejected, "Check.get")] * 2
    assert guarded.guard.in_flight == 0


@pytest.mark.parametrize("error", [Overloaded("busy"), DeadlineExceeded("late")], ids=repr)
def test_rejections_and_timeouts_lower_the_limit(error: Exception) -> None:
    guarded = Guarded("concurrency", algorithm="aimd", initial_limit=100)
    guarded.run(error, 1.0)
    assert guarded.guard.limit.limit == 90


@pytest.mark.parametrize("error", [ApplicationError("broke"), ValueError("broke"), KeyboardInterrupt()], ids=repr)
def test_failures_are_no_latency_samples(error: BaseException) -> None:
    guarded = Guarded("concurrency", min_rtt_samples=10)
    for _ in range(20):
        guarded.run(error)
    assert guarded.guard.limit.min_rtt == 0
    for _ in range(10):
        guarded.run("answer", 0.5)
    assert guarded.guard.limit.min_rtt == 0.5
    assert guarded.guard.in_flight == 0


def test_declared_exceptions_are_latency_samples() -> None:
    class Declared(DeclaredError):
        pass

    guarded = Guarded("concurrency", min_rtt_samples=10)
    for _ in range(10):
        guarded.run(Declared(), 0.25)
    assert guarded.guard.limit.min_rtt == 0.25
