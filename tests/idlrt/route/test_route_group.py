"""Groups: mixed by weight, the first rule decides, and home for all others."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from idlrt.core import ClockAndRandom
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

HOME, BLUE, GREEN, GREENER = NODES = [
    FakeEndpoint(1), FakeEndpoint(2, group="blue"), FakeEndpoint(3, group="green"), FakeEndpoint(4, group="green")
]  # fmt: skip
POOL = Pool(NODES)


def chain(*rules: dict[str, Any], home: str = "default") -> Chain:
    given = [{"router": "group", **rule} for rule in rules]
    return make_chain(given, CallerInfo(), ClockAndRandom(rng=random.Random(1).random), home=home)


def shares(router: Chain, pool: Pool[FakeEndpoint] = POOL) -> dict[Any, float]:
    found = Counter(router.route(call_of(), pool).endpoints for _ in range(4000))
    return {endpoints: count / 4000 for endpoints, count in found.items()}


def test_groups_by_weight() -> None:
    router = chain({"mix": {"blue": 10, "green": 90}})
    assert shares(router) == pytest.approx({(BLUE,): 0.1, (GREEN, GREENER): 0.9}, abs=0.02)
    assert router.groups == ("blue", "green")


def test_groups_without_weights_are_one() -> None:
    assert shares(chain({"mix": ["blue", "green"]})) == {(BLUE, GREEN, GREENER): 1.0}


def test_home_can_be_in_the_mix() -> None:
    assert shares(chain({"mix": {"default": 50, "blue": 50}})) == pytest.approx({(HOME,): 0.5, (BLUE,): 0.5}, abs=0.03)


def test_groups_without_anybody_get_nothing() -> None:
    out = FakeEndpoint(5, group="red", is_unhealthy=True)
    router = chain({"mix": {"red": 50, "none": 40, "blue": 10}})
    assert shares(router, Pool([*NODES, out])) == {(BLUE,): 1.0}
    assert shares(router, Pool([HOME, out])) == {(out,): 1.0}


def test_no_instance_in_any_group() -> None:
    assert chain({"mix": ["red"]}).route(call_of(), POOL).endpoints == (HOME,)
    assert chain({"mix": ["red"], "force": True}).route(call_of(), POOL).endpoints == ()
    assert chain({"mix": ["red"]}).route(call_of(), Pool(NODES[1:])).endpoints == ()


def test_the_first_rule_that_fits_decides() -> None:
    router = chain(
        {"mix": ["green"], "when": "method = other"},
        {"mix": ["blue", "default", "green"], "when": "argument.key = a*"},
        {"mix": ["green"], "priority": -1},
        {"mix": ["default"], "when": "argument.key = a*"},
    )
    assert router.route(call_of("ada"), POOL).endpoints == POOL.endpoints
    assert router.route(call_of("bob"), POOL).endpoints == (GREEN, GREENER)
    assert router.groups == ("green", "blue", "default")


def test_calls_that_fit_no_rule_go_home() -> None:
    rule = {"mix": ["green"], "when": "method = other"}
    assert chain(rule).route(call_of(), POOL).endpoints == (HOME,)
    assert chain(rule, home="blue").route(call_of(), POOL).endpoints == (BLUE,)


def test_rules_for_groups_come_first() -> None:
    rules = [{"to": "host = *", "priority": 99}, {"router": "group", "mix": ["green"]}]
    found = make_chain(rules, CallerInfo(), ClockAndRandom())
    assert [step.router for step in explain(found, call_of(), POOL)] == ["group", "group", "tag", "condition", "zone"]
    assert found.route(call_of(), POOL).endpoints == (GREEN, GREENER)
