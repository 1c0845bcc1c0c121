"""One port for all dialects: whatever a client speaks, it is answered in kind, all at the same time."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest
from eventually import TIMEOUT
from hand_written import (
    GET,
    JOIN,
    POKE,
    AsyncUsers,
    AsyncUserServiceClient,
    NotFound,
    User,
    Users,
    UserServiceClient,
    connect_raw,
    dialects,
    user_service,
)

from idlrt.errors import ApplicationError
from idlrt.protocol.events import ResponseReceived
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.framing import Dialect
from idlrt.protocol.thrift.requests import ThriftResponse
from idlrt.server import Server

# Dialects that clients can choose: none offers to write old binary.
CHOICES = [tuple(name.split()) for name in dialects() if not name.endswith("old")]


@pytest.fixture(params=[Users, AsyncUsers], ids=["plain", "async"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(user_service(request.param())) as made:
        yield made.start()


@pytest.mark.parametrize(("framing", "protocol"), CHOICES)
def test_a_blocking_client(server: Server, framing: str, protocol: str) -> None:
    with UserServiceClient.connect(server.address, framing=framing, protocol=protocol, timeout=TIMEOUT) as client:
        assert client.get(1) == User(id=1, name="user 1")
        assert client.join(["ä", "b"], "-") == "ä-b"
        assert client.ping() is None  # type: ignore[func-returns-value]
        client.poke(5)
        assert client.blob(100_000) == b"x" * 100_000
        with pytest.raises(NotFound) as thrown:
            client.get(-1)
        assert thrown.value == NotFound(id=-1)
        with pytest.raises(ApplicationError, match="failed with ValueError"):
            client.get(0)


@pytest.mark.parametrize(("framing", "protocol"), CHOICES)
def test_an_asyncio_client(server: Server, framing: str, protocol: str) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(
            server.address, framing=framing, protocol=protocol, timeout=TIMEOUT
        ) as client:
            users = await asyncio.gather(*(client.get(number) for number in range(1, 100)))
            assert [user.id for user in users] == list(range(1, 100))
            with pytest.raises(NotFound):
                await client.get(-1)

    asyncio.run(main())


def test_all_at_once(server: Server) -> None:
    talks: list[tuple[ClientConnection, socket.socket]] = []
    for how in dialects().values():
        talks.append((ClientConnection(how), connect_raw(server.port)))
    for client, raw in talks:
        raw.settimeout(TIMEOUT)
        calls = [client.request(GET, (1,)), client.request(POKE, (2,)), client.request(JOIN, (["a", "b"], "+"))]
        raw.sendall(b"".join(data for _, data in calls))
    for client, raw in talks:
        assert [reply.result() for reply in replies(client, raw, 2)] == [User(id=1, name="user 1"), "a+b"]
        raw.close()


def replies(client: ClientConnection, raw: socket.socket, count: int) -> list[ResponseReceived]:
    found: list[ResponseReceived] = []
    while len(found) < count:
        data = raw.recv(65536)
        assert data
        for event in client.receive_data(data):
            assert isinstance(event, ResponseReceived)
            found.append(event)
    return found


def test_a_connection_with_a_header_changes_from_frame_to_frame(server: Server) -> None:
    spoken: list[Dialect] = [how for how in dialects().values() if how.framing.has_metadata]
    clients = [ClientConnection(how) for how in spoken]
    with connect_raw(server.port) as raw:
        raw.settimeout(TIMEOUT)
        for client in clients * 2:
            raw.sendall(client.request(GET, (3,))[1])
            (reply,) = replies(client, raw, 1)
            assert isinstance(reply, ThriftResponse)
            assert reply.dialect is client.dialect
            assert reply.result() == User(id=3, name="user 3")


def test_a_frame_that_cannot_be_opened_is_refused_and_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "idlrt.server")
    client = ClientConnection(dialects()["header binary"])
    number, good = client.request(GET, (3,))
    start = struct.pack(">HHiHBBBB", 0x0FFF, 0, number, 1, 0, 1, 9, 0)
    with connect_raw(server.port) as raw:
        raw.settimeout(TIMEOUT)
        raw.sendall(struct.pack(">I", len(start)) + start)
        (reply,) = replies(client, raw, 1)
        with pytest.raises(ApplicationError, match="unknown transform id 9"):
            reply.result()
        _, again = client.request(GET, (3,))
        raw.sendall(again)
        (reply,) = replies(client, raw, 1)
        assert reply.result() == User(id=3, name="user 3")
    assert len(again) == len(good)
    assert "unknown transform id 9" in caplog.text
