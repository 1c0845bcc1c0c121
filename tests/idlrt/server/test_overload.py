"""Limits of a whole server: calls under way, open connections."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

import pytest
from by_hand import ANY_ORDER, Raw, serving, stopping
from eventually import TIMEOUT, eventually
from hand_written import GET, JOIN, PING, POKE, WAIT, AsyncUsers, AsyncUserServiceClient, Users, UserServiceClient

from idlrt.errors import ApplicationCode, NotSent, Overloaded
from idlrt.server import Server


@pytest.fixture
def users() -> AsyncUsers:
    return AsyncUsers()


@pytest.fixture
def server(users: AsyncUsers) -> Iterator[Server]:
    with serving(users, max_in_flight=2) as made:
        yield made


# Calls.


def test_a_call_over_the_limit_is_refused_and_taken_again_afterwards(server: Server, users: AsyncUsers) -> None:
    with Raw(server) as raw, UserServiceClient.connect(server.address) as client:
        raw.call(WAIT, 1)
        raw.call(WAIT, 2)
        assert users.all_entered.acquire(timeout=TIMEOUT)
        assert users.all_entered.acquire(timeout=TIMEOUT)
        with pytest.raises(Overloaded, match=r"rejected UserService\.get: .*max_in_flight=2 is reached") as caught:
            client.get(3)
        assert isinstance(caught.value, NotSent)

        users.release(1)
        assert raw.values() == [1]
        assert client.get(3).id == 3
        users.release(2)
        assert raw.values() == [2]
        for number in range(1, 20):
            assert client.get(number).id == number


def test_an_asyncio_client_is_told_too(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client:
            waiting = [asyncio.create_task(client.wait(number)) for number in (1, 2)]
            await asyncio.gather(*[asyncio.to_thread(users.all_entered.acquire, timeout=TIMEOUT) for _ in waiting])
            refused = await asyncio.gather(*[client.get(number) for number in range(5)], return_exceptions=True)
            assert [type(each) for each in refused] == [Overloaded] * 5
            users.release(1)
            users.release(2)
            assert await asyncio.gather(*waiting) == [1, 2]
            assert (await client.get(7)).id == 7

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["worker", "async"])
def test_arguments_of_calls_under_way_are_bounded_together(kind: str) -> None:
    """By the memory that they take; one call is taken whatever it takes."""
    users = AsyncUsers() if kind == "async" else Users()
    workers = 4 if kind == "worker" else 0
    with serving(users, max_decoded_queued=1, workers=workers) as server, Raw(server) as one, Raw(server) as two:
        one.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        two.call(WAIT, 2)
        (refused,) = two.values()
        assert refused.code is ApplicationCode.LOADSHEDDING
        assert re.search(r"take \d+ bytes; \d+ more would exceed max_decoded_queued=1$", str(refused))

        users.gate.set()
        if isinstance(users, AsyncUsers):
            users.release(1)
            users.release(3)
        assert one.values() == [1]
        two.call(WAIT, 3)
        assert two.values() == [3]


def test_the_limit_counts_the_calls_of_all_connections(server: Server, users: AsyncUsers) -> None:
    with Raw(server) as one, Raw(server) as two, Raw(server) as three:
        one.call(WAIT, 1)
        assert users.all_entered.acquire(timeout=TIMEOUT)
        two.call(WAIT, 2)
        assert users.all_entered.acquire(timeout=TIMEOUT)
        three.call(WAIT, 3)
        assert three.values()[0].code is ApplicationCode.LOADSHEDDING

        users.release(1)
        assert one.values() == [1]
        three.call(WAIT, 3)
        assert users.all_entered.acquire(timeout=TIMEOUT)
        users.release(3)
        assert three.values() == [3]
        users.release(2)
        assert two.values() == [2]


def test_calls_of_a_connection_that_was_lost_count_until_their_handlers_have_ended(
    server: Server, users: AsyncUsers
) -> None:
    with Raw(server) as lost:
        for number in (1, 2):
            lost.call(WAIT, number)
            assert users.all_entered.acquire(timeout=TIMEOUT)
    with Raw(server) as raw:
        raw.call(GET, 3)
        assert raw.values()[0].code is ApplicationCode.LOADSHEDDING
        users.release(1)
        users.release(2)

        def is_taken() -> bool:
            raw.call(GET, 3)
            return not isinstance(raw.values()[0], Exception)

        eventually(is_taken)


def test_plain_handlers_on_the_servers_own_thread_do_not_count(server: Server, users: AsyncUsers) -> None:
    with Raw(server, ANY_ORDER) as raw:
        for number in (1, 2):
            raw.call(WAIT, number)
        for _ in range(10):
            raw.call(PING)
            assert raw.values() == [None]
        users.release(1)
        users.release(2)
        raw.read(2)


def test_workers_count() -> None:
    users = Users()
    with serving(users, workers=5, max_in_flight=2) as server, Raw(server, ANY_ORDER) as raw:
        numbers = [raw.call(WAIT, number) for number in range(3)]
        (refused,) = raw.read()
        assert refused.number == numbers[2]
        assert refused.value.code is ApplicationCode.LOADSHEDDING
        assert "max_in_flight=2 is reached" in refused.value.message
        users.gate.set()
        raw.read(2)
        raw.call(GET, 1)
        assert raw.values()[0].id == 1


def test_a_oneway_call_over_the_limit_is_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    users = Users()
    with serving(users, workers=1, max_in_flight=1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        raw.call(POKE, 7)
        eventually(lambda: "dropped oneway call" in caplog.text)
        users.gate.set()
        assert raw.values() == [1]
    assert users.poked == []


# Connections.


def test_a_connection_over_the_limit_waits_until_another_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Users(), max_connections=2) as server:
        first, second = Raw(server), Raw(server)
        for raw in (first, second):
            raw.call(PING)
            assert raw.values() == [None]
        with Raw(server) as third:
            third.call(GET, 3)
            for _ in range(20):
                first.call(PING)
                first.read()
            third.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                third.socket.recv(1)

            third.socket.settimeout(TIMEOUT)
            second.socket.close()
            assert third.values()[0].id == 3
        first.socket.close()
    assert "reached max_connections=2" in caplog.text
    # It is the limit that held it up, not a system without descriptors.
    assert "cannot accept" not in caplog.text


def test_clients_over_the_connection_limit_are_served_in_turn() -> None:
    with serving(Users(), max_connections=3) as server:
        raws = [Raw(server) for _ in range(30)]
        for number, raw in enumerate(raws, 1):
            raw.call(JOIN, [str(number)], "")
        for number, raw in enumerate(raws, 1):
            with raw:
                assert raw.values() == [str(number)]


def test_one_connection_at_a_time_serves_many() -> None:
    with serving(Users(), max_connections=1) as server:
        for number in range(1, 30):
            with UserServiceClient.connect(server.address) as client:
                assert client.get(number).id == number


def test_a_stop_does_not_wait_for_those_that_wait() -> None:
    with serving(Users(), max_connections=1) as server, Raw(server) as first:
        first.call(PING)
        first.read()
        with Raw(server) as second:
            second.call(PING)
            with stopping(server):
                assert first.is_ended()
                assert second.is_ended()
