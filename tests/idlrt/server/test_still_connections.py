"""Connections that keep still, on real sockets: idle ones, half messages, answers that nobody takes."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from by_hand import ANY_ORDER, FRAMED, Raw, not_reading, pass_time, serving
from eventually import TIMEOUT, eventually
from hand_written import (
    BLOB,
    GET,
    JOIN,
    PING,
    WAIT,
    AsyncUsers,
    AsyncUserServiceClient,
    User,
    Users,
    UserServiceClient,
    read_to_end,
)

from idlrt.wire.dialect import Dialect, dialect

# They wait for limits of real time to be over. (`test_patience.py` plays the clock.)
pytestmark = pytest.mark.slow

# More than the kernels on both sides take.
LARGE = 15_000_000

# Idle ones.


def test_an_idle_connection_is_closed_and_clients_make_another() -> None:
    async def main(target: str) -> None:
        async with AsyncUserServiceClient.connect(target) as client:
            for number in (1, 2):
                assert (await client.get(number)).id == number
                await asyncio.to_thread(eventually, lambda: not server._channels)

    with serving(Users(), idle_timeout=0.1) as server:
        with Raw(server) as silent, Raw(server) as raw:
            raw.call(GET, 1)
            assert raw.values()[0].id == 1
            assert raw.is_ended()
            assert silent.is_ended()
        with UserServiceClient.connect(server.address) as client:
            for number in (1, 2):
                assert client.get(number).id == number
                eventually(lambda: not server._channels)
        asyncio.run(main(server.address))


def test_a_connection_with_an_async_call_under_way_is_not_idle() -> None:
    users = AsyncUsers()
    with serving(users, idle_timeout=0.1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        for _ in range(2):
            with Raw(server) as idle:
                assert idle.is_ended()
        users.release(1)
        assert raw.values() == [1]


def test_a_connection_whose_call_is_with_a_worker_is_not_idle() -> None:
    users = Users()
    with serving(users, idle_timeout=0.1, workers=1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        for _ in range(2):
            with Raw(server) as idle:
                assert idle.is_ended()
        users.gate.set()
        assert raw.values() == [1]


def test_a_connection_that_is_used_meanwhile_is_not_idle() -> None:
    with serving(Users(), idle_timeout=0.4) as server, Raw(server) as used, Raw(server) as idle:
        idle.socket.settimeout(0.01)
        while True:
            used.call(PING)
            assert used.values() == [None]
            try:
                assert idle.socket.recv(1) == b""
                break
            except TimeoutError:
                continue
        used.call(PING)
        assert used.values() == [None]


@pytest.mark.slow
def test_a_connection_is_not_idle_yet_when_a_long_call_has_just_ended() -> None:
    users = AsyncUsers()
    with serving(users, idle_timeout=0.6) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        pass_time(0.7)
        users.release(1)
        assert raw.values() == [1]
        pass_time(0.2)
        raw.call(PING)
        assert raw.values() == [None]


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


def test_messages_that_come_slowly_but_whole_are_not_cut_off() -> None:
    limit, pause = 0.4, 0.04
    with serving(Users(), message_timeout=limit) as server, Raw(server) as raw:
        begin = time.monotonic()
        rest, count = b"", 0
        while time.monotonic() < begin + 2 * limit:
            # The end of one message and the begin of the next: it never is between two.
            data = raw.bytes_of(GET, 1)
            raw.socket.sendall(rest + data[:20])
            rest = data[20:]
            count += 1
            pass_time(pause)
        raw.socket.sendall(rest)
        assert raw.values(count) == [User(id=1, name="user 1")] * count


def test_a_message_whose_rest_the_server_itself_does_not_read_is_not_cut_off() -> None:
    users = AsyncUsers()
    with serving(users, message_timeout=0.1, max_in_flight_per_connection=1) as server, Raw(server) as raw:
        data = raw.bytes_of(WAIT, 1) + raw.bytes_of(PING)
        raw.socket.sendall(data[:-5])
        assert users.entered.wait(TIMEOUT)
        # Nothing is read while a call is under way.
        raw.socket.sendall(data[-5:])
        for _ in range(2):
            with Raw(server) as other:
                other.socket.sendall(b"\0")
                assert other.is_ended()
        users.release(1)
        assert raw.values(2) == [1, None]


# Answers that nobody takes.


def test_a_client_that_reads_nothing_is_cut_off_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    with (
        serving(Users(), write_timeout=0.2) as server,
        UserServiceClient.connect(server.address) as other,
        Raw(server) as raw,
    ):
        raw.call(BLOB, LARGE)

        def is_cut() -> bool:
            other.ping()
            return "took none of its answers" in caplog.text

        eventually(is_cut)
        assert other.get(1).id == 1
        assert len(read_to_end(raw.socket)) < LARGE


def test_a_client_that_reads_slowly_is_not_cut_off() -> None:
    limit = 0.5
    with serving(Users(), write_timeout=limit) as server, Raw(server) as raw:
        raw.call(BLOB, LARGE)
        raw.socket.recv(1, socket.MSG_PEEK)
        begin, size = time.monotonic(), 0
        while any(channel.pending for channel in server._channels.values()):
            size += len(raw.socket.recv(150_000))
            pass_time(0.01)
        assert time.monotonic() > begin + limit
        while size < LARGE:
            data = raw.socket.recv(1 << 20)
            assert data, "the server closed the connection"
            size += len(data)


@pytest.mark.parametrize("is_half_closed", [False, True])
def test_a_client_that_leaves_a_small_answer_unread_does_not_stay_for_ever(is_half_closed: bool) -> None:
    # The answer fits into the kernel, so that there is nothing left that the server could write.
    with serving(Users(), idle_timeout=0.1, write_timeout=0.1) as server, not_reading(server) as raw:
        raw.call(BLOB, 200_000)
        raw.socket.recv(1, socket.MSG_PEEK)
        if is_half_closed:
            raw.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: not server._channels)


@pytest.mark.slow
def test_a_client_is_not_blamed_for_the_time_that_its_handler_took() -> None:
    class Late(Users):
        def blob(self, size: int) -> bytes:
            pass_time(1.1)
            return super().blob(size)

    with serving(Late(), write_timeout=1.0) as server, Raw(server) as raw:
        raw.call(BLOB, LARGE)
        raw.socket.recv(1, socket.MSG_PEEK)
        pass_time(0.3)
        assert len(raw.values()[0]) == LARGE
