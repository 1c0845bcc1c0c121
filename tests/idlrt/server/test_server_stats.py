"""Statistics of servers: connections, calls in flight, unsent bytes, draining."""

from __future__ import annotations

import asyncio
import threading

from eventually import eventually, eventually_async
from hand_written import BLOB, AsyncUsers, AsyncUserServiceClient, Users, connect_raw, requests, user_service

from idlrt import AsyncServer, Server


def test_stats_of_an_idle_server() -> None:
    with Server(user_service(Users())) as server:
        assert (server.connections, server.in_flight, server.unsent_bytes) == (0, 0, 0)
        assert not server.is_draining
        assert not server.wait(0)
    assert server.wait(0), "it is stopped"


def test_bytes_that_a_peer_does_not_read() -> None:
    size = 8 << 20
    with Server(user_service(Users())).start() as server, connect_raw(server.port) as raw:
        raw.sendall(requests((BLOB, (size,))))
        eventually(lambda: 0 < server.unsent_bytes < size, "the answer is larger than the kernel's buffers")
        left = size
        while left > 0:
            left -= len(raw.recv(1 << 20))
        assert eventually(lambda: server.unsent_bytes == 0)
        assert server.connections == 1
    assert server.connections == 0


def test_draining_and_the_end() -> None:
    with Server(user_service(Users()), drain_s=3600).start() as server, connect_raw(server.port):
        assert eventually(lambda: server.connections == 1)
        stopping = threading.Thread(target=server.stop, args=(0.0,))
        stopping.start()
        assert eventually(lambda: server.is_draining)
        assert not server.wait(0), "a connection is open"
    # Leaving the `with` closed the connection first, which ends the drain.
    assert server.wait(60)
    stopping.join(60)


async def _async_server() -> None:
    users = AsyncUsers()
    async with AsyncServer(user_service(users), drain_s=0.0) as server:
        assert (server.connections, server.in_flight, server.unsent_bytes) == (0, 0, 0)
        async with AsyncUserServiceClient.connect(server.address, timeout=60) as client:
            calls = [asyncio.create_task(client.wait(number)) for number in range(3)]
            assert await eventually_async(lambda: server.in_flight == 3)
            assert server.connections == 1
            for number in range(3):
                users.release(number)
            assert await asyncio.gather(*calls) == [0, 1, 2]
            assert server.in_flight == 0
        assert not server.is_draining
        assert await eventually_async(lambda: server.connections == 0)
    assert server.is_draining


def test_an_asyncio_server() -> None:
    asyncio.run(_async_server())
