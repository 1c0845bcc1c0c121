"""Choices of each balancer, in virtual time and with a fixed random seed."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.balance import BALANCERS, Balancer, ClockAndRandom, Load
from idlrt.balance.load import DEFAULT
from idlrt.balance.weighted_round_robin import smooth_order
from idlrt.testing import check_balancer
from idlrt.testing.balancers import FakeEndpoint, call_of, fake_endpoints

# More than a moment.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", BALANCERS.names())
def test_conformance(name: str) -> None:
    balancer: Any = BALANCERS.get(name)
    check_balancer(balancer)


@pytest.mark.parametrize("name", BALANCERS.names())
def test_all_are_tried_in_the_end(name: str) -> None:
    """For any number of instances, any weights, and any subset that is unavailable."""
    rng = random.Random(2)
    candidates = fake_endpoints(*(rng.choice((1, 10, 100, 1000)) for _ in range(40)))
    balancer, tried = made(name, candidates), set(candidates[10:])
    while (found := balancer.pick(call_of("k"), frozenset(tried))) is not None:
        assert found not in tried
        tried.add(found)
    assert tried == set(candidates)


@pytest.mark.parametrize("name", ["random", "weighted_random", "p2c"])
def test_those_that_are_left_have_their_shares(name: str) -> None:
    candidates = fake_endpoints(*[100] * 20)
    balancer = made(name, candidates)
    for out in (1, 17):
        found = Counter(balancer.pick(call_of(), candidates[:out]) for _ in range(20_000))
        assert set(found) == set(candidates[out:])
        assert [found[each] / 20_000 for each in candidates[out:]] == pytest.approx(
            [1 / (20 - out)] * (20 - out), abs=0.02
        )


@given(st.integers(1, 60), st.integers(1, 20), st.integers())
def test_two_choices_keep_the_fullest_near_the_mean(count: int, each_has: int, seed: int) -> None:
    candidates = fake_endpoints(*[100] * count)
    balancer = made("p2c", candidates, seed)
    for _ in range(count * each_has):
        found = balancer.pick(call_of(), ())
        assert found is not None
        found.make_busy(found.load.in_flight + 1)
    assert max(each.load.in_flight for each in candidates) <= each_has + 6


def made(
    name: str, candidates: Sequence[FakeEndpoint], seed: int = 1, now: Callable[[], float] = lambda: 0.0
) -> Balancer[FakeEndpoint]:
    balancer: Balancer[FakeEndpoint] = BALANCERS.make(
        name, candidates, ClockAndRandom(now=now, rng=random.Random(seed).random)
    )
    return balancer


def shares(name: str, candidates: Sequence[FakeEndpoint], count: int = 20_000) -> list[float]:
    balancer = made(name, candidates)
    found = Counter(balancer.pick(call_of(str(number)), ()) for number in range(count))
    return [found[each] / count for each in candidates]


@pytest.mark.parametrize("name", ["random", "round_robin"])
def test_equal_shares_whatever_the_weights(name: str) -> None:
    assert shares(name, fake_endpoints(10, 100, 1000)) == pytest.approx([1 / 3] * 3, abs=0.02)


@pytest.mark.parametrize("name", ["weighted_random", "weighted_round_robin"])
def test_shares_follow_weights(name: str) -> None:
    assert shares(name, fake_endpoints(10, 30, 60)) == pytest.approx([0.1, 0.3, 0.6], abs=0.02)


@pytest.mark.parametrize("name", ["p2c", "least_requests", "least_connections"])
def test_without_load_all_have_their_share(name: str) -> None:
    assert min(shares(name, fake_endpoints(100, 100, 100, 100))) > 0.2


# Turns.


def test_the_order_of_nginx() -> None:
    assert "".join("abc"[index] for index in smooth_order([5, 1, 1])) == "aabacaa"
    assert smooth_order([1, 1, 1]) == [0, 1, 2]
    assert smooth_order([0, 0]) == [0, 1]
    assert smooth_order([2, 0, 1]) == [0, 2, 0]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_a_round_is_fair_and_smooth(weights: list[int]) -> None:
    order = smooth_order(weights)
    common = math.gcd(*weights)
    assert Counter(order) == Counter({index: weight // common for index, weight in enumerate(weights) if weight})
    # At each turn, no instance is more than one turn ahead of its share (nginx's order is equally smooth).
    for turn in range(1, len(order) + 1):
        for index, count in Counter(order[:turn]).items():
            assert count <= turn * weights[index] / sum(weights) + 1 + 1e-9


@pytest.mark.parametrize("count", [1000, 5000])
def test_a_round_of_many(count: int) -> None:
    rng = random.Random(3)
    weights = [rng.randrange(1, 1000) for _ in range(count)]
    order = smooth_order(weights)
    assert set(order) == set(range(count)), "nobody is forgotten, however light"
    assert len(order) < 2 * max(count, 4096)


def test_clients_begin_at_different_places() -> None:
    candidates = fake_endpoints(*[100] * 10)
    assert len({made("round_robin", candidates, seed).pick(call_of(), ()) for seed in range(50)}) > 5


def test_turns_are_one_each() -> None:
    candidates = fake_endpoints(*[100] * 4)
    balancer = made("round_robin", candidates)
    found = [balancer.pick(call_of(), ()) for _ in range(8)]
    assert found[:4] == found[4:]
    assert set(found) == set(candidates)


# Load.


def test_the_fewest_calls_under_way() -> None:
    candidates = fake_endpoints(100, 100, 100)
    for each, in_flight in zip(candidates, (5, 2, 7), strict=True):
        each.make_busy(in_flight)
    assert all(made("least_requests", candidates, seed).pick(call_of(), ()) is candidates[1] for seed in range(20))


def test_the_fewest_for_each_part_of_the_weight() -> None:
    light, heavy = fake_endpoints(10, 100)
    light.make_busy(1)
    heavy.make_busy(5)
    assert all(made("least_requests", [light, heavy], seed).pick(call_of(), ()) is heavy for seed in range(20))


def test_the_fewest_connections() -> None:
    one, other = fake_endpoints(100, 100)
    one.load, other.load = Load(lambda: 8), Load(lambda: 3)
    one.make_busy(0)
    other.make_busy(5)
    assert all(made("least_connections", [one, other], seed).pick(call_of(), ()) is other for seed in range(20))


def test_two_choices_even_out() -> None:
    # Calls never end. The fullest stays near the mean, where chance alone would be far from it (Mitzenmacher).
    candidates = fake_endpoints(*[100] * 100)
    fullest = {}
    for name in ("p2c", "random"):
        for each in candidates:
            each.make_busy(0)
        balancer = made(name, candidates, 5)
        for _ in range(10_000):
            found = balancer.pick(call_of(), ())
            assert found is not None
            found.make_busy(found.load.in_flight + 1)
        fullest[name] = max(each.load.in_flight for each in candidates)
    assert fullest["p2c"] <= 105
    assert fullest["random"] >= 115


def test_a_slow_one_gets_fewer() -> None:
    now = [0.0]
    slow, fast = fake_endpoints(100, 100)
    balancer = made("p2c", [slow, fast], 3, lambda: now[0])
    count = Counter[FakeEndpoint]()
    for _ in range(2000):
        now[0] += 0.001
        found = balancer.pick(call_of(), ())
        assert found is not None
        count[found] += 1
        found.load.record_success(0.200 if found is slow else 0.005, now[0])
    # Both draws are the slow one in a quarter of all cases: there is no choice then.
    assert count[slow] / 2000 < 0.35


def test_fast_failures_do_not_lower_the_latency() -> None:
    bad, good = fake_endpoints(100, 100)
    bad.load.record_failure(0.001, 5.0, 0.0)
    good.load.record_success(0.5, 0.0)
    assert bad.load.latency(0.0) > good.load.latency(0.0)


def test_latency_rises_at_once_and_falls_slowly() -> None:
    load = Load()
    assert load.latency(0.0) == DEFAULT
    load.record_success(0.010, 0.0)
    load.record_success(1.0, 0.1)
    assert load.latency(0.1) == 1.0
    load.record_success(0.010, 0.2)
    assert load.latency(0.2) > 0.9
    for step in range(1, 400):
        load.record_success(0.010, 0.2 + step * 0.1)
    assert load.latency(40.1) < 0.05
    load.record_success(1.0, 50.0)
    assert load.latency(100.0) < 0.02, "who is not called is forgiven"
