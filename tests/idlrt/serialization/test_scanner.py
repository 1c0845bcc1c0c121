"""The scanner finds where a message ends, however its bytes arrive."""

from __future__ import annotations

import pytest
import wire_types as t
from builders import BUILDERS
from golden_bytes import GOLDEN, golden, heads
from protocols import HOWS, OLD

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.thrift.message_types import MessageType

pytestmark = pytest.mark.slow

B = BUILDERS["binary"]
PURE = [how for how in HOWS if how.backend == "pure"]  # scanners are not the backends'
each_scanner = pytest.mark.parametrize("how", [*PURE, OLD], ids=repr)
BINARY, COMPACT, JSON = PURE
STRICT_HEAD = bytes.fromhex("80010001 00000002 6162 00000001")


def everything(how) -> bytes:
    """A message with every type, nested in every way."""
    b = how.bytes
    fields = [b.field(kind, id, data) for id, (kind, data) in enumerate(how.unknown.values(), 1)]
    return how.message(b.struct(*fields, b.field(t.STRUCT, 99, b.struct(*fields))))


@each_scanner
@pytest.mark.parametrize("name", GOLDEN)
def test_the_end_is_where_the_reader_ends(how, name):
    value, data = golden(name, how.name)
    message = how.message(data)
    for after in (b"", b"\x80\x01", b"]", b"\x82"):
        assert how.envelope().scanner().scan(message + after) == len(message)
    end = how().struct(type(value)).decode(message, len(how.head))[1]
    assert how.envelope().unpack_tail(message, end) == len(message)


@each_scanner
@pytest.mark.parametrize("head", heads("binary"))
def test_heads_of_any_kind(how, head):
    kind, name, sequence_id = head
    message = how.envelope().pack_head(MessageType(kind), name, sequence_id) + how.bytes.struct() + how.envelope().tail
    assert [how.envelope().scanner().scan(message[:end]) for end in range(len(message))] == [None] * len(message)
    assert how.envelope().scanner().scan(message) == len(message)


@each_scanner
@pytest.mark.parametrize("name", GOLDEN)
def test_every_split_in_two(how, name):
    message = how.message(golden(name, how.name)[1])
    for split in range(len(message)):
        scanner = how.envelope().scanner()
        assert scanner.scan(message[:split]) is None
        assert scanner.scan(message + b"more") == len(message)


@each_scanner
def test_byte_by_byte(how):
    message = everything(how)
    scanner = how.envelope().scanner()
    buffer = bytearray()
    for byte in message[:-1]:
        buffer.append(byte)
        assert scanner.scan(buffer) is None
    buffer.append(message[-1])
    assert scanner.scan(buffer) == len(message)


@each_scanner
@pytest.mark.parametrize("size", [2, 3, 7, 64])
def test_in_pieces(how, size):
    message = everything(how)
    scanner = how.envelope().scanner()
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


def looks_at(how, message: bytes, piece: int) -> int:
    """How often a scanner looks at `message`, which arrives `piece` bytes at a time."""
    CountingBuffer.looks = 0
    scanner = how.envelope().scanner()
    buffer = CountingBuffer()
    for start in range(0, len(message), piece):
        buffer += message[start : start + piece]
        end = scanner.scan(buffer)
    assert end == len(message)
    return CountingBuffer.looks


@each_scanner
@pytest.mark.parametrize("piece", [1, 10, 10**6])
@pytest.mark.parametrize("what", ["strings", "empty lists", "structs", "numbers"])
def test_the_work_is_linear(how, what, piece):
    b = how.bytes
    element = {
        "strings": lambda: b.sequence(t.STRING, b.text("abc")),
        "empty lists": lambda: b.sequence(t.I8),
        "structs": lambda: b.sequence(t.STRUCT, b.struct(b.field(t.I32, 1, b.i32(1)))),
        "numbers": lambda: b.sequence(t.I64, b.i64(-(2**60)), b.i64(1)),
    }[what]()

    def work(count: int) -> int:
        message = how.message(b.struct(b.field(t.LIST, 1, b.sequence(t.LIST, *[element] * count))))
        return looks_at(how, message, piece)

    assert work(800) < 5 * work(200) + 50


@each_scanner
def test_a_long_string_is_waited_for_without_work(how):
    b = how.bytes
    message = how.message(b.struct(b.field(t.STRING, 1, b.text("x" * 100_000))))
    assert looks_at(how, message, 100) < 10_000


# What it refuses.


