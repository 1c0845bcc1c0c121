"""Published state of a service: changes are prepared before a call sees them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest
from virtual_cluster import GET, PUT, VirtualCluster, instances

from idlrt.core import Call, Deadline
from idlrt.route import CallerInfo


def functions_of(work: Callable[[], object]) -> list[CodeType]:
    """The Python functions of this project that `work` calls, in their order."""
    called: list[CodeType] = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and "idlrt" in frame.f_code.co_filename:
            called.append(frame.f_code)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


RULES = '[{"when": "method = put", "to": "tags.disk = ssd"}, {"when": "method = get", "to": "tags.disk = ssd"}]'


def world(**settings: str) -> VirtualCluster:
    found = [each for number in range(4) for each in instances(4)[number : number + 1]]
    ssd = [type(each)(service=each.service, host=each.host, port=each.port, tags={"disk": "ssd"}) for each in found[:3]]
    return VirtualCluster(*ssd, found[3], settings=settings, caller=CallerInfo(id="me", zone="eu"), policy=None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"timeout": "3"}),
        ({"timeout": "1"}, {"timeout": "2", "retries": "1", "balancer": "round_robin"}),
        ({"routes": RULES}, {"routes": RULES, "timeout": "2"}),
    ],
)
def test_the_call_after_a_change_of_settings_builds_nothing(before: dict[str, str], after: dict[str, str]) -> None:
    virtual = world(**before)
    client_call = lambda: virtual.make(GET)  # noqa: E731
    for _ in range(20):
        client_call()
    virtual.subscription.tell(virtual.subscription.snapshot.instances, after)  # type: ignore[union-attr]
    first = functions_of(client_call)
    later = [functions_of(client_call) for _ in range(8)]
    # Two draws of one instance end a choice early, and windows turn with time: calls differ by that.
    extra = {each.co_name for each in set(first).difference(*later)}
    assert extra <= {"rotate"}
    assert len(first) <= max(map(len, later)) + 2


def test_a_change_of_instances_is_followed_without_a_call() -> None:
    virtual = VirtualCluster(*instances(3))
    virtual.make(GET)
    virtual.subscription.tell(instances(1))
    assert len(virtual.retired) == 2
    assert [each.id for each in virtual.cluster.stats().endpoints] == ["10.0.0.0:9090"]


def test_calls_in_flight_get_the_settings_of_their_time_and_later_ones_the_new() -> None:
    virtual = VirtualCluster(*instances(2), settings={"timeout": "1"})
    call = virtual.call(GET)
    virtual.subscription.tell(instances(2), {"timeout": "3"})
    virtual.driver.run(virtual.planner.make_call(call))
    assert call.deadline.timeout == 3, "it had not been sent yet"
    sent: list[Call] = [each.calls[-1] for each in virtual.transports.values() if each.calls]
    assert [each.deadline.timeout for each in sent] == [3]


def test_rules_that_stay_keep_what_they_have_made() -> None:
    virtual = world(routes=RULES)
    for _ in range(20):
        virtual.make(GET)
        virtual.make(PUT)
    asked = {name for name, transport in virtual.transports.items() if transport.calls}
    assert len(asked) == 3, "only those with the tag"
    virtual.subscription.tell(instances(2), {"routes": RULES})
    for _ in range(10):
        virtual.make(GET)
    assert len(virtual.retired) == 2
    assert (
        sum(len(transport.calls) for transport in virtual.transports.values() if transport not in virtual.retired) >= 10
    )


def test_a_closed_cluster_refuses_calls_whatever_is_published_then() -> None:
    virtual = VirtualCluster(*instances(2))
    virtual.make(GET)
    transports = virtual.cluster.close()
    assert len(transports) == 2
    virtual.subscription.tell(instances(3))
    call = virtual.call(GET)
    call.deadline = Deadline(virtual.driver.now() + 1, 1)
    with pytest.raises(Exception, match="the client is closed"):
        virtual.driver.run(virtual.planner.make_call(call))


def test_a_plan_that_was_in_use_is_ready_when_settings_change() -> None:
    virtual = VirtualCluster(*instances(2))
    virtual.make(GET)
    old = virtual.planner.plan(GET)
    virtual.subscription.tell(instances(2), {"timeout": "7"})
    made: list[Any] = functions_of(lambda: virtual.planner.plan(GET))
    assert virtual.planner.plan(GET) is not old
    assert virtual.planner.plan(GET).policy.timeout == 7
    assert [each.co_name for each in made] == ["<lambda>", "plan"]
