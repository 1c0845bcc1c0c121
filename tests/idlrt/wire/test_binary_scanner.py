"""The scanner finds where a message ends, however its bytes arrive."""

from __future__ import annotations

import pytest
import wire_types as t
from golden_bytes import GOLDEN, HEADS, golden

from idlrt.errors import RemoteProtocolError
from idlrt.wire import BinaryProtocol, Limits

PROTOCOL = BinaryProtocol()
STRICT_HEAD = bytes.fromhex("80010001 00000002 6162 00000001")
OLD_HEAD = bytes.fromhex("00000002 6162 01 00000001")


def everything() -> bytes:
    """A body with every type, nested in every way."""
    fields = [t.field(kind, id, data) for id, (kind, data) in enumerate(t.UNKNOWN_VALUES.values(), 1)]
    return b"".join(fields) + t.field(t.STRUCT, 99, b"".join(fields) + b"\0") + b"\0"


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("head", [STRICT_HEAD, OLD_HEAD], ids=["strict", "old"])
def test_the_end_is_where_the_reader_ends(name, head):
    value, data = golden(name)
    message = head + data
    assert PROTOCOL.scanner().scan(message) == len(message)
    assert PROTOCOL.scanner().scan(message + b"\x80\x01") == len(message)
    assert PROTOCOL.struct(type(value)).decode(message, len(head))[1] == len(message)


@pytest.mark.parametrize("pair", HEADS.values())
def test_heads_of_any_kind(pair):
    for data in pair:
        message = bytes.fromhex(data) + b"\0"
        assert [PROTOCOL.scanner().scan(message[:end]) for end in range(len(message))] == [None] * len(message)
        assert PROTOCOL.scanner().scan(message) == len(message)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("head", [STRICT_HEAD, OLD_HEAD], ids=["strict", "old"])
def test_every_split_in_two(name, head):
    message = head + golden(name)[1]
    for split in range(len(message)):
        scanner = PROTOCOL.scanner()
        assert scanner.scan(message[:split]) is None
        assert scanner.scan(message + b"more") == len(message)


@pytest.mark.parametrize("head", [STRICT_HEAD, OLD_HEAD], ids=["strict", "old"])
def test_byte_by_byte(head):
    message = head + everything()
    scanner = PROTOCOL.scanner()
    buffer = bytearray()
    for byte in message[:-1]:
        buffer.append(byte)
        assert scanner.scan(buffer) is None
    buffer.append(message[-1])
    assert scanner.scan(buffer) == len(message)


@pytest.mark.parametrize("size", [2, 3, 7, 64])
def test_in_pieces(size):
    message = STRICT_HEAD + everything()
    scanner = PROTOCOL.scanner()
    ends = [scanner.scan(message[: end + size]) for end in range(0, len(message), size)]
    assert ends == [None] * (len(ends) - 1) + [len(message)]


class CountingBuffer(bytearray):
    """Counts how often it is looked at."""

    looks = 0

    def __getitem__(self, key):
        type(self).looks += 1
        return super().__getitem__(key)

    def __len__(self):
        type(self).looks += 1
        return super().__len__()


def looks_at(message: bytes, piece: int) -> int:
    """How often a scanner looks at `message`, which arrives `piece` bytes at a time."""
    CountingBuffer.looks = 0
    scanner = PROTOCOL.scanner()
    buffer = CountingBuffer()
    for start in range(0, len(message), piece):
        buffer += message[start : start + piece]
        end = scanner.scan(buffer)
    assert end == len(message)
    return CountingBuffer.looks


@pytest.mark.parametrize("piece", [1, 10, 10**6])
@pytest.mark.parametrize(
    "element",
    [t.sequence(t.STRING, t.text("abc")), t.sequence(0), t.sequence(t.STRUCT, t.field(t.I32, 1, t.i32(1)) + b"\0")],
    ids=["strings", "empty lists", "structs"],
)
def test_the_work_is_linear(element, piece):
    def work(count: int) -> int:
        return looks_at(STRICT_HEAD + t.field(t.LIST, 1, t.sequence(t.LIST, *[element] * count)) + b"\0", piece)

    assert work(800) < 5 * work(200)


def test_a_long_string_is_waited_for_without_work():
    message = STRICT_HEAD + t.field(t.STRING, 1, t.text("x" * 100_000)) + b"\0"
    assert looks_at(message, 100) < 10_000


# What it refuses.


@pytest.mark.parametrize(
    "data", ["80020001 00000000", "ffffffff 00000000", "80010000 00000000", "80010005 00000000", "7fffffff 00000000"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        PROTOCOL.scanner().scan(bytes.fromhex(data))


def test_unknown_types_are_refused():
    for body in (
        t.field(1, 1, b""),
        t.field(17, 1, b""),
        t.field(t.LIST, 1, t.sequence(7, b"\0")),
        t.field(t.MAP, 1, t.mapping(t.I8, 200, b"\0", b"\0")),
        t.field(t.LIST, 1, t.sequence(t.LIST, t.sequence(0, b"\0"))),
    ):
        with pytest.raises(RemoteProtocolError, match="there is no type"):
            PROTOCOL.scanner().scan(STRICT_HEAD + body + b"\0" * 8)


def test_a_message_over_the_limit_is_refused_before_it_has_arrived():
    protocol = BinaryProtocol(Limits(max_message=100))
    fits = STRICT_HEAD + t.field(t.STRING, 1, t.text("x" * (100 - 14 - 8))) + b"\0"
    assert len(fits) == 100
    assert protocol.scanner().scan(fits) == 100
    for over in (
        t.field(t.STRING, 1, t.text("x" * 200)[:4]),
        t.field(t.LIST, 1, t.sequence(t.I64, count=12)),
        t.field(t.I64, 1, bytes(8)) * 9,
        b"\2\0\1\1" * 22,
    ):
        with pytest.raises(RemoteProtocolError, match="max_message=100"):
            protocol.scanner().scan(STRICT_HEAD + over)


def test_a_list_of_nothing_is_not_waited_for_without_end():
    """Elements of one byte each: a list of empty structs that announces more than a message may hold."""
    protocol = BinaryProtocol(Limits(max_message=1000))
    body = t.field(t.LIST, 1, t.sequence(t.STRUCT, count=10**6)) + bytes(2000)
    with pytest.raises(RemoteProtocolError, match="max_message=1000"):
        protocol.scanner().scan(STRICT_HEAD + body)
