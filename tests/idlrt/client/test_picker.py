"""Picker: health, panic, and endpoints that were already tried. The choice among healthy endpoints is tested with the
balancers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.balance import BALANCERS, ClockAndRandom
from idlrt.client.picker import BalancerChoice, Picker
from idlrt.errors import ConfigurationError
from idlrt.route import Pool
from idlrt.testing.balancers import FakeEndpoint, call_of


class Endpoint(FakeEndpoint):
    def __init__(self, number: int, weight: int = 100, *, is_unhealthy: bool = False) -> None:
        super().__init__(number, weight)
        self.is_unhealthy = is_unhealthy


def chosen(
    endpoints: Sequence[Endpoint], seed: int = 1, shared_balancers: dict[Hashable, Any] | None = None
) -> Picker[Endpoint]:
    return Picker(
        Pool(endpoints),
        ClockAndRandom(now=lambda: 0.0, rng=random.Random(seed).random),
        shared_balancers=shared_balancers,
    )


def spread(endpoints: Sequence[Endpoint], count: int = 5000) -> list[float]:
    picker = chosen(endpoints)
    found = Counter(picker.pick(call_of()) for _ in range(count))
    return [found[endpoint] / count for endpoint in endpoints]


def test_an_empty_pool_has_no_endpoint() -> None:
    assert chosen([]).pick(call_of()) is None


def test_the_only_endpoint_is_picked_even_if_unhealthy() -> None:
    endpoint = Endpoint(0, is_unhealthy=True)
    assert chosen([endpoint]).pick(call_of()) is endpoint
    assert chosen([endpoint]).pick(call_of(), [endpoint]) is None


def test_unhealthy_endpoints_are_not_picked() -> None:
    assert spread([Endpoint(0), Endpoint(1, is_unhealthy=True), Endpoint(2)])[1] == 0


def test_health_is_ignored_when_most_are_unhealthy() -> None:
    assert min(spread([Endpoint(0), Endpoint(1, is_unhealthy=True), Endpoint(2, is_unhealthy=True)])) > 0.2


def test_health_counts_when_half_are_healthy() -> None:
    assert spread([Endpoint(0), Endpoint(1, is_unhealthy=True)]) == [1.0, 0.0]


def test_unhealthy_endpoints_are_picked_after_all_healthy_ones() -> None:
    good, out = Endpoint(0), Endpoint(1, is_unhealthy=True)
    assert chosen([good, out]).pick(call_of(), [good]) is out
    assert chosen([good, out]).pick(call_of(), [good, out]) is None


def test_a_balancer_that_covers_all_outlives_health() -> None:
    endpoints = [Endpoint(number) for number in range(5)]
    shared_balancers: dict[Hashable, Any] = {}
    ring = BalancerChoice("consistent_hash", None, "ring")
    calls = [call_of(f"key {number}") for number in range(200)]
    before = [chosen(endpoints, shared_balancers=shared_balancers).pick(call, (), ring) for call in calls]
    endpoints[2].is_unhealthy = True
    picker = chosen(endpoints, shared_balancers=shared_balancers)
    after = [picker.pick(call, (), ring) for call in calls]
    assert len(shared_balancers) == 1
    assert endpoints[2] in before
    assert endpoints[2] not in after
    assert [one for one in before if one is not endpoints[2]] == [
        other for one, other in zip(before, after, strict=True) if one is not endpoints[2]
    ], "only the keys of the one that is out have moved"


def test_the_number_of_shared_balancers_is_bounded() -> None:
    shared_balancers: dict[Hashable, Any] = {}
    for count in range(1, 40):
        chosen([Endpoint(number) for number in range(count)], shared_balancers=shared_balancers).pick(
            call_of(), (), BalancerChoice("maglev", None, "maglev")
        )
    assert len(shared_balancers) == 16


def test_an_unknown_balancer_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown balancer 'p3c' \(known: .*did you mean 'p2c'"):
        chosen([Endpoint(0)]).pick(call_of(), (), BalancerChoice("p3c", None, "p3c"))


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=1, max_size=12),
    st.sampled_from(BALANCERS.names()),
    st.integers(),
)
def test_all_endpoints_are_tried(made: list[tuple[int, bool]], balancer: str, seed: int) -> None:
    endpoints = [
        Endpoint(number, weight, is_unhealthy=is_unhealthy) for number, (weight, is_unhealthy) in enumerate(made)
    ]
    picker = chosen(endpoints, seed)
    tried: list[Endpoint] = []
    while (endpoint := picker.pick(call_of(), tried, BalancerChoice(balancer, None, balancer))) is not None:
        assert endpoint not in tried
        tried.append(endpoint)
    assert set(tried) == set(endpoints)
