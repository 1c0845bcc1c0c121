"""Instances that have just begun get less."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.balance import BALANCERS, ClockAndRandom, warm_weight
from idlrt.testing.balancers import call_of, fake_endpoints

weights = st.integers(0, 1_000_000)
times = st.floats(-1e6, 1e6)
lengths = st.floats(0, 1e5)
aggressions = st.floats(0.1, 10)


def test_it_grows_from_a_tenth_with_the_time() -> None:
    assert [warm_weight(100, uptime, 60) for uptime in (0, 3, 6, 15, 30, 45, 59.9, 60, 600)] == [
        10, 10, 10, 25, 50, 75, 99, 100, 100,
    ]  # fmt: skip


def test_more_aggression_is_more_at_first() -> None:
    assert warm_weight(100, 15, 60, aggression=2.0) == 50
    assert warm_weight(100, 30, 60, aggression=0.5) == 25


def test_without_a_time_they_are_warm_at_once() -> None:
    assert warm_weight(70, 0, 0) == 70


@given(weights, times, times, lengths, aggressions)
def test_warm_weight_does_not_decrease_with_uptime(
    weight: int, one: float, other: float, seconds: float, aggression: float
) -> None:
    less, more = (warm_weight(weight, uptime, seconds, aggression) for uptime in sorted((one, other)))
    assert less <= more


@given(weights, weights, times, lengths, aggressions)
def test_warm_weight_grows_with_weight(one: int, other: int, uptime: float, seconds: float, aggression: float) -> None:
    less, more = (warm_weight(weight, uptime, seconds, aggression) for weight in sorted((one, other)))
    assert less <= more


@given(weights, times, lengths, aggressions)
def test_it_is_something_and_never_too_much(weight: int, uptime: float, seconds: float, aggression: float) -> None:
    found = warm_weight(weight, uptime, seconds, aggression)
    assert min(weight, 1) <= found <= weight
    assert found == weight or uptime < seconds


@pytest.mark.parametrize("name", ["weighted_random", "weighted_round_robin", "p2c"])
def test_balancers_by_weight_go_by_the_weight_of_the_moment(name: str) -> None:
    candidates = fake_endpoints(100, 100, 100)
    candidates[0].weight = 10
    balancer = BALANCERS.make(name, candidates, ClockAndRandom(now=lambda: 0.0, rng=random.Random(1).random))
    found = Counter(balancer.pick(call_of(), ()) for _ in range(10_000))
    assert found[candidates[0]] / 10_000 == pytest.approx(10 / 210, abs=0.01)


def test_the_fewest_for_the_weight_of_the_moment() -> None:
    cold, warm = fake_endpoints(100, 100)
    cold.weight = 10
    cold.make_busy(1)
    warm.make_busy(5)
    for seed in range(20):
        balancer = BALANCERS.make("least_requests", [cold, warm], ClockAndRandom(rng=random.Random(seed).random))
        assert balancer.pick(call_of(), ()) is warm


@pytest.mark.parametrize("name", ["consistent_hash", "maglev", "modulo"])
def test_keys_do_not_move_during_warm_up(name: str) -> None:
    candidates = fake_endpoints(*[100] * 5)
    calls = [call_of(f"key {number}") for number in range(200)]
    warm = BALANCERS.make(name, candidates, ClockAndRandom())
    before = [warm.pick(call, ()) for call in calls]
    candidates[0].weight = 10
    cold = BALANCERS.make(name, candidates, ClockAndRandom())
    assert [cold.pick(call, ()) for call in calls] == before
