"""Rules with conditions: the instances they select, and the result if none matches."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from idlrt.core import ClockAndRandom
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain, no_instance_reason
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

ONE, TWO, THREE = NODES = [
    FakeEndpoint(1, version="1.0"),
    FakeEndpoint(2, version="2.0"),
    FakeEndpoint(3, version="3.0"),
]
POOL = Pool(NODES)


def chain(**rule: Any) -> Chain:
    return make_chain([rule], CallerInfo(zone="", app="shop"), ClockAndRandom(rng=random.Random(1).random))


def shares(pool: Pool[FakeEndpoint], *to: tuple[str, int]) -> dict[Any, float]:
    router = chain(to=[{"where": where, "weight": weight} for where, weight in to])
    found = Counter(router.route(call_of(), pool).endpoints for _ in range(4000))
    return {endpoints: count / 4000 for endpoints, count in found.items()}


def test_calls_that_fit_go_to_instances_that_fit() -> None:
    router = chain(when="method = get & argument.key = vip-*", to="version = 2.*, 3.*")
    assert router.route(call_of("vip-7"), POOL).endpoints == (TWO, THREE)
    assert router.route(call_of("x"), POOL) is POOL


def test_no_instance_matches() -> None:
    assert chain(to="version = 9").route(call_of(), POOL) is POOL
    router = chain(to="version = 9", force=True, name="pin")
    assert router.route(call_of(), POOL).endpoints == ()
    assert no_instance_reason("demo.Users", explain(router, call_of(), POOL)) == (
        "no instance of demo.Users that matches version = 9; `force` excludes the others (rule pin)"
    )


def test_no_destination_forbids() -> None:
    assert chain(when="caller.app = shop", to=[], force=True).route(call_of(), POOL).endpoints == ()
    assert chain(when="caller.app = other", to=[], force=True).route(call_of(), POOL) is POOL
    assert chain(to=[]).route(call_of(), POOL) is POOL


def test_destinations_by_weight() -> None:
    found = shares(POOL, ("version = 1.*", 90), ("version = 2.*", 10))
    assert found == pytest.approx({(ONE,): 0.9, (TWO,): 0.1}, abs=0.02)


def test_destinations_without_anybody_get_nothing() -> None:
    found = shares(POOL, ("version = 9", 80), ("version = 1.*", 10), ("version = 2.*", 10))
    assert found == pytest.approx({(ONE,): 0.5, (TWO,): 0.5}, abs=0.03)


def test_destinations_that_are_out_get_nothing_while_there_are_others() -> None:
    out = FakeEndpoint(4, version="4.0", is_unhealthy=True)
    assert shares(Pool([ONE, out]), ("version = 4.*", 90), ("version = 1.*", 10)) == {(ONE,): 1.0}
    assert shares(Pool([ONE, out]), ("version = 4.*", 90), ("version = 9.*", 10)) == {(out,): 1.0}


def test_rules_come_one_after_the_other_by_priority() -> None:
    rules: list[dict[str, Any]] = [{"to": "version != 1.0", "force": True}, {"to": "version = 1.0", "priority": 5}]
    found = make_chain(rules, CallerInfo(), ClockAndRandom())
    assert found.route(call_of(), POOL).endpoints == ()
    assert [step.why for step in explain(found, call_of(), POOL)][1:] == [
        "matches any call: using version = 1.0",
        "none that matches version != 1.0; `force` excludes the others",
    ]
    assert make_chain([{**rules[0], "priority": 6}, rules[1]], CallerInfo(), ClockAndRandom()).route(
        call_of(), POOL
    ).endpoints == (
        TWO,
        THREE,
    )


def test_what_was_narrowed_once_is_kept() -> None:
    router = chain(to="version = 2.*")
    assert router.route(call_of(), POOL) is router.route(call_of("other"), POOL)
