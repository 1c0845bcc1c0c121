"""A real server under bytes that mean harm: it lives, its memory stays, and others never notice."""

from __future__ import annotations

import importlib.util
import socket
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from eventually import TIMEOUT
from hand_written import (
    BLOB,
    GET,
    JOIN,
    User,
    Users,
    UserServiceClient,
    connect_raw,
    dialects,
    read_to_end,
    requests,
    user_service,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idlrt import current_call
from idlrt.serialization import Limits
from idlrt.server import Server

LIMITS = Limits(max_message=100_000, max_string=50_000, max_container=10_000)


class Asked(Users):
    """`join` returns the address of the caller."""

    def join(self, words: list[str], by: str) -> str:
        call = current_call()
        assert call is not None
        return str(call.peer.address)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(user_service(Asked()), limits=LIMITS) as made:
        yield made.start()


@pytest.fixture(scope="module")
def bystander(server: Server) -> Iterator[UserServiceClient]:
    """One connection for the whole module, which must never be disturbed."""
    with UserServiceClient.connect(server.address, timeout=TIMEOUT, max_connections=1) as client:
        port = client.join([])
        yield client
        assert client.join([]) == port


def throw(server: Server, *pieces: bytes) -> bytes:
    """Send, say that this is all, and read to the end."""
    with connect_raw(server.port) as raw:
        raw.settimeout(TIMEOUT)
        try:
            for piece in pieces:
                raw.sendall(piece)
            raw.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before we were done
        return read_to_end(raw)


relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes(server: Server, bystander: UserServiceClient, pieces: list[bytes]) -> None:
    throw(server, *pieces)

    assert bystander.get(1).id == 1


@relaxed
@given(st.sampled_from(sorted(dialects())), st.data())
def test_flipped_bits(server: Server, bystander: UserServiceClient, name: str, data: st.DataObject) -> None:
    stream = bytearray(requests((GET, (1,)), (JOIN, (["a", "b"], "+")), (GET, (-2,)), how=dialects()[name]))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    throw(server, bytes(stream))

    assert bystander.get(1).id == 1


@pytest.mark.parametrize("name", dialects())
def test_every_truncation(server: Server, bystander: UserServiceClient, name: str) -> None:
    stream = requests((GET, (1,)), how=dialects()[name])
    for end in range(len(stream)):
        assert throw(server, stream[:end]) == b""

    assert bystander.get(1).id == 1


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", 100_001) + b"\x80\x01\x00\x01",
        struct.pack(">I", 0x7FFFFFFF) + b"\x80\x01\x00\x01",
        # A list of a thousand million strings in a small message.
        struct.pack(">I", 40) + b"\x80\x01\x00\x01\0\0\0\x04join\0\0\0\x01\x0f\0\x01\x0b\x3b\x9a\xca\x00" + b"\0" * 16,
        # A string of two thousand million bytes, framed and not.
        struct.pack(">I", 30) + b"\x80\x01\x00\x01\0\0\0\x04join\0\0\0\x01\x0b\0\x02\x7f\xff\xff\xff" + b"\0" * 7,
        b"\x80\x01\x00\x01\0\0\0\x04join\0\0\0\x01\x0b\0\x02\x7f\xff\xff\xff" + b"\0" * 7,
        # A name of two thousand million bytes.
        b"\x80\x01\x00\x01\x7f\xff\xff\xff" + b"x" * 100,
        # The same in compact: a string, a list of strings, a name; framed and not.
        struct.pack(">I", 30) + b"\x82\x21\x01\x04join\x28\xff\xff\xff\xff\x07" + b"\0" * 17,
        b"\x82\x21\x01\x04join\x19\xf8\xff\xff\xff\xff\x07" + b"\0" * 17,
        b"\x82\x21\x01\xff\xff\xff\xff\x07" + b"x" * 100,
        b"\x82\x21\x01\x03get" + b"\x2c" * 20_000,
        # And in JSON: lists of a thousand million, numbers and texts and arrays without end.
        b'[1,"join",1,1,{"1":{"lst":["str",1000000000,"a"',
        b'[1,"get",1,1,{"1":{"i64":' + b"9" * 99_000,
        b'[1,"' + b"g" * 99_000,
        b"[" * 20_000,
        b'[1,"get",1,1,' + b'{"9":{"rec":' * 5_000,
        # Headers: of more than there is, pairs without number, a string of two thousand million bytes, zeros packed.
        struct.pack(">I", 20) + b"\x0f\xff\0\0\0\0\0\1\xff\xff" + b"\0" * 10,
        struct.pack(">I", 26) + b"\x0f\xff\0\0\0\0\0\1\0\4\0\0\1\xff\xff\xff\xff\7" + b"\0" * 8,
        struct.pack(">I", 26) + b"\x0f\xff\0\0\0\0\0\1\0\4\0\0\1\1\xff\xff\xff\xff\7" + b"\0" * 7,
        struct.pack(">I", 97_223) + b"\x0f\xff\0\0\0\0\0\1\0\1\0\1\1\0" + zlib.compress(bytes(100_000_000)),
        # Endlessly nested structs in an unknown field.
        b"\x80\x01\x00\x01\0\0\0\x03get\0\0\0\x01" + b"\x0c\0\x63" * 20_000,
    ],
)
def test_announcing_more_than_there_is_allocates_nothing(
    server: Server, bystander: UserServiceClient, data: bytes
) -> None:
    throw(server, data)
    tracemalloc.start()
    try:
        throw(server, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000
    assert bystander.get(1).id == 1


def test_a_flood_of_pipelined_calls_keeps_within_bounds() -> None:
    with Server(user_service(Users()), high_water=50_000) as server:
        server.start()
        with connect_raw(server.port) as raw, UserServiceClient.connect(server.address) as other:
            raw.setblocking(False)
            flood = requests((BLOB, (20_000,))) * 5_000
            tracemalloc.start()
            try:
                try:
                    while flood:
                        flood = flood[raw.send(flood) :]
                except BlockingIOError:
                    pass
                for _ in range(50):
                    other.ping()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 5_000_000 + len(flood)
            assert server.unsent_bytes < 100_000


def test_many_half_messages_at_once(server: Server, bystander: UserServiceClient) -> None:
    halves = [connect_raw(server.port) for _ in range(100)]
    data = requests((GET, (1,)))
    for raw in halves:
        raw.sendall(data[:-3])
    assert bystander.get(1).id == 1
    for raw in halves:
        raw.sendall(data[-3:])
        assert b"user 1" in raw.recv(1000)
        raw.close()


def test_good_calls_before_garbage_are_answered(server: Server) -> None:
    data = throw(server, requests((GET, (1,)), (GET, (2,))) + b"\xff" * 50)

    assert data.count(b"user ") == 2


def test_a_bad_body_between_good_ones_is_refused(server: Server) -> None:
    good = requests((GET, (1,)))
    bad = bytearray(good)
    bad[-12] = 0x63  # the type of the argument
    data = throw(server, good + bytes(bad) + good)

    assert data.count(b"user ") == 2
    assert data.count(b"\x80\x01\x00\x03") == 1


def _fuzz_target() -> ModuleType:
    path = Path(__file__).parents[2] / "fuzz" / "connection.py"
    spec = importlib.util.spec_from_file_location("fuzz_connection", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_connection"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_fuzzing_for_a_moment_finds_nothing() -> None:
    assert _fuzz_target().run(cases=300, seed=20240229) == 300


def test_a_user_that_is_fine(server: Server, bystander: UserServiceClient) -> None:
    assert bystander.get(3) == User(id=3, name="user 3")
