"""Each protocol, byte by byte."""

from __future__ import annotations

import math

import pytest
import wire_types as t
from golden_bytes import GOLDEN, golden, heads
from golden_compact import COMPACT
from golden_json import JSON
from protocols import OLD, each_protocol, each_protocol_and_old
from walked import walked

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.protocol.thrift.message_types import MessageHeader, MessageType

pytestmark = pytest.mark.slow


def test_every_value_is_there_for_every_protocol():
    assert GOLDEN.keys() == COMPACT.keys() == JSON.keys()


@each_protocol
@pytest.mark.parametrize("name", GOLDEN)
def test_a_value_is_written_as_the_specification_says(how, name):
    value, data = golden(name, how.name)
    assert how().struct(type(value)).encode(value) == data


@each_protocol
@pytest.mark.parametrize("name", GOLDEN)
def test_its_bytes_are_read_as_that_value(how, name):
    value, data = golden(name, how.name)
    assert how().struct(type(value)).decode(data) == (value, len(data))


@each_protocol
@pytest.mark.parametrize("name", GOLDEN)
def test_a_value_may_stand_within_other_bytes(how, name):
    value, data = golden(name, how.name)
    assert how().struct(type(value)).decode(b"\xff\xff" + data + b"\xff\xff\xff", 2) == (value, 2 + len(data))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_walker_reads_the_same(name):
    value, data = golden(name)
    assert walked(type(value), data) == (value, len(data))


@each_protocol
@pytest.mark.parametrize("name", GOLDEN)
def test_an_unknown_struct_is_skipped_whole(how, name):
    _, data = golden(name, how.name)
    message = how.bytes.struct(how.bytes.field(t.STRUCT, 9, data))
    assert how().struct(t.Empty).decode(message) == (t.Empty(), len(message))


@each_protocol
def test_not_a_number_is_read_and_written(how):
    codec = how().struct(t.Optionals)
    data = codec.encode(t.Optionals(real=math.nan))
    value, end = codec.decode(data)
    assert end == len(data)
    assert value.real is not None
    assert math.isnan(value.real)
    assert codec.encode(value) == data


@each_protocol
@pytest.mark.parametrize("count", [14, 15, 16, 127, 128, 254, 255, 256, 257, 16_384, 65_536])
def test_lengths_around_where_they_take_more_bytes(how, count):
    value = t.Lists(flags=[True] * count, larges=[7] * count, texts=["x" * (count % 300)] * count, blobs=[b"y" * count])
    data = how().struct(t.Lists).encode(value)
    assert how().struct(t.Lists).decode(data) == (value, len(data))


# Heads of messages.


@each_protocol_and_old
@pytest.mark.parametrize("head", heads("binary"))
def test_heads(how, head):
    kind, name, sequence_id = head
    expected = heads(how.name, strict=how is not OLD)[head]
    assert how.envelope().pack_head(MessageType(kind), name, sequence_id) == expected
    read = how.envelope().unpack_head(b"??" + expected + b"rest", 2)
    assert read == (MessageHeader(MessageType(kind), name, sequence_id), 2 + len(expected))


@each_protocol_and_old
@pytest.mark.parametrize("head", heads("binary"))
def test_a_head_that_ends_early_is_an_error_that_says_where(how, head):
    data = heads(how.name, strict=how is not OLD)[head]
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError, match=r"^cannot read message header: .* at offset \d+"):
            how.envelope().unpack_head(data[:end])


@each_protocol_and_old
def test_a_name_is_a_string_and_has_its_limit(how):
    envelope = how.envelope(max_string=3)
    assert envelope.unpack_head(envelope.pack_head(MessageType.CALL, "abc", 1))[0].name == "abc"
    with pytest.raises(RemoteProtocolError, match="max_string=3"):
        envelope.unpack_head(envelope.pack_head(MessageType.CALL, "abcd", 1))


# Records: fields without a class.


@each_protocol
def test_a_record_is_a_struct_without_a_class(how):
    record = how().record(t.Point.__thrift_fields__)
    data = how().struct(t.Point).encode(t.Point(x=1, y=2))
    assert record.encode((1, 2)) == data
    assert record.decode(data) == ((1, 2), len(data))


@each_protocol
def test_a_record_keeps_the_order_of_its_table(how):
    first, second = t.Point.__thrift_fields__
    record = how().record((second, first))
    data = record.encode((20, 10))
    assert data == how().struct(t.Point).encode(t.Point(x=10, y=20))
    assert record.decode(data)[0] == (20, 10)


@each_protocol
def test_absent_values_of_a_record_have_their_defaults(how):
    fields, empty = t.Optionals.__thrift_fields__[:3], how.bytes.struct()
    assert how().record(fields, (True, 5)).decode(empty)[0] == (True, 5, None)
    assert how().record(()).decode(empty) == ((), len(empty))
    assert how().record(()).encode(()) == empty


@each_protocol
def test_a_record_without_a_required_value_is_an_error(how):
    record = how().record(t.Point.__thrift_fields__, label="Shop.order")
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Shop\.order: missing required field 'x'"):
        record.decode(how.bytes.struct())
    with pytest.raises(LocalProtocolError, match=r"^cannot write Shop\.order: x is required, got None$"):
        record.encode((None, 1))
    with pytest.raises(LocalProtocolError, match=r"^cannot write Shop\.order: expected 2 values, got 1$"):
        record.encode((1,))
