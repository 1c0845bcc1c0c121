"""Idle connections are pinged before a call is sent over them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hand_written import GET, SERVICE, AsyncUserServiceClient, User, UserServiceClient

from idlrt.client.ping import ping_before
from idlrt.core import Call, Deadline
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError, ConnectFailed, DeadlineExceeded
from idlrt.protocol.events import RequestReceived
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.sniff import detector
from idlrt.testing import FakeDriver

# Shorter than any connection has been idle.
AT_ONCE = 1e-9
# Seconds; a test that waits this long has failed.
NEVER = 3600.0


class Mortal:
    """A server whose connections can die without a word: they read and never answer again.

    Attributes:
        calls: the names of what was called, by connection.
    """

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.dead: set[int] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets: list[socket.socket] = []
        self._threads[0].start()

    @property
    def used(self) -> list[list[str]]:
        """`calls` without a ping at the beginning: whether a new connection has been idle is a matter of chance."""
        return [each[1:] if each[:1] == ["idlrt_ping"] else each for each in self.calls]

    @property
    def gets(self) -> list[int]:
        """Number of the connection of each `get`."""
        return sorted(number for number, calls in enumerate(self.calls) for name in calls if name == "get")

    def kill_all(self) -> None:
        self.dead.update(range(len(self.calls)))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                self.calls.append([])
                self._sockets.append(accepted)
                thread = threading.Thread(target=self._serve, args=(accepted, len(self.calls) - 1))
                self._threads.append(thread)
                thread.start()

    def _serve(self, raw: socket.socket, index: int) -> None:
        connection = ServerConnection(detector(), SERVICE.methods)
        with raw, contextlib.suppress(OSError):
            while data := raw.recv(65536):
                for event in connection.receive_data(data):
                    assert isinstance(event, RequestReceived)
                    self.calls[index].append(event.key)
                    if index in self.dead:
                        continue
                    if event.method is None:
                        refusal = ApplicationError("unknown method", ApplicationCode.UNKNOWN_METHOD)
                        raw.sendall(connection.refuse(event, refusal))
                    else:
                        raw.sendall(connection.respond(event, User(id=connection.arguments(event)[0][0])))

    def close(self) -> None:
        for each in [self._listening, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[Mortal]:
    made = Mortal()
    yield made
    made.close()


Calls = Callable[..., "Made"]


class Made:
    """A client of any kind, called from a plain test."""

    def __init__(self, kind: str, address: str, **options: Any) -> None:
        self._runner: asyncio.Runner | None = None
        self._client: Any
        if kind == "asyncio":
            self._runner = asyncio.Runner()
            self._client = AsyncUserServiceClient.connect(address, **options)
        else:
            calls = 8 if kind == "shared" else 1
            self._client = UserServiceClient.connect(address, calls_per_connection=calls, **options)

    def get(self, id: int, **options: Any) -> int:
        client = self._client.using(**options) if options else self._client
        found: User = client.get(id) if self._runner is None else self._runner.run(self._get(client, id))
        return found.id

    async def _get(self, client: AsyncUserServiceClient, id: int) -> User:
        return await client.get(id)

    def close(self) -> None:
        if self._runner is None:
            self._client.close()
        else:
            self._runner.run(self._client.close())
            self._runner.close()


@pytest.fixture(params=["pooled", "shared", "asyncio"])
def connect(request: pytest.FixtureRequest, server: Mortal) -> Iterator[Calls]:
    made: list[Made] = []

    def make(**options: Any) -> Made:
        made.append(Made(request.param, server.address, **{"timeout": 60, "ping_timeout": NEVER, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_connection_in_use_is_not_pinged(server: Mortal, connect: Calls) -> None:
    client = connect(ping_after=NEVER)
    assert [client.get(number) for number in range(1, 6)] == list(range(1, 6))
    assert server.calls == [["get"] * 5]


def test_an_idle_connection_is_pinged_and_reused(server: Mortal, connect: Calls) -> None:
    client = connect(ping_after=AT_ONCE)
    for number in range(1, 4):
        assert client.get(number) == number
    assert server.used == [["get", "idlrt_ping", "get", "idlrt_ping", "get"]]


def test_a_call_is_not_sent_after_a_ping_without_response(server: Mortal, connect: Calls) -> None:
    client = connect(ping_after=AT_ONCE, ping_timeout=0.05)
    assert client.get(1) == 1
    (dead,) = server.gets
    server.kill_all()
    assert client.get(2) == 2
    assert server.calls[dead][-2:] == ["get", "idlrt_ping"]
    assert len(server.gets) == 2
    assert server.gets.count(dead) == 1


@pytest.mark.parametrize(
    ("remaining", "ping_timeout", "expected"), [(4.0, 1.0, 1.0), (1.0, 1.0, 0.5), (-1.0, 1.0, 0.0)]
)
def test_a_ping_takes_no_more_than_half_of_the_remaining_time_of_its_call(
    remaining: float, ping_timeout: float, expected: float
) -> None:
    driver = FakeDriver(100.0)
    ping = ping_before(Call(GET, (1,), "nowhere", Deadline(100.0 + remaining, 9.0), driver), ping_timeout)
    assert (ping.deadline.at, ping.deadline.timeout) == (100.0 + expected, expected)
    assert ping.target == "nowhere"


def test_without_pings_the_call_is_lost(server: Mortal, connect: Calls) -> None:
    client = connect(ping_after=None)
    assert client.get(1) == 1
    server.kill_all()
    with pytest.raises(DeadlineExceeded):
        client.get(2, timeout=0.05)
    assert client.get(3) == 3
    assert server.calls == [["get", "get"], ["get"]]


def test_a_server_that_has_stopped(server: Mortal, connect: Calls) -> None:
    client = connect(ping_after=AT_ONCE)
    assert client.get(1) == 1
    server.close()
    with pytest.raises(ConnectFailed):
        client.get(2)


def test_threads_do_not_use_a_connection_that_is_being_pinged(server: Mortal) -> None:
    with UserServiceClient.connect(
        server.address, calls_per_connection=8, max_connections=2, ping_after=AT_ONCE, ping_timeout=0.2, timeout=60
    ) as client:
        client.get(1)
        server.kill_all()
        found: list[int] = []

        def get(number: int) -> None:
            user = client.get(number)
            assert user is not None
            found.append(user.id)

        threads = [threading.Thread(target=get, args=(number,)) for number in range(1, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert server.calls[0] == ["get", "idlrt_ping"]
    assert len(server.gets) == 6


def test_tasks_do_not_use_a_connection_that_is_being_pinged(server: Mortal) -> None:
    dead: list[int] = []

    async def main() -> list[int]:
        async with AsyncUserServiceClient.connect(
            server.address, ping_after=AT_ONCE, ping_timeout=0.05, timeout=60
        ) as client:
            await client.get(1)
            dead.extend(server.gets)
            server.kill_all()
            return [user.id for user in await asyncio.gather(*[client.get(number) for number in range(1, 6)])]

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]
    assert server.calls[dead[0]][-2:] == ["get", "idlrt_ping"]
    assert len(server.gets) == 6
    assert server.gets.count(dead[0]) == 1


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), "1"])
def test_an_invalid_duration_is_rejected(seconds: Any) -> None:
    for kind in (UserServiceClient, AsyncUserServiceClient):
        with pytest.raises(ConfigurationError, match="ping_after must be between 1e-09 and 2000000 seconds"):
            kind.connect("127.0.0.1:1", ping_after=seconds)
        with pytest.raises(ConfigurationError, match="ping_timeout must be between 1e-09 and 2000000 seconds"):
            kind.connect("127.0.0.1:1", ping_timeout=seconds)
