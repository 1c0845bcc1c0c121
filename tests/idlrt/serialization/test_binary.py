"""Features that only the binary protocol has."""

from __future__ import annotations

import pytest
import wire_types as t
from builders import BUILDERS
from golden_bytes import HEADS
from protocols import HOWS, OLD

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.message_types import MessageHeader, MessageType
from idlrt.serialization import BinarySerialization, TypeId

B = BUILDERS["binary"]
ENVELOPE = BinaryEnvelope(BinarySerialization())

each_backend = pytest.mark.parametrize("how", [how for how in HOWS if how.name == "binary"], ids=repr)


@each_backend
def test_any_byte_but_zero_is_true(how):
    for byte in range(256):
        value, _ = how().struct(t.Lists).decode(B.field(t.LIST, 1, B.sequence(t.BOOL, bytes([byte]))) + b"\0")
        assert value.flags == [byte != 0]
        single, _ = how().struct(t.Optionals).decode(B.field(t.BOOL, -5, bytes([byte])) + b"\0")
        assert single.from_ is (byte != 0)


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


@pytest.mark.parametrize(("head", "data"), HEADS.items())
def test_both_heads_are_read_whichever_is_written(head, data):
    kind, name, sequence_id = head
    for reader in (ENVELOPE, OLD.envelope()):
        for expected in map(bytes.fromhex, data):
            read = reader.unpack_head(b"??" + expected + b"rest", 2)
            assert read == (MessageHeader(MessageType(kind), name, sequence_id), 2 + len(expected))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("80020001 00000000 00000001", "unsupported version 0x80020000, the binary protocol has 0x80010000"),
        ("80010101 00000000 00000001", "unsupported version 0x80010100, the binary protocol has 0x80010000"),
        ("ffffffff 00000000 00000001", "version 0xffff"),
        ("80010000 00000000 00000001", "unknown message type 0"),
        ("80010005 00000000 00000001", "unknown message type 5"),
        ("00000000 09 00000001", "unknown message type 9"),
        ("80010001 ffffffff 00000001", "max_string"),
        ("7fffffff 61616161", "max_string"),
        ("80010001 00001000 00000001", "need 4096 bytes"),
        ("80010001 00000002 ffff 00000001", "UTF-8"),
    ],
)
def test_what_is_no_head_is_refused(data, message):
    with pytest.raises(RemoteProtocolError, match=message):
        ENVELOPE.unpack_head(bytes.fromhex(data))
