"""Protocols that carry one call at a time on a connection, with every kind of client."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from eventually import TIMEOUT
from hand_written import (
    AsyncUsers,
    AsyncUserServiceClient,
    User,
    UserServiceClient,
    connect_raw,
    read_to_end,
    scripted_server,
    user_service,
)
from kinds import Caller, Kind, Running

from idlrt import AsyncServer, Server
from idlrt.client import client_stats
from idlrt.errors import DeadlineExceeded
from idlrt.serialization import Limits

# More than a moment.
pytestmark = pytest.mark.slow

CLIENTS = ("blocking", "shared", "asyncio")


async def at_once(count: int, **options: Any) -> tuple[int, list[int]]:
    """Make calls that all wait: how many connections they take, and their results."""
    handler = AsyncUsers()
    async with AsyncServer(user_service(handler), "127.0.0.1:0", drain_s=0) as server:
        target = server.address
        async with AsyncUserServiceClient.connect(target, timeout=TIMEOUT, **options) as client:
            calls = [asyncio.create_task(client.wait(number)) for number in range(count)]
            async with asyncio.timeout(TIMEOUT):
                while client_stats(client).in_flight < min(count, 16):
                    await asyncio.sleep(0)
            for number in range(count):
                handler.release(number)
            results = await asyncio.gather(*calls)
            return client_stats(client).connections, results


@pytest.mark.parametrize(
    ("options", "connections"),
    [({"protocol": "lines"}, 16), ({"framing": "framed"}, 1), ({"framing": "framed", "calls_per_connection": 20}, 1)],
    ids=["lines", "framed", "framed 20"],
)
def test_asyncio_clients_open_connections_as_the_protocol_needs_them(options: Any, connections: int) -> None:
    assert asyncio.run(at_once(20, **options)) == (connections, list(range(20)))


def test_max_connections_overrides_the_default() -> None:
    async def main() -> None:
        async with AsyncServer(user_service(AsyncUsers()), "127.0.0.1:0", drain_s=0) as server:
            options: Any = {"protocol": "lines", "max_connections": 2, "timeout": TIMEOUT}
            async with AsyncUserServiceClient.connect(server.address, **options) as client:
                users = await asyncio.gather(*(client.get(number) for number in range(1, 30)))
                assert [user.id for user in users] == list(range(1, 30))
                assert client_stats(client).connections == 2

    asyncio.run(main())


def test_a_cancelled_call_leaves_no_response_to_the_next() -> None:
    async def main() -> None:
        handler = AsyncUsers()
        async with AsyncServer(user_service(handler), "127.0.0.1:0", drain_s=0) as server:
            options: Any = {"protocol": "lines", "max_connections": 1, "timeout": TIMEOUT}
            async with AsyncUserServiceClient.connect(server.address, **options) as client:
                call = asyncio.create_task(client.wait(1))
                await asyncio.to_thread(handler.entered.wait, TIMEOUT)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert await client.get(2) == User(id=2, name="user 2")
                handler.release(1)

    asyncio.run(main())


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_call_that_times_out_leaves_no_response_to_the_next(kind: str) -> None:
    handler = AsyncUsers()
    with Server(user_service(handler), "127.0.0.1:0", drain_s=0) as server:
        server.start()
        client = Caller(kind, Running(Kind("selector"), server.address, None, server.stop), protocol="lines")
        with pytest.raises(DeadlineExceeded):
            client.call("wait", 1, timeout=0.1)
        assert client.call("get", 2) == User(id=2, name="user 2")
        handler.release(1)
        client.close()


def answers(line: bytes) -> Any:
    """A script of a server that answers one line, in one piece."""

    def script(raw: socket.socket) -> None:
        received = b""
        while not received.endswith(b"\n"):
            received += raw.recv(4096)
        raw.sendall(line)
        read_to_end(raw)

    return script


@pytest.mark.parametrize("kind", CLIENTS)
def test_events_after_a_response_are_handled(kind: str) -> None:
    """The server closes the connection with the response, so the next call gets another one."""
    good = b'ok {"0":{"str":"%s"}}\n'
    with scripted_server(answers(good % b"a" + b'bye "that was all"\n'), answers(good % b"b")) as target:
        client = Caller(kind, Running(Kind("selector"), target, None, lambda: None), protocol="lines")
        assert client.call("join", ["x"], "") == "a"
        assert client.call("join", ["x"], "") == "b"
        client.close()


def test_the_error_tells_why_the_server_closed() -> None:
    with Server(user_service(AsyncUsers()), "127.0.0.1:0", limits=Limits(max_message=100)) as server:
        server.start()
        with connect_raw(server.port) as raw:
            raw.settimeout(TIMEOUT)
            raw.sendall(b"ping\nask get " + b"x" * 200)
            assert read_to_end(raw) == b'pong\nbye "a line has more than 100 bytes, the limit"\n'


def test_the_name_of_the_protocol_is_a_scheme() -> None:
    with Server(user_service(AsyncUsers()), "127.0.0.1:0", drain_s=0) as server:
        server.start()
        with UserServiceClient.connect(f"lines://127.0.0.1:{server.port}", timeout=TIMEOUT) as client:
            assert client.get(1).name == "user 1"
