"""Tags: calls that have one, calls that have none, and instances likewise."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.core import Call, ClockAndRandom
from idlrt.route import CallerInfo, Chain, Pool, explain, make_chain, no_instance_reason
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint


def tagged(tag: str) -> Call:
    call = call_of()
    call.tag = tag
    return call


def chain(**rule: Any) -> Chain:
    return make_chain([{"router": "tag", **rule}], CallerInfo(), ClockAndRandom())


def place(number: int, tag: str = "", *, is_unhealthy: bool = False, **fields: Any) -> FakeEndpoint:
    return FakeEndpoint(number, is_unhealthy=is_unhealthy, tags={"tag": tag} if tag else {}, **fields)


def test_a_tagged_call_goes_to_its_tag_and_others_to_those_without() -> None:
    plain, gray, blue = endpoints = [place(1), place(2, "gray"), place(3, "blue")]
    pool = Pool(endpoints)
    assert chain().route(tagged("gray"), pool).endpoints == (gray,)
    assert chain().route(tagged("blue"), pool).endpoints == (blue,)
    assert chain().route(call_of(), pool).endpoints == (plain,)
    assert chain().route(tagged(""), pool).endpoints == (plain,)


@pytest.mark.parametrize("gray", [[], [place(2, "gray", is_unhealthy=True)]])
def test_without_anybody_of_its_tag_a_call_goes_to_those_without(gray: list[FakeEndpoint]) -> None:
    plain = place(1)
    pool = Pool([plain, *gray])
    assert chain().route(tagged("gray"), pool).endpoints == (plain,)
    assert chain(force=True).route(tagged("gray"), pool).endpoints == ()
    reason = no_instance_reason("demo.Users", explain(chain(force=True), tagged("gray"), pool))
    assert reason.startswith("no instance of demo.Users with the tag gray of the call")


def test_one_of_several_that_is_not_out_is_enough() -> None:
    endpoints = [place(1), place(2, "gray", is_unhealthy=True), place(3, "gray")]
    assert chain().route(tagged("gray"), Pool(endpoints)).endpoints == tuple(endpoints[1:])


def test_a_call_without_a_tag_never_goes_to_tagged_instances() -> None:
    for endpoints in ([place(1, "gray")], [place(1, "gray"), place(2, is_unhealthy=True)]):
        found = chain().route(call_of(), Pool(endpoints))
        assert all(not endpoint.instance.tags for endpoint in found.endpoints)
    pool = Pool([place(1, "gray"), place(2, "gray"), place(3, "blue")])
    assert no_instance_reason("demo.Users", explain(chain(), call_of(), pool)) == (
        "no instance of demo.Users without a tag, and the call has none (tagged: 1 blue, 2 gray)"
    )
    assert chain().route(tagged("red"), pool).endpoints == ()


def test_the_rule_lists_instances() -> None:
    endpoints = [place(number) for number in range(6)] + [place(7, id="users-7"), place(8, host="h8")]
    listed = ["10.0.0.1:9090", "10.0.0.2:9091", "10.0.0.4/31", "users-7", "h8"]
    router = chain(tags={"gray": listed, "blue": ["10.0.0.1"]})
    pool = Pool(endpoints)
    assert router.route(tagged("gray"), pool).endpoints == (
        endpoints[1],
        endpoints[4],
        endpoints[5],
        endpoints[6],
        endpoints[7],
    )
    assert router.route(tagged("blue"), pool).endpoints == (endpoints[1],)
    assert router.route(call_of(), pool).endpoints == (endpoints[0], endpoints[2], endpoints[3])


def test_without_tags_nothing_is_narrowed() -> None:
    pool = Pool([place(1), place(2)])
    for call in (call_of(), tagged("gray")):
        assert chain().route(call, pool) is pool


def test_a_rule_that_is_not_enabled_takes_the_place_of_the_one_that_is_always_there() -> None:
    pool = Pool([place(1), place(2, "gray")])
    assert chain(enabled=False).route(call_of(), pool) is pool
    assert make_chain([], CallerInfo(), ClockAndRandom()).route(call_of(), pool).endpoints == pool.endpoints[:1]
