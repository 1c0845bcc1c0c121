"""Connection pool of asyncio clients: number of connections, order of waiting calls, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from eventually import eventually_async
from fault_proxy import proxied
from free_ports import free_port
from hand_written import AsyncUsers, AsyncUserServiceClient, user_service

from idlrt.client import client_stats
from idlrt.errors import ConfigurationError, ConnectFailed, ConnectionLost, NotSent, Overloaded
from idlrt.server import Server

# Seconds; long enough that a test which waits for it has failed.
NEVER = 3600.0


@pytest.fixture
def users() -> AsyncUsers:
    return AsyncUsers()


@pytest.fixture
def server(users: AsyncUsers) -> Iterator[Server]:
    with Server(user_service(users), grace_s=0.1) as made:
        yield made.start()


def connect(server: Server, **settings: Any) -> AsyncUserServiceClient:
    return AsyncUserServiceClient.connect(server.address, **{"timeout": 60, "calls_per_connection": 1, **settings})


async def entered(users: AsyncUsers, count: int) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(users.all_entered.acquire, timeout=60)


async def waiting(client: AsyncUserServiceClient, count: int) -> None:
    """Wait until this number of calls of `client` wait for a connection."""
    await eventually_async(lambda: client_stats(client).waiting == count, f"{count} calls wait")


@asynccontextmanager
async def under_way(users: AsyncUsers, calls: dict[int, Coroutine[Any, Any, Any]]) -> AsyncIterator[None]:
    """Tasks of calls that the server works on."""
    tasks = [asyncio.ensure_future(call) for call in calls.values()]
    await entered(users, len(tasks))
    yield
    for number in calls:
        users.release(number)
    await asyncio.gather(*tasks, return_exceptions=True)


def test_each_call_has_a_connection(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with (
            connect(server, max_connections=8) as client,
            under_way(users, {number: client.wait(number) for number in range(4)}),
        ):
            # A server that answers in order holds up none of the others.
            assert (await client.get(1)).id == 1
            assert server.connections == 5

    asyncio.run(main())


def test_connections_are_reused(server: Server) -> None:
    async def main() -> None:
        async with connect(server, max_connections=4) as client:
            for _ in range(20):
                await asyncio.gather(*[client.get(number + 1) for number in range(4)])
            assert server.connections == 4

    asyncio.run(main())


def test_connections_are_added_only_when_all_are_full(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with (
            connect(server, max_connections=3, calls_per_connection=2, framing="header") as client,
            under_way(users, {number: client.wait(number) for number in range(5)}),
        ):
            assert server.connections == 3

    asyncio.run(main())


def test_calls_without_a_connection_wait_in_order(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        order: list[int] = []

        async def get(client: AsyncUserServiceClient, number: int) -> None:
            await client.get(number)
            order.append(number)

        async with connect(server, max_connections=1) as client:
            async with under_way(users, {0: client.wait(0)}):
                others = [asyncio.ensure_future(get(client, number + 1)) for number in range(10)]
                await waiting(client, 10)
                assert not order
            await asyncio.gather(*others)
            assert order == list(range(1, 11))
            assert server.connections == 1

    asyncio.run(main())


def test_a_call_that_gets_no_connection_in_time_fails(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with (
            connect(server, max_connections=2) as client,
            under_way(users, {number: client.wait(number) for number in range(2)}),
        ):
            with pytest.raises(
                Overloaded, match=r"cannot send UserService\.get at .* within 0\.05 s: all 2 conn.*raise max_c"
            ):
                await client.using(timeout=0.05).get(1)

    asyncio.run(main())


def test_a_cancelled_waiting_call_does_not_affect_others(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with connect(server, max_connections=1) as client:
            async with under_way(users, {0: client.wait(0)}):
                others = [asyncio.ensure_future(client.get(number + 1)) for number in range(6)]
                await waiting(client, 6)
                for number in (0, 2, 5):
                    others[number].cancel()
            found = await asyncio.gather(*others, return_exceptions=True)
            assert [each.id if not isinstance(each, BaseException) else None for each in found if each] == [
                None, 2, None, 4, 5, None,
            ]  # fmt: skip

    asyncio.run(main())


def test_a_connection_granted_to_a_cancelled_call_goes_to_the_next(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with connect(server, max_connections=1) as client:
            first = asyncio.ensure_future(client.wait(0))
            await entered(users, 1)
            second, third = asyncio.ensure_future(client.get(2)), asyncio.ensure_future(client.get(3))
            await waiting(client, 2)
            # The second is woken and cancelled in the same round of the loop.
            first.add_done_callback(lambda _: second.cancel())
            users.release(0)
            assert (await third).id == 3
            assert (await asyncio.gather(second, return_exceptions=True)) != [None]

    asyncio.run(main())


def test_a_cancelled_call_releases_its_connection(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        async with connect(server, max_connections=1, framing="header") as client:
            for number in range(3):
                task = asyncio.ensure_future(client.wait(number))
                await entered(users, 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (await client.get(7)).id == 7
            assert server.connections == 1

    asyncio.run(main())


def test_a_refused_connection_fails_all_waiting_calls() -> None:
    port = free_port()

    async def main() -> None:
        client = AsyncUserServiceClient.connect(
            f"127.0.0.1:{port}", timeout=NEVER, max_connections=2, calls_per_connection=1
        )
        async with client:
            found = await asyncio.gather(*[client.get(number) for number in range(50)], return_exceptions=True)
        assert [type(each) for each in found] == [ConnectFailed] * 50

    asyncio.run(main())


def test_closing_fails_waiting_calls(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        client = connect(server, max_connections=1, timeout=NEVER)
        first = asyncio.ensure_future(client.wait(0))
        await entered(users, 1)
        others = [asyncio.ensure_future(client.get(1)) for _ in range(3)]
        await waiting(client, 3)
        await client.close()
        found = await asyncio.gather(*others, return_exceptions=True)
        assert [type(each) for each in found] == [NotSent] * 3
        with pytest.raises(Exception, match="lost the connection"):
            await first

    asyncio.run(main())


def test_a_lost_connection_is_replaced_for_waiting_calls(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        client = AsyncUserServiceClient.connect(proxy.address, timeout=NEVER, max_connections=1, calls_per_connection=1)
        async with client:
            first = asyncio.ensure_future(client.wait(0))
            await entered(users, 1)
            others = [asyncio.ensure_future(client.get(number + 1)) for number in range(3)]
            await waiting(client, 3)
            await asyncio.to_thread(proxy.cut)
            assert [user.id for user in await asyncio.gather(*others)] == [1, 2, 3]
            with pytest.raises(ConnectionLost):
                await first

    with proxied(server.port) as proxy:
        asyncio.run(main())


@pytest.mark.parametrize("name", ["max_connections", "calls_per_connection"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "4"])
def test_wrong_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 1"):
        AsyncUserServiceClient.connect("127.0.0.1:1", **{name: value})
