"""Typed values of requests: what a server's handlers read of them, and what the calls that they make pass on."""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import HEADER, KINDS, Raw, serving
from eventually import TIMEOUT
from hand_written import GET, User, Users, UserServiceClient

import idlrt
from idlrt import client_stats
from idlrt.core import NO_CONTEXT, Call, CallNext, ServerCall

FRONT: Any = {"caller": {"app": "front"}}
MIDDLE: Any = {"caller": {"app": "middle"}}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Keeping(Users):
    """Keeps the call that `get` works on; if it has a client, asks that one for the user."""

    def __init__(self, behind: UserServiceClient | None = None) -> None:
        super().__init__()
        self._behind = behind
        self.call: ServerCall | None = None
        self.now = 0.0

    def get(self, id: int) -> Any:
        call = self.call = idlrt.current_call()
        assert call is not None
        self.now = call.driver.now()
        return super().get(id) if self._behind is None else self._behind.get(id)

    @property
    def seen(self) -> ServerCall:
        assert self.call is not None
        return self.call


async def second(call: Call, next: CallNext) -> Any:
    """A filter of a client: its calls are second attempts."""
    call.attempt = 1
    return await next(call)


def connect(target: str, config: Any = None, framing: str = "header", **options: Any) -> UserServiceClient:
    return UserServiceClient.connect(target, framing=framing, config=config, timeout=TIMEOUT, **options)


@pytest.mark.parametrize("framing", ["header", "header_zlib"])
@pytest.mark.parametrize("kind", KINDS)
def test_they_arrive_beside_the_metadata(kind: str, framing: str) -> None:
    users = Keeping()
    with serving(users, kind) as server, connect(server.address, FRONT, framing, filters=[second]) as client:
        assert client.using(tag="gray", metadata={"tenant": "7"}).get(1) == User(id=1, name="user 1")
        context = users.seen.context
        assert (context.attempt, context.tag, context.caller) == (1, "gray", "front")
        assert context.timeout is not None
        assert 0 < context.timeout <= TIMEOUT
        assert users.seen.metadata == {"tenant": "7"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_of_arrival_is_on_the_clock_of_the_deadline(kind: str) -> None:
    users = Keeping()
    with serving(users, kind) as server, connect(server.address) as client:
        client.get(1)
        call, told = users.seen, users.seen.context.timeout
        assert told is not None
        assert call.deadline.at == call.received_at + told
        assert 0 < call.received_at <= users.now < call.deadline.at


def test_without_a_timeout_of_the_client_the_deadline_counts_from_the_arrival_too() -> None:
    users = Keeping()
    with serving(users, timeout=33) as server, connect(server.address, framing="framed") as client:
        client.get(1)
        assert users.seen.deadline.at == users.seen.received_at + 33


def test_a_call_that_says_nothing_has_none() -> None:
    users = Keeping()
    with serving(users) as server, Raw(server, HEADER) as raw, connect(server.address) as client:
        raw.call(GET, 1, metadata={"tenant": "7"})
        raw.read()
        assert users.seen.context == NO_CONTEXT
        client.get(1)
        context = users.seen.context
        assert (context.attempt, context.tag, context.caller) == (0, "", "")


def test_what_cannot_carry_them_leaves_them_out_and_counts_them() -> None:
    users = Keeping()
    with serving(users) as server, connect(server.address, FRONT, "framed", filters=[second]) as client:
        client.using(tag="gray").get(1)
        assert users.seen.context == NO_CONTEXT
        assert client_stats(client).left_out == {"deadline": 1, "attempt": 1, "tag": 1, "caller": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_calls_that_a_handler_makes_pass_on_tag_and_attempt_but_not_the_caller(kind: str) -> None:
    last = Keeping()
    with serving(last) as behind, connect(behind.address, MIDDLE) as client:
        first = Keeping(client)
        with serving(first, kind) as server, connect(server.address, FRONT, filters=[second]) as front:
            assert front.using(tag="gray").get(1) == User(id=1, name="user 1")
    assert (first.seen.context.attempt, first.seen.context.tag, first.seen.context.caller) == (1, "gray", "front")
    assert (last.seen.context.attempt, last.seen.context.tag, last.seen.context.caller) == (1, "gray", "middle")
    assert last.seen.metadata == {}


def test_a_handler_whose_program_has_no_name_does_not_pass_on_its_callers() -> None:
    last = Keeping()
    with (
        serving(last) as behind,
        connect(behind.address) as client,
        serving(Keeping(client)) as server,
        connect(server.address, FRONT) as front,
    ):
        front.get(1)
    assert last.seen.context.caller == ""


def test_a_tag_of_the_calls_own_replaces_the_one_that_would_be_passed_on() -> None:
    last = Keeping()
    with serving(last) as behind, connect(behind.address) as client:
        with serving(Keeping(client.using(tag="blue"))) as server, connect(server.address) as front:
            front.using(tag="gray").get(1)
            assert last.seen.context.tag == "blue"
        with serving(Keeping(client.using(tag=""))) as server, connect(server.address) as front:
            front.using(tag="gray").get(1)
            assert last.seen.context.tag == ""


def test_an_attempt_that_cannot_be_read_is_metadata_like_any_other() -> None:
    users = Keeping()
    with serving(users) as server, Raw(server, HEADER) as raw:
        raw.call(GET, 1, metadata={"rpc_attempt": "twice", "rpc_tag": "gray"})
        raw.read()
    assert (users.seen.context.attempt, users.seen.context.tag) == (0, "gray")
    assert users.seen.metadata == {"rpc_attempt": "twice"}


def test_a_trace_context_is_metadata_on_both_sides() -> None:
    users = Keeping()
    with serving(users) as server, connect(server.address) as client:
        client.using(metadata={"traceparent": TRACE, "tracestate": "a=b"}).get(1)
    assert users.seen.metadata == {"traceparent": TRACE, "tracestate": "a=b"}
    assert users.seen.context.trace == TRACE
