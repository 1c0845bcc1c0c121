"""Damaged bytes give a value or a `RemoteProtocolError`: never another exception, never an endless loop."""

from __future__ import annotations

import struct

import pytest
import wire_types as t
from golden_bytes import GOLDEN, golden
from hypothesis import given, settings
from hypothesis import strategies as st

from idlrt.errors import RemoteProtocolError
from idlrt.wire import BinaryProtocol, Limits
from idlrt.wire._binary_skip import skip
from idlrt.wire._binary_values import PADDING
from idlrt.wire.faults import Fault

PROTOCOL = BinaryProtocol()
SMALL = BinaryProtocol(Limits(max_message=10_000, max_string=100, max_container=20, max_depth=4))
HEAD = bytes.fromhex("80010001 00000001 61 00000001")


def outcome(protocol, cls, data):
    """Where decoding ends, or None if it refuses. Anything else that is raised fails the test."""
    try:
        value, end = protocol.struct(cls).decode(data)
    except RemoteProtocolError as error:
        return None if "do not agree" not in str(error) else pytest.fail(str(error))
    assert type(value) is cls
    assert 0 < end <= len(data)
    return end


def skipped(data):
    padded = data + PADDING
    try:
        end = skip(padded, 0, len(data), t.STRUCT, 64, 64)
    except (Fault, IndexError, struct.error):
        return None
    return end if end <= len(data) else None


def scanned(data):
    try:
        end = PROTOCOL.scanner().scan(HEAD + data)
    except RemoteProtocolError:
        return None
    return None if end is None else end - len(HEAD)


def check(cls, data):
    end = outcome(PROTOCOL, cls, data)
    if end is not None:
        # Whoever reads, skips or scans the same bytes comes to the same end.
        assert skipped(data) == end
        assert scanned(data) == end
    outcome(SMALL, cls, data)


@pytest.mark.parametrize("name", GOLDEN)
def test_every_truncation_is_refused(name):
    value, data = golden(name)
    for end in range(len(data)):
        assert outcome(PROTOCOL, type(value), data[:end]) is None
        assert skipped(data[:end]) is None
        assert scanned(data[:end]) is None


@pytest.mark.parametrize("name", GOLDEN)
def test_every_flipped_bit_is_survived(name):
    value, data = golden(name)
    damaged = bytearray(data)
    for bit in range(len(data) * 8):
        damaged[bit // 8] ^= 1 << bit % 8
        check(type(value), bytes(damaged))
        damaged[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("name", ["lists", "maps", "sets", "every scalar", "recursion", "defaults"])
@pytest.mark.parametrize("byte", [0, 1, 0x7F, 0x80, 0xFF])
def test_every_byte_replaced_is_survived(name, byte):
    value, data = golden(name)
    for position in range(len(data)):
        check(type(value), data[:position] + bytes([byte]) + data[position + 1 :])


@pytest.mark.parametrize("cls", t.CLASSES)
@settings(max_examples=50)
@given(data=st.binary(max_size=200))
def test_noise_is_survived(cls, data):
    check(cls, data)


@pytest.mark.parametrize("cls", t.CLASSES)
def test_nothing_at_all_is_refused(cls):
    with pytest.raises(RemoteProtocolError, match=f"cannot read {cls.__name__}"):
        PROTOCOL.struct(cls).decode(b"")


def test_a_start_behind_the_end_is_refused():
    with pytest.raises(RemoteProtocolError):
        PROTOCOL.struct(t.Empty).decode(b"\0", 1)
    with pytest.raises(RemoteProtocolError):
        PROTOCOL.struct(t.Point).decode(b"\0", 500)


@pytest.mark.parametrize("name", GOLDEN)
def test_padding_is_never_taken_for_data(name):
    """Zero bytes behind the end could complete a value that was cut off."""
    value, data = golden(name)
    stripped = data.rstrip(b"\0")
    for end in range(len(stripped), len(data)):
        assert outcome(PROTOCOL, type(value), data[:end]) is None


def test_an_error_says_what_could_not_be_read_and_where():
    value, data = golden("lists")
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Lists\.texts\[1\]: it needs 1 bytes at offset 18, 0 "):
        PROTOCOL.struct(t.Lists).decode(t.field(t.LIST, 7, t.sequence(t.STRING, t.text("ab"), t.text("a")[:-1])))
    with pytest.raises(RemoteProtocolError, match=r"cannot read Lists: .* at offset"):
        PROTOCOL.struct(type(value)).decode(data[:-1])
