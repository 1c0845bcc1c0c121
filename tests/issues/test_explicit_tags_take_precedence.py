"""A call that asks for a tag goes to the instances that have it, whatever rules draw by percent, weight or size."""

from __future__ import annotations

import random
from typing import Any

import pytest

from idlrt.core import Call, ClockAndRandom, Deadline
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain
from idlrt.testing import FakeDriver
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

STABLE, CANARY = FakeEndpoint(1, version="1.0"), FakeEndpoint(2, version="2.0")
GRAY, GRAY_CANARY = (
    FakeEndpoint(3, version="1.0", tags={"tag": "gray"}),
    FakeEndpoint(4, version="2.0", tags={"tag": "gray"}),
)
TWENTY_PERCENT = {"router": "canary", "to": "version = 2.*", "percent": 20}
OTHER_GROUP = FakeEndpoint(5, group="green", version="1.0")


def chain(*rules: dict[str, Any]) -> Chain:
    return make_chain(rules, CallerInfo(id="client"), ClockAndRandom(rng=random.Random(7).random))


def call(tag: str = "") -> Call:
    return Call(call_of().method, ("x",), "S", Deadline(5.0, 5.0), FakeDriver(), tag=tag)


def counts(
    router: Chain, pool: Pool[FakeEndpoint], tag: str = "", calls: int = 1000
) -> dict[tuple[FakeEndpoint, ...], int]:
    found: dict[tuple[FakeEndpoint, ...], int] = {}
    for _ in range(calls):
        endpoints = router.route(call(tag), pool).endpoints
        found[endpoints] = found.get(endpoints, 0) + 1
    return found


@pytest.mark.parametrize(
    "rule",
    [
        TWENTY_PERCENT,
        {**TWENTY_PERCENT, "force": True},
        {**TWENTY_PERCENT, "priority": 100},
        {"router": "subset", "size": 1},
        {"to": [{"where": "version = 1.*", "weight": 1}, {"where": "version = 2.*", "weight": 1}]},
    ],
    ids=["canary", "forced canary", "canary of high priority", "subset", "weights of a condition"],
)
def test_no_rule_sends_a_tagged_call_elsewhere(rule: dict[str, Any]) -> None:
    pool = Pool([STABLE, CANARY, GRAY])
    assert counts(chain(rule), pool, "gray") == {(GRAY,): 1000}
    assert counts(chain(rule, {"router": "tag", "priority": -5}), pool, "gray") == {(GRAY,): 1000}


def test_a_canary_rule_does_not_divide_instances_of_one_tag() -> None:
    assert counts(chain(TWENTY_PERCENT), Pool([STABLE, CANARY, GRAY, GRAY_CANARY]), "gray") == {
        (GRAY, GRAY_CANARY): 1000
    }


def test_a_canary_rule_applies_to_calls_whose_tag_no_instance_has() -> None:
    found = counts(chain(TWENTY_PERCENT), Pool([STABLE, CANARY, GRAY]), "blue")
    assert set(found) == {(STABLE,), (CANARY,)}
    assert 150 < found[CANARY,] < 250


def test_calls_without_a_tag_are_divided_as_before() -> None:
    found = counts(chain(TWENTY_PERCENT), Pool([STABLE, CANARY, GRAY, GRAY_CANARY]))
    assert set(found) == {(STABLE,), (CANARY,)}
    assert 150 < found[CANARY,] < 250


def test_weights_of_groups_draw_among_groups_that_have_the_tag() -> None:
    router = chain({"router": "group", "mix": {"default": 10, "green": 90}})
    pool = Pool([STABLE, GRAY, OTHER_GROUP])
    assert counts(router, pool, "gray") == {(GRAY,): 1000}
    assert counts(router, pool, "blue")[OTHER_GROUP,] > 800
    assert counts(router, pool)[OTHER_GROUP,] > 800


def test_a_tag_that_a_rule_lists_counts_for_groups_too() -> None:
    listed = {"router": "tag", "tags": {"gray": [STABLE.instance.address]}}
    router = chain(listed, {"router": "group", "mix": {"default": 10, "green": 90}})
    assert counts(router, Pool([STABLE, OTHER_GROUP]), "gray") == {(STABLE,): 1000}


def test_a_group_whose_tagged_instances_are_unhealthy_does_not_attract_calls() -> None:
    router = chain({"router": "group", "mix": {"default": 10, "green": 90}})
    unhealthy = FakeEndpoint(3, tags={"tag": "gray"}, is_unhealthy=True)
    assert counts(router, Pool([STABLE, unhealthy, OTHER_GROUP]), "gray")[OTHER_GROUP,] > 800


def test_the_explanation_names_the_tag() -> None:
    steps = explain(chain(TWENTY_PERCENT), call("gray"), Pool([STABLE, CANARY, GRAY]))
    assert [(step.router, step.why) for step in steps[:2]] == [
        ("tag", "the call has the tag gray"),
        ("canary", "the tag gray of the call takes precedence"),
    ]
