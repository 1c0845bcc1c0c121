"""Network faults: clients raise the right error class, other peers are unaffected, and service resumes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from fault_proxy import FaultProxy, proxied
from hand_written import AsyncUsers, AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, NotSent, Unknown
from idlrt.server import Server


class Counting(Users):
    """Counts what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[int] = []

    def get(self, id: int) -> Any:
        self.done.append(id)
        return super().get(id)


@pytest.fixture
def users() -> Counting:
    return Counting()


@pytest.fixture
def server(users: Counting) -> Iterator[Server]:
    with Server(user_service(users), drain_s=0.01, grace_s=0.5) as made:
        yield made.start()
        users.gate.set()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with proxied(server.port) as made:
        yield made


@pytest.fixture(params=["framed", "header"])
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_latency_only_takes_time(proxy: FaultProxy, framing: str) -> None:
    proxy.latency = 0.02
    with UserServiceClient.connect(proxy.address, framing=framing) as client:
        start = time.monotonic()
        assert client.get(1).id == 1
        assert time.monotonic() - start >= 0.04

    async def main() -> None:
        async with AsyncUserServiceClient.connect(proxy.address, framing=framing) as client:
            users = await asyncio.gather(*(client.get(number) for number in range(1, 100)))
            assert [user.id for user in users] == list(range(1, 100))

    asyncio.run(main())


def test_bytes_one_by_one(proxy: FaultProxy, framing: str) -> None:
    proxy.chunk = 1
    with UserServiceClient.connect(proxy.address, framing=framing, timeout=TIMEOUT) as client:
        for number in range(1, 5):
            assert client.get(number).id == number
        assert client.join(["x" * 2000, "y"], "") == "x" * 2000 + "y"

    async def main() -> None:
        async with AsyncUserServiceClient.connect(proxy.address, framing=framing, timeout=TIMEOUT) as client:
            users = await asyncio.gather(*(client.get(number) for number in range(1, 20)))
            assert [user.id for user in users] == list(range(1, 20))

    asyncio.run(main())


def test_a_black_hole_costs_the_calls_in_it(proxy: FaultProxy, users: Counting, framing: str) -> None:
    with UserServiceClient.connect(proxy.address, framing=framing) as client:
        assert client.get(1).id == 1
        proxy.is_silent = True
        with pytest.raises(DeadlineExceeded):
            client.using(timeout=0.1).get(2)
        proxy.is_silent = False
        assert client.get(3).id == 3

    async def main() -> None:
        async with AsyncUserServiceClient.connect(proxy.address, framing=framing) as client:
            assert (await client.get(4)).id == 4
            proxy.is_silent = True
            quick = client.using(timeout=0.1)
            found = await asyncio.gather(*(quick.get(number) for number in (5, 6)), return_exceptions=True)
            assert [type(each) for each in found] == [DeadlineExceeded] * 2
            proxy.is_silent = False
            assert (await client.get(7)).id == 7

    asyncio.run(main())
    assert {1, 3, 4, 7} <= set(users.done)
    assert len(users.done) == len(set(users.done))


def test_a_cut_while_waiting_is_a_lost_connection(proxy: FaultProxy, users: Counting, framing: str) -> None:
    with UserServiceClient.connect(proxy.address, framing=framing) as client:
        found: list[BaseException] = []

        def call() -> None:
            try:
                client.wait(1)
            except ConnectionLost as error:
                found.append(error)

        calling = threading.Thread(target=call)
        calling.start()
        assert users.entered.wait(TIMEOUT)
        proxy.cut()
        calling.join(TIMEOUT)
        assert len(found) == 1
        users.gate.set()
        assert client.get(1).id == 1


@pytest.mark.parametrize("after", [0, 1, 3, 4, 10, 20])
def test_an_answer_that_is_cut_off_is_a_lost_connection(
    proxy: FaultProxy, users: Counting, framing: str, after: int
) -> None:
    proxy.cut_after = after
    with UserServiceClient.connect(proxy.address, framing=framing) as client:
        with pytest.raises(ConnectionLost):
            client.get(1)
        proxy.cut_after = None
        assert client.get(2).id == 2

    async def main() -> None:
        proxy.cut_after = after
        async with AsyncUserServiceClient.connect(proxy.address, framing=framing) as client:
            # Those behind it had not been answered either.
            found = await asyncio.gather(*(client.get(number) for number in (3, 4)), return_exceptions=True)
            assert [type(each) for each in found] == [ConnectionLost] * 2
            proxy.cut_after = None
            assert (await client.get(5)).id == 5

    asyncio.run(main())
    # Nothing was ever sent twice; what was sent with 3 may have been cut off on its way.
    assert len(users.done) == len(set(users.done))
    assert {1, 2, 3, 5} <= set(users.done)


def test_idle_connections_that_were_cut_are_not_used(proxy: FaultProxy, users: Counting, framing: str) -> None:
    with UserServiceClient.connect(proxy.address, framing=framing) as client:
        for number in range(1, 10):
            assert client.get(number).id == number
            proxy.cut()
            eventually(lambda: not proxy.connections)
    assert users.done == list(range(1, 10))


def test_a_call_on_a_refused_connection_is_not_executed(proxy: FaultProxy, users: Counting) -> None:
    proxy.is_refusing = True
    with UserServiceClient.connect(proxy.address) as client:
        # The connection is made and then cut: whether the call was on its way by then is a matter of microseconds.
        with pytest.raises((NotSent, Unknown)):
            client.get(1)
        proxy.is_refusing = False
        assert client.get(2).id == 2
    assert users.done == [2]


def test_calls_fail_when_no_server_listens(server: Server, proxy: FaultProxy) -> None:
    server.stop()
    with (
        UserServiceClient.connect(server.address) as client,
        pytest.raises(ConnectFailed),
    ):
        client.get(1)
    with (
        UserServiceClient.connect(proxy.address) as client,
        pytest.raises((NotSent, Unknown)),
    ):
        client.get(1)


def test_a_server_forgets_clients_that_were_cut_off(server: Server, proxy: FaultProxy) -> None:
    for _ in range(20):
        with UserServiceClient.connect(proxy.address) as client:
            client.get(1)
            proxy.cut()
    eventually(lambda: server.connections == 0)


def test_async_handlers_of_cut_connections_end_in_nothing() -> None:
    users = AsyncUsers()
    with Server(user_service(users), drain_s=0.01, grace_s=0.5) as server:
        server.start()
        with proxied(server.port) as proxy:

            async def main() -> None:
                async with AsyncUserServiceClient.connect(proxy.address) as client:
                    calls = [asyncio.ensure_future(client.wait(number)) for number in range(5)]
                    for _ in range(5):
                        await asyncio.to_thread(users.all_entered.acquire, timeout=TIMEOUT)
                    proxy.cut()
                    found = await asyncio.gather(*calls, return_exceptions=True)
                    assert [type(each) for each in found] == [ConnectionLost] * 5

            asyncio.run(main())
        eventually(lambda: server.connections == 0)
        for number in range(5):
            users.release(number)
        with UserServiceClient.connect(server.address) as client:
            assert client.get(1).id == 1
        eventually(lambda: server.in_flight == 0)
