"""Damaged bytes give a value or a `RemoteProtocolError`: never another exception, never an endless loop."""

from __future__ import annotations

import re
import struct

import pytest
import wire_types as t
from golden_bytes import GOLDEN, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from protocols import HOWS, each_protocol

from idlrt.errors import RemoteProtocolError
from idlrt.serialization import DEFAULT_LIMITS
from idlrt.serialization._binary_skip import skip
from idlrt.serialization._binary_values import PADDING
from idlrt.serialization.errors import DecodeError

pytestmark = pytest.mark.slow

SMALL = {"max_message": 10_000, "max_string": 100, "max_container": 20, "max_depth": 4}
# cannot read Order.items[3].name: unexpected end of data at offset 40: need 12 bytes, have 5
WHERE = r"cannot read {root}(\.[a-z_]+|\.field \d+|\[[^\]]+\])*: .*offset \d+"


def outcome(protocol, cls, data):
    """Where decoding ends, or the error. Anything else that is raised fails the test."""
    try:
        value, end = protocol.struct(cls).decode(data)
    except RemoteProtocolError as error:
        return error if "do not agree" not in str(error) else pytest.fail(str(error))
    assert type(value) is cls
    assert 0 < end <= len(data)
    return end


def skipped(data):
    """Return where the fast binary reader stops skipping, or `None` if the data is invalid."""
    padded = data + PADDING
    try:
        end = skip(padded, 0, len(data), t.STRUCT, 64, DEFAULT_LIMITS)
    except (DecodeError, IndexError, struct.error):
        return None
    return end if end <= len(data) else None


def scanned(how, data, end):
    """Where the scanner ends in a message of which the reader ends at `end`."""
    message = how.head + data[:end] + how.envelope().tail
    found = how.envelope().scanner().scan(message + data[end:])
    return None if found is None else found - len(how.head) - len(how.envelope().tail)


def check(how, cls, data):
    end = outcome(how(), cls, data)
    if isinstance(end, int):
        # Reading, skipping and scanning the same bytes stop at the same offset.
        assert scanned(how, data, end) == end
        assert how.name != "binary" or skipped(data) == end
    outcome(how(**SMALL), cls, data)


@each_protocol
@pytest.mark.parametrize("name", GOLDEN)
def test_every_truncation_is_refused_and_says_where(how, name):
    value, data = golden(name, how.name)
    pattern = WHERE.format(root=type(value).__name__)
    for end in range(len(data)):
        error = outcome(how(), type(value), data[:end])
        assert re.fullmatch(pattern + ".*", str(error), re.DOTALL), error
        assert how.envelope().scanner().scan(how.head + data[:end]) is None
        assert how.name != "binary" or skipped(data[:end]) is None


@pytest.mark.parametrize("name", GOLDEN)
def test_all_backends_say_the_same_of_every_truncation(name):
    for protocol in ("binary", "compact", "json"):
        hows = [how for how in HOWS if how.name == protocol]
        value, data = golden(name, protocol)
        for end in range(len(data)):
            errors = {str(outcome(how(), type(value), data[:end])) for how in hows}
            assert len(errors) == 1


@each_protocol
@pytest.mark.parametrize("name", GOLDEN)
def test_every_flipped_bit_is_survived(how, name):
    value, data = golden(name, how.name)
    damaged = bytearray(data)
    for bit in range(len(data) * 8):
        damaged[bit // 8] ^= 1 << bit % 8
        check(how, type(value), bytes(damaged))
        damaged[bit // 8] ^= 1 << bit % 8


@each_protocol
@pytest.mark.parametrize("name", ["lists", "maps", "sets", "every scalar", "recursion", "defaults"])
@pytest.mark.parametrize("byte", [0, 1, 0x22, 0x2C, 0x5C, 0x7F, 0x80, 0xFF])
def test_every_byte_replaced_is_survived(how, name, byte):
    value, data = golden(name, how.name)
    for position in range(len(data)):
        check(how, type(value), data[:position] + bytes([byte]) + data[position + 1 :])


@each_protocol
@pytest.mark.parametrize("cls", t.CLASSES)
@settings(max_examples=30)
@given(data=st.binary(max_size=200) | st.text('{}[]",:0123456789truefals \\', max_size=60).map(str.encode))
def test_noise_is_survived(how, cls, data):
    check(how, cls, data)


@each_protocol
@pytest.mark.parametrize("cls", t.CLASSES)
def test_nothing_at_all_is_refused(how, cls):
    with pytest.raises(
        RemoteProtocolError,
        match=f"^cannot read {cls.__name__}: unexpected end of data at offset 0: need 1 byte, have 0",
    ):
        how().struct(cls).decode(b"")


@each_protocol
def test_a_start_behind_the_end_is_refused(how):
    with pytest.raises(RemoteProtocolError):
        how().struct(t.Empty).decode(b"\0", 1)
    with pytest.raises(RemoteProtocolError):
        how().struct(t.Point).decode(b"\0", 500)


@pytest.mark.parametrize("name", GOLDEN)
def test_padding_is_never_taken_for_data(name):
    """Zero bytes behind the end could complete a value that was cut off."""
    value, data = golden(name)
    stripped = data.rstrip(b"\0")
    for how in HOWS:
        for end in range(len(stripped), len(data)):
            assert how.name != "binary" or not isinstance(outcome(how(), type(value), data[:end]), int)
