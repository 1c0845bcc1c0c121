"""THeader between Apache's library and ours, both ways, over real sockets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from apache_users import ApacheUsers, answer, apache_server, apache_socket, call
from eventually import TIMEOUT
from hand_written import AsyncUserServiceClient, User, Users, UserServiceClient, user_service
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID, THeaderTransformID

import idlrt
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.server import Server

NUMBERS = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}
EVERYBODY = (
    THeaderClientType.HEADERS,
    THeaderClientType.FRAMED_BINARY,
    THeaderClientType.UNFRAMED_BINARY,
    THeaderClientType.FRAMED_COMPACT,
    THeaderClientType.UNFRAMED_COMPACT,
)


class Telling(Users):
    """Names users after the metadata that came."""

    def get(self, id: int) -> User | None:
        return User(id=id, name=repr(sorted(idlrt.request_metadata().items())))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(user_service(Telling())) as made:
        yield made.start()


def header(transport: Any, protocol: str = "binary") -> THeaderProtocol:
    return THeaderProtocol(transport, (THeaderClientType.HEADERS,), NUMBERS[protocol])


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "zlib"])
@pytest.mark.parametrize("protocol", NUMBERS)
def test_apaches_client_calls_our_server(server: Server, protocol: str, is_compressed: bool) -> None:
    raw = apache_socket(server.port)
    spoken = header(raw, protocol)
    if is_compressed:
        spoken.add_transform(THeaderTransformID.ZLIB)
    for number in range(1, 4):
        spoken.set_header(b"tenant", b"%d" % number)
        spoken.set_header("zone ä".encode(), b"")
        call(spoken, "poke", 100 + number, number)
        spoken.set_header(b"tenant", b"%d" % number)
        call(spoken, "get", number, 70 + number)
        name, got, user = answer(spoken)
        assert (name, got) == ("get", number)
        assert user == User(id=70 + number, name=f"[('tenant', '{number}')]")
        assert spoken.trans.sequence_id == number
        assert spoken.trans.protocol_id == NUMBERS[protocol]
    raw.close()


def test_apaches_client_hears_our_refusal(server: Server) -> None:
    raw = apache_socket(server.port)
    spoken = header(raw)
    call(spoken, "unheard_of", 1, 1)
    with pytest.raises(ApplicationError, match="unknown method 'unheard_of' of UserService") as caught:
        answer(spoken)
    assert caught.value.code is ApplicationCode.UNKNOWN_METHOD
    call(spoken, "get", 2, 5)
    assert answer(spoken)[2].id == 5
    raw.close()


@pytest.mark.parametrize("transform", [2, 3])
def test_apaches_client_hears_that_a_transform_is_unknown(server: Server, transform: int) -> None:
    raw = apache_socket(server.port)
    spoken = header(raw)
    start = struct.pack(">HHiHBBBB", 0x0FFF, 0, 1, 1, 0, 1, transform, 0)
    raw.write(struct.pack(">I", len(start) + 4) + start + b"????")
    with pytest.raises(ApplicationError, match=f"unknown transform id {transform}") as caught:
        answer(spoken)
    assert caught.value.code is ApplicationCode.INVALID_TRANSFORM
    call(spoken, "get", 2, 5)
    assert answer(spoken)[2].id == 5
    raw.close()


class Recording(ApacheUsers):
    """Remembers the headers that came, and sends some with its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[bytes, bytes]] = []

    def process(self, iprot: Any, oprot: Any) -> None:
        oprot.set_header(b"load", b"3")
        super().process(iprot, oprot)
        self.headers.append(iprot.get_headers())


@pytest.mark.parametrize("protocol", NUMBERS)
@pytest.mark.parametrize("framing", ["header", "header_zlib"])
def test_our_client_calls_apaches_server(framing: str, protocol: str) -> None:
    users = Recording()
    with (
        apache_server(users, header) as address,
        UserServiceClient.connect(address, framing=framing, protocol=protocol, timeout=TIMEOUT) as client,
    ):
        tagged = client.using(metadata={"tenant": "7", "ä": "ö"})
        assert tagged.get(1) == User(id=1, name="user 1")
        assert client.get(2) == User(id=2, name="user 2")
        with pytest.raises(ApplicationError, match="Unknown function ping"):
            client.ping()
    timeouts = [int(headers.pop(b"client_timeout")) for headers in users.headers[:2]]
    assert all(0 < timeout <= TIMEOUT * 1000 for timeout in timeouts)
    assert users.headers[:2] == [{b"tenant": b"7", "ä".encode(): "ö".encode()}, {}]


def test_our_asyncio_client_calls_apaches_server() -> None:
    async def main(address: str) -> list[User]:
        async with AsyncUserServiceClient.connect(address, framing="header", protocol="compact") as client:
            return await asyncio.gather(*(client.get(number) for number in range(20)))

    with apache_server(Recording(), header) as address:
        assert [user.id for user in asyncio.run(main(address))] == list(range(20))


@pytest.mark.parametrize("protocol", NUMBERS)
@pytest.mark.parametrize("framing", ["framed", "header"])
def test_apaches_server_of_many_dialects(framing: str, protocol: str) -> None:
    def make(transport: Any) -> THeaderProtocol:
        return THeaderProtocol(transport, EVERYBODY)

    with (
        apache_server(ApacheUsers(), make) as address,
        UserServiceClient.connect(address, framing=framing, protocol=protocol) as client,
    ):
        assert client.get(1) == User(id=1, name="user 1")
        assert client.get(2) == User(id=2, name="user 2")