@pytest.mark.parametrize(
    "data", ["80020001 00000000", "ffffffff 00000000", "80010000 00000000", "80010005 00000000", "7fffffff 00000000"]
)
def test_what_is_no_message_of_binary_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        BINARY.envelope().scanner().scan(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("81", "unexpected byte 0x81 at offset 0, compact messages start with 0x82"),
        ("8222", "unsupported version 2 at offset 1, the compact protocol has 1"),
        ("8201", "unknown message type 0"),
        ("82a1", "unknown message type 5"),
        ("8221 8080808080", "longer than 5 bytes"),
        ("8221 ffffffff7f", "is out of range for 32 bits"),
        ("8221 01 ffffffff0f", "is out of range for i32"),
        ("8221 01 ffffffff07", "max_string"),
        ("8221 01 00 15 8080808080 8080808080 80", "longer than 10 bytes"),
        ("8221 01 00 05 8080808080", "longer than 5 bytes"),
        ("8221 01 00 1e", "unknown type 14"),
        ("8221 01 00 19 1f 00", "unknown type 15"),
        ("8221 01 00 19 10 00", "unknown type 0"),
        ("8221 01 00 1b 01 1e", "unknown type 14"),
        ("8221 01 00 19 f3 ffffffff07", "max_container"),
    ],
)
def test_what_is_no_message_of_compact_is_refused(data, message):
    with pytest.raises(RemoteProtocolError, match=f"^cannot read message: .*{message}"):
        COMPACT.envelope().scanner().scan(bytes.fromhex(data))


@pytest.mark.parametrize("data", [b"x", b" {", b"]", b"\0", b"\x80\1\0\1"])
def test_what_is_no_message_of_json_is_refused(data):
    with pytest.raises(RemoteProtocolError, match=r"^cannot read message: expected '\[' at offset \d, got "):
        JSON.envelope().scanner().scan(data)


def test_white_space_before_a_message_of_json_is_passed():
    message = b' \n[1,"a",1,1,{}]'
    for split in range(len(message)):
        scanner = JSON.envelope().scanner()
        assert scanner.scan(message[:split]) is None
        assert scanner.scan(message + b" ") == len(message)


def test_brackets_and_quotes_in_strings_of_json_are_no_structure():
    message = rb'[1,"a\"]}",1,1,{"1":{"str":"]]\\"},"2":{"str":"\\\"[{"}}]'
    for split in range(len(message)):
        scanner = JSON.envelope().scanner()
        assert scanner.scan(message[:split]) is None
        assert scanner.scan(message) == len(message)


def test_unknown_types_are_refused():
    for body in (
        B.field(1, 1, b""),
        B.field(17, 1, b""),
        B.field(t.LIST, 1, B.sequence(7, b"\0")),
        B.field(t.MAP, 1, B.mapping(t.I8, 200, b"\0", b"\0")),
        B.field(t.LIST, 1, B.sequence(t.LIST, B.sequence(0, b"\0"))),
    ):
        with pytest.raises(RemoteProtocolError, match="unknown type"):
            BINARY.envelope().scanner().scan(STRICT_HEAD + body + b"\0" * 8)


@each_scanner
def test_a_message_over_the_limit_is_refused_before_it_has_arrived(how):
    b, envelope = how.bytes, how.envelope(max_message=200)
    size = 200 - len(how.message(b.struct(b.field(t.STRING, 1, b.text("x" * 130))))) + 130
    fits = how.message(b.struct(b.field(t.STRING, 1, b.text("x" * size))))
    assert envelope.scanner().scan(fits[:200]) == len(fits) == 200
    for fields in (
        [b.field(t.STRING, 1, b.text("x" * 300))],
        [b.field(t.LIST, 1, b.sequence(t.DOUBLE, *[b.double(0.1)] * 40))],
        [b.field(t.I64, 1, b.i64(-(2**63)))] * 20,
        [b.field(t.BOOL, 1, b.bool(True))] * 110,
    ):
        message = how.message(b.struct(*fields))
        with pytest.raises(RemoteProtocolError, match="max_message=200"):
            envelope.scanner().scan(message[:220])


@pytest.mark.parametrize("how", [BINARY, COMPACT, OLD], ids=repr)
def test_a_list_of_nothing_is_not_waited_for_without_end(how):
    """Elements of one byte each: a list of empty structs that announces more than a message may hold."""
    b = how.bytes
    body = b.field(t.LIST, 1, b.sequence(t.STRUCT, count=10**6)) + bytes(2000)
    with pytest.raises(RemoteProtocolError, match="max_message=1000"):
        how.envelope(max_message=1000).scanner().scan(how.head + body)
