"""The binary protocol, byte by byte."""

from __future__ import annotations

import math
import struct

import pytest
import wire_types as t
from golden_bytes import GOLDEN, HEADS, golden
from walked import walked

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.wire import BinaryProtocol, Limits, MessageHead, MessageKind, TypeId

PROTOCOL = BinaryProtocol()
OLD = BinaryProtocol(strict=False)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_value_is_written_as_the_specification_says(name):
    value, data = golden(name)
    assert PROTOCOL.struct(type(value)).encode(value).hex() == data.hex()


@pytest.mark.parametrize("name", GOLDEN)
def test_its_bytes_are_read_as_that_value(name):
    value, data = golden(name)
    assert PROTOCOL.struct(type(value)).decode(data) == (value, len(data))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_value_may_stand_within_other_bytes(name):
    value, data = golden(name)
    assert PROTOCOL.struct(type(value)).decode(b"\xff\xff" + data + b"\xff\xff\xff", 2) == (value, 2 + len(data))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_walker_reads_the_same(name):
    value, data = golden(name)
    assert walked(type(value), data) == (value, len(data))


@pytest.mark.parametrize("name", GOLDEN)
def test_an_unknown_struct_is_skipped_whole(name):
    _, data = golden(name)
    message = t.field(t.STRUCT, 9, data) + b"\0"
    assert PROTOCOL.struct(t.Empty).decode(message) == (t.Empty(), len(message))


def test_not_a_number_is_read_and_written():
    data = t.field(t.DOUBLE, 6, bytes.fromhex("7ff8000000000000")) + b"\0"
    value, _ = PROTOCOL.struct(t.Optionals).decode(data)
    assert value.real is not None
    assert math.isnan(value.real)
    assert PROTOCOL.struct(t.Optionals).encode(value) == data


def test_any_byte_but_zero_is_true():
    for byte in range(256):
        value, _ = PROTOCOL.struct(t.Lists).decode(t.field(t.LIST, 1, t.sequence(t.BOOL, bytes([byte]))) + b"\0")
        assert value.flags == [byte != 0]
        single, _ = PROTOCOL.struct(t.Optionals).decode(t.field(t.BOOL, -5, bytes([byte])) + b"\0")
        assert single.from_ is (byte != 0)


@pytest.mark.parametrize("count", [254, 255, 256, 257, 65536])
def test_lengths_around_a_byte_and_two(count):
    value = t.Lists(flags=[True] * count, larges=[7] * count, texts=["x" * (count % 300)] * count, blobs=[b"y" * count])
    data = PROTOCOL.struct(t.Lists).encode(value)
    assert data[3:8] == struct.pack(">BI", t.BOOL, count)
    assert PROTOCOL.struct(t.Lists).decode(data) == (value, len(data))


def test_type_numbers():
    numbers = {each.name: each.value for each in TypeId}
    assert numbers == {
        "STOP": 0,
        "BOOL": 2,
        "I8": 3,
        "DOUBLE": 4,
        "I16": 6,
        "I32": 8,
        "I64": 10,
        "STRING": 11,
        "STRUCT": 12,
        "MAP": 13,
        "SET": 14,
        "LIST": 15,
        "UUID": 16,
    }


# Heads of messages.


@pytest.mark.parametrize(("head", "data"), HEADS.items())
@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "old"])
def test_heads(head, data, is_strict):
    kind, name, sequence_id = head
    expected = bytes.fromhex(data[0 if is_strict else 1])
    protocol = PROTOCOL if is_strict else OLD
    assert protocol.pack_head(MessageKind(kind), name, sequence_id).hex() == expected.hex()
    # Both are read, whichever is written.
    for reader in (PROTOCOL, OLD):
        read = reader.unpack_head(b"??" + expected + b"rest", 2)
        assert read == (MessageHead(MessageKind(kind), name, sequence_id), 2 + len(expected))


@pytest.mark.parametrize("data", [bytes.fromhex(data) for pair in HEADS.values() for data in pair])
def test_a_head_that_ends_early_is_an_error(data):
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            PROTOCOL.unpack_head(data[:end])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("80020001 00000000 00000001", "version 0x8002 is not binary's 0x8001"),
        ("80010101 00000000 00000001", "version 0x8001 is not binary's"),
        ("ffffffff 00000000 00000001", "version 0xffff"),
        ("80010000 00000000 00000001", "no kind of message 0"),
        ("80010005 00000000 00000001", "no kind of message 5"),
        ("00000000 09 00000001", "no kind of message 9"),
        ("80010001 ffffffff 00000001", "max_string"),
        ("7fffffff 61616161", "max_string"),
        ("80010001 00001000 00000001", "needs 4096 bytes"),
        ("80010001 00000002 ffff 00000001", "utf-8"),
    ],
)
def test_what_is_no_head_is_refused(data, message):
    with pytest.raises(RemoteProtocolError, match=message):
        PROTOCOL.unpack_head(bytes.fromhex(data))


def test_a_name_is_a_string_and_has_its_limit():
    protocol = BinaryProtocol(Limits(max_string=3))
    assert protocol.unpack_head(protocol.pack_head(MessageKind.CALL, "abc", 1))[0].name == "abc"
    with pytest.raises(RemoteProtocolError, match="max_string=3"):
        protocol.unpack_head(protocol.pack_head(MessageKind.CALL, "abcd", 1))


# Records: fields without a class.


def test_a_record_is_a_struct_without_a_class():
    fields = t.Point.__thrift_fields__
    record = PROTOCOL.record(fields)
    data = PROTOCOL.struct(t.Point).encode(t.Point(x=1, y=2))
    assert record.encode((1, 2)) == data
    assert record.decode(data) == ((1, 2), len(data))


def test_a_record_keeps_the_order_of_its_table():
    first, second = t.Point.__thrift_fields__
    record = PROTOCOL.record((second, first))
    data = record.encode((20, 10))
    assert data.hex() == "0800010000000a08000200000014" + "00"
    assert record.decode(data)[0] == (20, 10)


def test_absent_values_of_a_record_have_their_defaults():
    fields = t.Optionals.__thrift_fields__[:3]
    assert PROTOCOL.record(fields, (True, 5)).decode(b"\0")[0] == (True, 5, None)
    assert PROTOCOL.record(()).decode(b"\0") == ((), 1)
    assert PROTOCOL.record(()).encode(()) == b"\0"


def test_a_record_without_a_required_value_is_an_error():
    record = PROTOCOL.record(t.Point.__thrift_fields__)
    with pytest.raises(RemoteProtocolError, match="required field 'x' is missing"):
        record.decode(b"\0")
    with pytest.raises(LocalProtocolError, match="x is required, but it is None"):
        record.encode((None, 1))
    with pytest.raises(LocalProtocolError, match="1 values for 2 fields"):
        record.encode((1,))
