"""Bytes are those of Apache's library for Python, which is asked for each value here.

In JSON it does not escape all control characters, and writes numbers that are not finite so that not even it can
read them; there the bytes are those of its libraries for C++ and Java.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import wire_types as t
from golden_bytes import GOLDEN, golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocols import each_protocol
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.transport.TTransport import TMemoryBuffer

from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization._binary_layout import type_id
from idlrt.spec import BaseType, EnumType, ListType, MapType, SetType, StructType
from idlrt.testing.strategies import values

pytestmark = pytest.mark.slow

APACHE = {"binary": TBinaryProtocol, "compact": TCompactProtocol, "json": TJSONProtocol}
WRITERS = {
    "bool": "writeBool",
    "i8": "writeByte",
    "i16": "writeI16",
    "i32": "writeI32",
    "i64": "writeI64",
    "double": "writeDouble",
    "string": "writeString",
    "binary": "writeBinary",
    "uuid": "writeUuid",
}


def write(out: Any, type: Any, value: Any) -> None:
    match type:
        case BaseType():
            getattr(out, WRITERS[type.name])(value)
        case EnumType():
            out.writeI32(int(value))
        case StructType():
            write_struct(out, value)
        case ListType() | SetType():
            kind = "List" if isinstance(type, ListType) else "Set"
            getattr(out, f"write{kind}Begin")(type_id(type.element), len(value))
            for item in value:
                write(out, type.element, item)
            getattr(out, f"write{kind}End")()
        case MapType():
            out.writeMapBegin(type_id(type.key), type_id(type.value), len(value))
            for key, item in value.items():
                write(out, type.key, key)
                write(out, type.value, item)
            out.writeMapEnd()


def write_struct(out: Any, value: Any) -> None:
    out.writeStructBegin(type(value).__name__)
    for field in sorted(type(value).__thrift_fields__, key=lambda field: field.id):
        item = getattr(value, field.attribute)
        if item is not None:
            out.writeFieldBegin(field.name, type_id(field.type), field.id)
            write(out, field.type, item)
            out.writeFieldEnd()
    out.writeFieldStop()
    out.writeStructEnd()


def theirs(name: str, value: Any, head: tuple[str, int, int] = ("name", 1, 7)) -> bytes:
    """A message with this value as its body."""
    buffer = TMemoryBuffer()
    out = APACHE[name](buffer)
    out.writeMessageBegin(*head)
    write_struct(out, value)
    out.writeMessageEnd()
    return buffer.getvalue()


def ours(how: Any, value: Any, head: tuple[str, int, int] = ("name", 1, 7)) -> bytes:
    packed = how.envelope().pack_head(MessageType(head[1]), head[0], head[2])
    return packed + how().struct(type(value)).encode(value) + how.envelope().tail


@each_protocol
@pytest.mark.parametrize("name", [name for name in GOLDEN if name not in ("infinity", "string with a zero")])
def test_known_values(how, name):
    value, _ = golden(name)
    assert ours(how, value) == theirs(how.name, value)


@each_protocol
@pytest.mark.parametrize("cls", t.CLASSES)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value(how, cls, data):
    value = data.draw(values(cls))
    message = ours(how, value)
    if how.name != "json" or not (b"\\u00" in message or b'Infinity"' in message):
        assert message == theirs(how.name, value)


@each_protocol
@given(
    name=st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=10),
    kind=st.integers(1, 4),
    sequence_id=st.integers(-(2**31), 2**31 - 1),
)
def test_any_head(how, name, kind, sequence_id):
    head = name, kind, sequence_id
    message = theirs(how.name, t.Empty(), head)
    assert ours(how, t.Empty(), head) == message
    read = APACHE[how.name](TMemoryBuffer(message)).readMessageBegin()
    assert read == head


@each_protocol
@pytest.mark.parametrize("value", [0.1, 1e300, 5e-324, -0.0, 123456789.0, 1e16, 2.0**70])
def test_their_reader_reads_our_doubles(how, value):
    source = APACHE[how.name](TMemoryBuffer(how().struct(t.Optionals).encode(t.Optionals(real=value))))
    source.readStructBegin()
    assert source.readFieldBegin()[1:] == (t.DOUBLE, 6)
    read = source.readDouble()
    assert read == value
    assert math.copysign(1, read) == math.copysign(1, value)


@each_protocol
@pytest.mark.parametrize("text", ["\0\1\x1f\x7f", '"\\/\b\f\n\r\t', "é€😀\u2028"])
def test_their_reader_reads_our_texts(how, text):
    source = APACHE[how.name](TMemoryBuffer(how().struct(t.Optionals).encode(t.Optionals(text=text))))
    source.readStructBegin()
    assert source.readFieldBegin()[1:] == (t.STRING, 7)
    assert source.readString() == text
