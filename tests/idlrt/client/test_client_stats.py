"""Statistics of clients: connections, calls in flight, calls that wait, endpoints."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventually import eventually, eventually_async
from free_ports import free_port
from hand_written import AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service

from idlrt import ClientStats, Server, client_stats
from idlrt.core import Instance
from idlrt.registry import Registry
from idlrt.testing import connected

SERVICE = "UserService"


@pytest.fixture
def unused_port() -> int:
    return free_port()


class Gated(Users):
    """`get` waits until `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def get(self, id: int) -> User | None:
        self.gate.wait(60)
        return super().get(id)


def stats_if(client: Any, is_so: Callable[[ClientStats], bool]) -> ClientStats | None:
    found = client_stats(client)
    return found if is_so(found) else None


@pytest.fixture
def gated() -> Iterator[Gated]:
    users = Gated()
    yield users
    users.gate.set()


@pytest.mark.parametrize(
    ("options", "connections", "waiting"),
    [({"max_connections": 2}, 2, 3), ({"max_connections": 1, "calls_per_connection": 3}, 1, 2)],
    ids=["a connection for each call", "shared connections"],
)
def test_a_blocking_client(gated: Gated, options: dict[str, Any], connections: int, waiting: int) -> None:
    with Server(user_service(gated), workers=4) as server:
        server.start()
        with (
            UserServiceClient.connect(server.address, timeout=60, **options) as client,
            ThreadPoolExecutor(5) as threads,
        ):
            assert client_stats(client).connections == 0
            calls = [threads.submit(client.get, number + 1) for number in range(5)]
            found = eventually(lambda: stats_if(client, lambda each: each.waiting == waiting), "all have come")
            assert (found.connections, found.in_flight) == (connections, 5 - waiting)
            (endpoint,) = found.endpoints
            assert endpoint.id == endpoint.address == f"127.0.0.1:{server.port}"
            assert (endpoint.connections, endpoint.in_flight, endpoint.waiting) == (connections, 5 - waiting, waiting)
            assert eventually(lambda: server.in_flight == 5 - waiting, "the server has what was sent")
            assert server.connections == connections
            gated.gate.set()
            assert [call.result(60).id for call in calls] == [1, 2, 3, 4, 5]
            after = client_stats(client.using(timeout=60))
            assert (after.connections, after.in_flight, after.waiting) == (connections, 0, 0)
            assert eventually(lambda: server.in_flight == 0, "all are answered")
        assert client_stats(client).connections == 0
        assert eventually(lambda: server.connections == 0, "the connections are closed")


async def _calls_of_an_asyncio_client(address: str, users: AsyncUsers) -> None:
    async with AsyncUserServiceClient.connect(address, timeout=60, calls_per_connection=2) as client:
        calls = [asyncio.create_task(client.wait(number)) for number in range(5)]
        found = await eventually_async(lambda: stats_if(client, lambda each: each.in_flight == 2), "two are sent")
        assert (found.connections, found.waiting) == (1, 3)
        for id in range(5):
            users.release(id)
        assert await asyncio.gather(*calls) == [0, 1, 2, 3, 4]
        assert (client_stats(client).in_flight, client_stats(client).waiting) == (0, 0)
    assert client_stats(client).connections == 0


def test_an_asyncio_client() -> None:
    users = AsyncUsers()
    with Server(user_service(users)) as server:
        server.start()
        asyncio.run(_calls_of_an_asyncio_client(server.address, users))


def test_endpoints_of_a_registered_service() -> None:
    with Server(user_service(Users())) as server, Registry.connect("memory://client-stats") as registry:
        server.start()
        registry.register(Instance(service=SERVICE, host="127.0.0.1", port=server.port, id="b")).wait()
        registry.register(Instance(service=SERVICE, host="127.0.0.1", port=server.port, id="a")).wait()
        with UserServiceClient.connect(f"memory://client-stats/{SERVICE}?balancer=round_robin", timeout=60) as client:
            client.get(1), client.get(2)
            found = client_stats(client)
            assert [each.id for each in found.endpoints] == ["a", "b"]
            assert {each.address for each in found.endpoints} == {f"127.0.0.1:{server.port}"}
            assert [each.connections for each in found.endpoints] == [1, 1]
            assert all(each.is_available for each in found.endpoints)
            assert found.connections == 2
            assert found.snapshot is not None
            assert {each.id for each in found.snapshot.instances} == {"a", "b"}


def test_an_endpoint_that_cannot_be_reached_is_not_available(unused_port: int) -> None:
    with Server(user_service(Users())) as server, Registry.connect("memory://client-stats-dead") as registry:
        server.start()
        registry.register(Instance(service=SERVICE, host="127.0.0.1", port=server.port, id="alive")).wait()
        registry.register(Instance(service=SERVICE, host="127.0.0.1", port=unused_port, id="dead")).wait()
        target = f"memory://client-stats-dead/{SERVICE}?balancer=round_robin"
        with UserServiceClient.connect(target, heartbeat=None, timeout=60) as client:
            for number in range(4):
                client.get(number + 1)
            assert {each.id: each.is_available for each in client_stats(client).endpoints} == {
                "alive": True,
                "dead": False,
            }


def test_a_client_without_a_network() -> None:
    with connected(UserServiceClient, user_service(Users()), timeout=60) as client:
        client.get(1)
        (endpoint,) = client_stats(client).endpoints
        assert (endpoint.address, endpoint.connections, endpoint.in_flight) == ("memory", 1, 0)
