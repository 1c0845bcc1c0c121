"""Zones: who stays at home, and what share of the calls leaves."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain, no_instance_reason
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint


def chain(zone: str = "a", seed: int = 1, **rule: Any) -> Chain:
    return make_chain(
        [{"router": "zone", **rule}], CallerInfo(zone=zone), ClockAndRandom(rng=random.Random(seed).random)
    )


def places(*zones: tuple[str, int, int], weight: int = 100) -> list[FakeEndpoint]:
    """For each zone, instances that are well and such that are out."""
    return [
        FakeEndpoint(100 * at + number, zone=zone, is_unhealthy=number >= well, weight=weight)
        for at, (zone, well, out) in enumerate(zones)
        for number in range(well + out)
    ]


def shares(endpoints: list[FakeEndpoint], count: int = 4000, **rule: Any) -> dict[str, float]:
    """Of the calls, by the zones that they may go to."""
    router, pool, call = chain(**rule), Pool(endpoints), call_of()
    found: Counter[str] = Counter()
    for _ in range(count):
        zones = {endpoint.instance.zone for endpoint in router.route(call, pool).endpoints}
        found["+".join(sorted(zones))] += 1
    return {zones: number / count for zones, number in found.items()}


def test_calls_stay_at_home_while_it_can_carry_them() -> None:
    assert shares(places(("a", 4, 0), ("b", 4, 0))) == {"a": 1.0}
    # 5 of 7 are 71 %, and 1.4 of that is all.
    assert shares(places(("a", 5, 2), ("b", 4, 0))) == {"a": 1.0}


def test_what_home_cannot_carry_leaves() -> None:
    assert shares(places(("a", 2, 2), ("b", 4, 0))) == pytest.approx({"a": 0.7, "b": 0.3}, abs=0.03)
    assert shares(places(("a", 1, 3), ("b", 4, 0))) == pytest.approx({"a": 0.35, "b": 0.65}, abs=0.03)
    assert shares(places(("a", 0, 4), ("b", 4, 0))) == {"b": 1.0}


def test_weights_are_what_counts() -> None:
    heavy, light = FakeEndpoint(1, zone="a", weight=300), FakeEndpoint(2, zone="a", weight=100, is_unhealthy=True)
    assert shares([heavy, light, FakeEndpoint(3, zone="b")]) == {"a": 1.0}
    heavy.is_unhealthy, light.is_unhealthy = True, False
    assert shares([heavy, light, FakeEndpoint(3, zone="b")]) == pytest.approx({"a": 0.35, "b": 0.65}, abs=0.03)
    assert shares(places(("a", 2, 2), ("b", 4, 0), weight=0)) == pytest.approx({"a": 0.7, "b": 0.3}, abs=0.03)


def test_nearer_zones_come_first_and_the_others_are_one() -> None:
    endpoints = places(("a", 1, 3), ("b", 1, 3), ("c", 2, 0), ("", 2, 0))
    found = shares(endpoints, order=["b"])
    assert found == pytest.approx({"a": 0.35, "b": 0.35, "+c": 0.3}, abs=0.03)
    assert shares(endpoints) == pytest.approx({"a": 0.35, "+b+c": 0.65}, abs=0.03)


def test_if_all_together_cannot_carry_the_calls_each_carries_more() -> None:
    assert shares(places(("a", 1, 3), ("b", 1, 3)), order=["b"]) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.03)


def test_the_share_is_said() -> None:
    pool = Pool(places(("a", 1, 3), ("b", 1, 3)))
    said = {explain(chain(seed=seed), call_of(), pool)[-1].why for seed in range(20)}
    assert said == {
        "in zone a (50% of the calls)",
        "in other zones: 3 of 4 instances unhealthy in zone a (50% of the calls)",
    }


def test_if_all_are_out_zones_do_not_matter() -> None:
    endpoints = places(("a", 0, 2), ("b", 0, 2))
    pool = Pool(endpoints)
    assert chain().route(call_of(), pool) is pool
    assert {endpoint.instance.zone for endpoint in chain(mode="only").route(call_of(), pool).endpoints} == {"a"}


def test_no_instance_in_the_own_zone() -> None:
    endpoints = places(("b", 2, 0), ("c", 1, 1))
    pool = Pool(endpoints)
    assert chain().route(call_of(), pool) is pool
    assert shares(endpoints, order=["c"]) == pytest.approx({"c": 0.7, "b": 0.3}, abs=0.03)
    reason = no_instance_reason("demo.UserService", explain(chain(zone="eu-1", mode="only"), call_of(), pool))
    assert reason == ('no instance of demo.UserService in zone eu-1; 4 in other zones, set mode = "prefer" to use them')
    assert chain(force=True, name="at home").route(call_of(), pool).endpoints == ()


def test_only_at_home() -> None:
    assert shares(places(("a", 1, 9), ("b", 5, 0)), mode="only") == {"a": 1.0}


@pytest.mark.parametrize(("zone", "mode"), [("", "prefer"), ("", "only"), ("a", "off")])
def test_zones_that_do_not_matter(zone: str, mode: str) -> None:
    pool = Pool(places(("a", 1, 0), ("b", 1, 0)))
    router = chain(zone, mode=mode)
    assert router.route(call_of(), pool) is pool
    assert explain(router, call_of(), pool)[-1].why in ("the caller's zone is unknown", "the rule is off")


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", ""]), st.booleans(), st.integers(1, 9)), min_size=1, max_size=12
    ),
    st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=3),
)
def test_no_call_is_lost_or_sent_to_an_unhealthy_zone(given: list[Any], order: list[str]) -> None:
    pool = Pool(
        [FakeEndpoint(at, zone=zone, is_unhealthy=out, weight=weight) for at, (zone, out, weight) in enumerate(given)]
    )
    router = chain(order=order)
    for _ in range(5):
        found = router.route(call_of(), pool)
        assert found.endpoints
        assert found.is_unhealthy is pool.is_unhealthy
        assert len({endpoint.instance.zone for endpoint in found.endpoints} & {"a", *order}) <= 1 or found is pool
