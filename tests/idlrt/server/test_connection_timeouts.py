"""Connection timeouts on real sockets: idle connections, partial messages, responses that the client does not read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from by_hand import ANY_ORDER, FRAMED, Raw, serving
from eventually import TIMEOUT, eventually, eventually_async
from hand_written import (
    BLOB,
    GET,
    JOIN,
    PING,
    WAIT,
    AsyncUsers,
    AsyncUserServiceClient,
    Users,
    UserServiceClient,
    read_to_end,
)

from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.framing import Dialect

# Timeouts of real time, which have to expire here. What must not expire is tested with a clock of the test: in
# `test_patience.py`, `test_session.py` and `test_channel.py`.
pytestmark = pytest.mark.slow

# More than the kernels on both sides take.
LARGE = 15_000_000

# Idle ones.


def test_an_idle_connection_is_closed() -> None:
    # What was sent before the server reads for the first time cannot come too late.
    with serving(Users(), is_started=False, idle_timeout=0.1) as server, Raw(server) as silent, Raw(server) as raw:
        raw.call(GET, 1)
        server.start()
        assert raw.values()[0].id == 1
        assert raw.is_ended()
        assert silent.is_ended()


def test_clients_replace_a_connection_that_was_closed_because_it_was_idle() -> None:
    # The server may close a connection while a client sends: it has to try again.
    again: dict[str, Any] = {"idempotent": True, "retries": 100}

    async def main(target: str) -> None:
        async with AsyncUserServiceClient.connect(target) as client:
            for number in (1, 2):
                assert (await client.using(**again).get(number)).id == number
                await eventually_async(lambda: server.connections == 0)

    with serving(Users(), idle_timeout=0.1) as server:
        with UserServiceClient.connect(server.address) as client:
            for number in (1, 2):
                assert client.using(**again).get(number).id == number
                eventually(lambda: server.connections == 0)
        asyncio.run(main(server.address))


def test_a_connection_with_an_async_call_under_way_is_not_idle() -> None:
    users = AsyncUsers()
    with serving(users, is_started=False, idle_timeout=0.1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        server.start()
        assert users.entered.wait(TIMEOUT)
        # This one connects later, and is closed.
        with Raw(server) as idle:
            assert idle.is_ended()
        users.release(1)
        assert raw.values() == [1]


def test_a_connection_whose_call_is_with_a_worker_is_not_idle() -> None:
    users = Users()
    with serving(users, is_started=False, idle_timeout=0.1, workers=1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        server.start()
        assert users.entered.wait(TIMEOUT)
        with Raw(server) as idle:
            assert idle.is_ended()
        users.gate.set()
        assert raw.values() == [1]


# Half messages.


@pytest.mark.parametrize("how", [FRAMED, dialect("unframed"), ANY_ORDER, dialect("unframed", "json")], ids=repr)
def test_a_message_that_trickles_in_is_cut_off_and_the_others_are_not(how: Dialect) -> None:
    with (
        serving(Users(), message_timeout=0.1) as server,
        UserServiceClient.connect(server.address) as other,
        Raw(server, how) as raw,
    ):
        raw.socket.settimeout(0.01)
        is_cut = False
        for byte in raw.bytes_of(JOIN, ["x" * 3000], "-"):
            other.ping()
            try:
                raw.socket.sendall(bytes([byte]))
                raw.socket.recv(1)
                is_cut = True
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                is_cut = True
            break
        assert is_cut
        other.ping()


def test_a_single_byte_is_half_a_message_too() -> None:
    with serving(Users(), message_timeout=0.1) as server, Raw(server) as raw:
        raw.socket.sendall(b"\0")
        assert raw.is_ended()


def test_a_message_whose_rest_the_server_itself_does_not_read_is_not_cut_off() -> None:
    users = AsyncUsers()
    with serving(users, message_timeout=0.1, max_in_flight_per_connection=1) as server, Raw(server) as raw:
        data = raw.bytes_of(WAIT, 1) + raw.bytes_of(PING)
        raw.socket.sendall(data[:-5])
        assert users.entered.wait(TIMEOUT)
        # Nothing is read while a call is under way.
        raw.socket.sendall(data[-5:])
        with Raw(server) as other:
            other.socket.sendall(b"\0")
            assert other.is_ended()
        users.release(1)
        assert raw.values(2) == [1, None]


# Responses that the client does not read.


def test_a_client_that_reads_nothing_is_cut_off_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    with (
        serving(Users(), write_timeout=0.2) as server,
        UserServiceClient.connect(server.address) as other,
        Raw(server) as raw,
    ):
        raw.call(BLOB, LARGE)

        def is_cut() -> bool:
            other.ping()
            return "client does not read its responses" in caplog.text

        eventually(is_cut)
        assert other.get(1).id == 1
        assert len(read_to_end(raw.socket)) < LARGE
