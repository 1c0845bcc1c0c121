"""Answers to clients that find them by their numbers: each leaves when it is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from by_hand import ANY_ORDER, FRAMED, HEADER, Noting, Raw, serving, stopping
from eventually import TIMEOUT
from hand_written import GET, JOIN, POKE, WAIT, AsyncUsers, AsyncUserServiceClient, User, Users

from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import client_dialect, dialect
from idlrt.protocol.thrift.framing import Dialect
from idlrt.protocol.thrift.requests import ThriftResponse

IN_ORDER = [FRAMED, HEADER, dialect("unframed"), dialect("header_zlib")]
UNORDERED = [ANY_ORDER, client_dialect("header_zlib"), client_dialect("header", "compact")]


@pytest.mark.parametrize("how", UNORDERED, ids=repr)
def test_a_fast_answer_overtakes_a_slow_worker(how: Dialect) -> None:
    users = Users()
    with serving(users, workers=2) as server, Raw(server, how) as raw:
        slow, fast = raw.call(WAIT, 1), raw.call(GET, 2)
        assert [answer.number for answer in raw.read(1)] == [fast]

        users.gate.set()
        assert [answer.number for answer in raw.read(1)] == [slow]


@pytest.mark.parametrize("how", UNORDERED, ids=repr)
def test_a_fast_answer_overtakes_a_slow_async_handler(how: Dialect) -> None:
    users = AsyncUsers()
    with serving(users) as server, Raw(server, how) as raw:
        slow, awaited, plain = raw.call(WAIT, 1), raw.call(GET, 2), raw.call(JOIN, ["a"], "")
        assert {answer.number for answer in raw.read(2)} == {awaited, plain}

        users.release(1)
        assert [answer.number for answer in raw.read(1)] == [slow]


@pytest.mark.parametrize("how", IN_ORDER, ids=repr)
def test_a_client_that_does_not_ask_for_it_gets_its_answers_in_order(how: Dialect) -> None:
    class Opening(Users):
        def get(self, id: int) -> User:
            # The second call ends, and lets the first one end.
            self.gate.set()
            return User(id=id)

    with serving(Opening(), workers=2) as server, Raw(server, how) as raw:
        raw.call(WAIT, 1)
        raw.call(GET, 2)
        assert raw.values(2) == [1, User(id=2)]


def test_one_connection_may_ask_for_both() -> None:
    users = AsyncUsers()
    with serving(users) as server, Raw(server, ANY_ORDER) as raw:
        # Other numbers than those of the calls that may be answered in any order.
        ordered = ClientConnection(HEADER, first_sequence_id=101)
        raw.socket.sendall(ordered.request(WAIT, (1,))[1] + ordered.request(JOIN, (["ordered"], ""))[1])
        raw.call(GET, 2)
        assert [user.id for user in raw.values()] == [2]

        users.release(1)
        events: list[Any] = []
        while len(events) < 2:
            events += ordered.receive_data(raw.socket.recv(1000))
        assert [event.id for event in events] == [101, 102]


def test_the_answer_says_what_the_question_said() -> None:
    with serving(Users()) as server:
        for how in (ANY_ORDER, HEADER):
            with Raw(server, how) as raw:
                raw.call(GET, 1)
                (event,) = raw.client.receive_data(raw.socket.recv(1000))
                assert isinstance(event, ThriftResponse)
                assert event.dialect.framing.is_unordered == how.framing.is_unordered


def test_oneway_calls_and_rejections_do_not_disturb_other_calls() -> None:
    users = AsyncUsers()
    with serving(users) as server, Raw(server, ANY_ORDER) as raw:
        slow = raw.call(WAIT, 1)
        raw.call(POKE, 7)
        refused = raw.call(GET, 0)
        thrown = raw.call(GET, -3)
        raw.call(POKE, 8)
        last = raw.call(JOIN, ["a"], "")
        assert {answer.number for answer in raw.read(3)} == {refused, thrown, last}

        users.release(1)
        assert [answer.number for answer in raw.read(1)] == [slow]
        assert users.poked == [7, 8]


def test_oneway_calls_on_workers_leave_no_trace() -> None:
    users = Users()
    with serving(users, workers=1) as server, Raw(server, ANY_ORDER) as raw:
        for number in range(20):
            raw.call(POKE, number)
        last = raw.call(JOIN, ["a"], "")
        assert [answer.number for answer in raw.read(1)] == [last]
        assert users.poked == list(range(20))


def test_no_more_are_under_way_than_one_connection_may_have() -> None:
    users = Noting()
    with serving(users, workers=4, max_in_flight_per_connection=2) as server, Raw(server, ANY_ORDER) as raw:
        for number in (1, 2):
            raw.call(WAIT, number)
        raw.call(GET, 3)
        assert users.entered.wait(TIMEOUT)
        with Raw(server) as other:
            other.call(JOIN, ["a"], "")
            other.read()
        assert 3 not in users.started

        users.gate.set()
        assert {answer.number for answer in raw.read(3)} == {1, 2, 3}


def test_answers_that_were_late_are_sent_before_a_stop_closes() -> None:
    users = AsyncUsers()
    with serving(users) as server, Raw(server, ANY_ORDER) as raw:
        for number in range(5):
            raw.call(WAIT, number)
            assert users.all_entered.acquire(timeout=TIMEOUT)
        with stopping(server):
            for number in (3, 0, 4, 1, 2):
                users.release(number)
                assert raw.values() == [number]
            assert raw.is_ended()


def test_a_slow_call_of_an_asyncio_client_does_not_hold_up_the_others_on_its_connection() -> None:
    users = AsyncUsers()

    async def main(target: str) -> None:
        async with AsyncUserServiceClient.connect(target, framing="header", timeout=TIMEOUT) as client:
            slow = asyncio.create_task(client.wait(1))
            assert await asyncio.to_thread(users.entered.wait, TIMEOUT)
            for number in range(1, 20):
                assert (await client.get(number)).id == number
            assert not slow.done()
            users.release(1)
            assert await slow == 1

    with serving(users) as server:
        asyncio.run(main(server.address))
