"""Filters around an endpoint."""

from __future__ import annotations

from typing import Any

from hand_written import GET

from idlrt.core import BlockingDriver, Call, CallNext, Deadline, drive, stack


def call() -> Call:
    return Call(GET, (1,), "nowhere", Deadline(10.0, 5.0), BlockingDriver())


async def leaf(call: Call) -> Any:
    return [("leaf", *call.arguments)]


def noting(name: str) -> Any:
    async def filter(call: Call, next: CallNext) -> Any:
        return [name, *await next(call), name]

    return filter


def test_the_first_filter_is_the_outermost() -> None:
    endpoint = stack([noting("a"), noting("b")], leaf)

    assert drive(endpoint(call())) == ["a", "b", ("leaf", 1), "b", "a"]


def test_no_filter_is_the_endpoint_itself() -> None:
    assert stack([], leaf) is leaf


def test_a_filter_may_change_the_call_and_make_it_twice() -> None:
    async def twice(call: Call, next: CallNext) -> Any:
        first = await next(call)
        call.arguments = (2,)
        return first + await next(call)

    assert drive(stack([twice], leaf)(call())) == [("leaf", 1), ("leaf", 2)]


def test_a_filter_may_answer_by_itself() -> None:
    async def refuse(call: Call, next: CallNext) -> Any:
        return "no"

    assert drive(stack([refuse], leaf)(call())) == "no"


def test_a_deadline_knows_what_is_left() -> None:
    assert Deadline(10.0, 5.0).remaining(7.5) == 2.5
    assert Deadline(10.0, 5.0).remaining(11.0) == -1.0


def test_calls_do_not_share_metadata() -> None:
    first, second = call(), call()
    first.metadata["a"] = "b"

    assert second.metadata == {}
