"""thriftpy2's `TApacheJSONProtocol`: how far its JSON is Apache's, field by field, and each fault of it by name."""

from __future__ import annotations

import functools
import json

import peer_samples
import pytest
import thriftpy2
from peer_dialects import IDL
from peer_values import from_peer, to_peer
from thriftpy2.protocol.apache_json import TApacheJSONProtocol
from thriftpy2.transport.memory import TCyMemoryBuffer
from thriftpy2_json import UNREADABLE, UNWRITABLE, sound

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.thrift.envelope import JsonEnvelope
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import JsonSerialization
from idlrt.spec import struct

pytestmark = pytest.mark.slow

OURS = JsonSerialization()
ENVELOPE = JsonEnvelope(OURS)


@functools.cache
def classes():
    return vars(thriftpy2.load(str(IDL), module_name="interop_json_thrift"))


def our_message(value):
    return ENVELOPE.pack_head(MessageType.REPLY, "echo", 7) + OURS.struct(type(value)).encode(value) + ENVELOPE.tail


def our_reading(cls, data):
    head, start = ENVELOPE.unpack_head(data)
    assert (head.kind, head.name, head.sequence_id) == (MessageType.REPLY, "echo", 7)
    value, end = OURS.struct(cls).decode(data, start)
    assert ENVELOPE.unpack_tail(data, end) == len(data)
    return value


def their_message(value):
    buffer = TCyMemoryBuffer()
    protocol = TApacheJSONProtocol(buffer)
    protocol.write_message_begin("echo", 2, 7)
    to_peer(value, struct(type(value)), classes()).write(protocol)
    protocol.write_message_end()
    return bytes(buffer.getvalue())


def their_reading(cls, data):
    protocol = TApacheJSONProtocol(TCyMemoryBuffer(data))
    assert list(protocol.read_message_begin()) == ["echo", 2, 7]
    made = classes()[cls.__name__]()
    made.read(protocol)
    return from_peer(made, struct(cls))


def test_the_same_text_where_it_is_ascii_and_has_no_doubles(stubs):
    compared = 0
    for value in map(sound, peer_samples.for_everybody(stubs)):
        data = our_message(value)
        if data.isascii() and b'"dbl"' not in data and "\x7f" not in data.decode():
            assert their_message(value).decode() == data.decode()
            compared += 1
    assert compared > 20


def test_the_same_json_everywhere(stubs):
    for value in map(sound, peer_samples.for_everybody(stubs)):
        # As pairs: names are compared with their order, and twice is not once.
        texts = (our_message(value), their_message(value))
        ours, theirs = (json.loads(text, object_pairs_hook=tuple) for text in texts)
        assert ours == theirs


def test_each_reads_the_other(stubs):
    for value in map(sound, peer_samples.for_everybody(stubs)):
        assert their_reading(type(value), our_message(value)) == value
        assert our_reading(type(value), their_message(value)) == value


def is_written_right(value):
    try:
        return our_reading(type(value), their_message(value)) == value
    except (IndexError, TypeError, KeyError, RemoteProtocolError):
        return False


def is_read_right(value):
    try:
        return their_reading(type(value), our_message(value)) == value
    except ValueError:  # our enum does not take text
        return False


@pytest.mark.parametrize("fault", sorted({*UNWRITABLE, *UNREADABLE}), ids=".".join)
def test_it_still_has_each_fault_and_no_other_with_it(fault, stubs):
    # Fails when a fault is fixed in thriftpy2 and its entry must be removed from the lists.
    values = [peer_samples.containers(stubs)[0], peer_samples.flags(stubs)[0], peer_samples.nested(stubs)[0]]
    struct_name, field = fault
    [whole] = [value for value in values if type(value).__name__ == struct_name]
    value = type(whole)(**{field: getattr(whole, field)})
    assert is_written_right(value) == (fault not in UNWRITABLE)
    assert is_read_right(value) == (fault not in UNREADABLE)


@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
def test_doubles_that_are_not_finite_it_writes_as_no_json(text, stubs):
    # But it reads what we write.
    value = stubs.Scalars(real=float(text))
    bare = {"inf": b"Infinity", "-inf": b"-Infinity", "nan": b"NaN"}[text]
    assert b'"dbl":%b}' % bare in their_message(value)
    assert b'"dbl":"%b"}' % bare in our_message(value)
    assert str(their_reading(stubs.Scalars, our_message(value)).real) == text


def test_it_reads_one_message_in_its_life():
    buffer = TCyMemoryBuffer(b'[1,"one",1,1,{}][1,"two",1,2,{}]')
    protocol = TApacheJSONProtocol(buffer)
    assert list(protocol.read_message_begin()) == ["one", 1, 1]
    protocol.read_message_end()
    assert list(protocol.read_message_begin()) == ["one", 1, 1]
