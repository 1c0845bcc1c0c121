"""Encoded values are identical to those of the peers, and each side decodes the other's output."""

from __future__ import annotations

import functools
import math
import os
from typing import Any

import peer_samples
import pytest
from peer_dialects import SPOKEN

from idlrt.serialization import BinarySerialization, CompactSerialization, JsonSerialization
from idlrt.serialization._backend import native

pytestmark = pytest.mark.slow

OURS: dict[str, Any] = {"binary": BinarySerialization, "compact": CompactSerialization, "json": JsonSerialization}
# Of single values there is nothing to frame, and nothing that "old" is about. What thriftpy2 makes of JSON is told in
# test_interop_thriftpy2_json.py.
ALL = [
    each
    for each in SPOKEN
    if each.framing == "framed" and each.head == "strict" and (each.peer[:6], each.protocol) != ("thrift", "json")
]
APACHES = [each for each in ALL if each.peer.startswith("apache")]

make_peer = functools.cache(lambda spoken, stubs: spoken.make(stubs))


@pytest.fixture(params=["pure", "native"])
def backend(request):
    if request.param == "native" and native is None:
        assert not os.environ.get("IDLC_TEST_EVERYTHING"), "the native codec was not built"
        pytest.skip("the native codec was not built")
    return request.param


def codec_of(value, spoken, backend):
    return our_protocol(spoken.protocol, backend).struct(type(value))


@functools.cache
def our_protocol(name, backend):
    return OURS[name](backend=backend)


def agree(value, codec, peer):
    """Equal bytes, which both read."""
    data = codec.encode(value)
    assert data.hex() == peer.encode(value).hex(), value
    assert peer.decode(type(value), data) == value
    assert codec.decode(data) == (value, len(data))


@pytest.mark.parametrize("spoken", ALL, ids=str)
def test_values_have_the_same_bytes_and_each_reads_them(spoken, backend, stubs):
    peer = make_peer(spoken, stubs)
    for value in peer_samples.for_everybody(stubs):
        agree(value, codec_of(value, spoken, backend), peer)


@pytest.mark.parametrize("spoken", APACHES, ids=str)
def test_keys_that_are_containers_as_apache_has_them(spoken, backend, stubs):
    for value in peer_samples.keyed(stubs):
        agree(value, codec_of(value, spoken, backend), make_peer(spoken, stubs))


@pytest.mark.parametrize("spoken", APACHES, ids=str)
def test_uuids_and_unusual_ids_as_apache_has_them(spoken, backend, stubs):
    peer = make_peer(spoken, stubs)
    for value in peer_samples.for_apache(stubs):
        # Apache's C extension knows no UUIDs.
        if spoken.peer == "apache" or not (isinstance(value, stubs.Identified) or getattr(value, "fifth", None)):
            agree(value, codec_of(value, spoken, backend), peer)


@pytest.mark.parametrize("spoken", [each for each in ALL if each.protocol != "json"], ids=str)
def test_doubles_that_are_not_finite(spoken, backend, stubs):
    peer = make_peer(spoken, stubs)
    for value in peer_samples.not_finite(stubs):
        codec = codec_of(value, spoken, backend)
        data = codec.encode(value)
        assert data.hex() == peer.encode(value).hex()
        for got in (peer.decode(stubs.Scalars, data), codec.decode(data)[0]):
            assert got.real == value.real or (math.isnan(got.real) and math.isnan(value.real))


def the(peer, protocol):
    [found] = [each for each in ALL if (each.peer, each.protocol) == (peer, protocol)]
    return found


def test_doubles_that_are_not_finite_are_text_in_our_json(backend, stubs):
    # Apache's Python writes `inf` and `nan`, which is no JSON and which it does not read. Its C++ and Java write what
    # we do, and its Python reads that.
    spoken = the("apache", "json")
    peer = make_peer(spoken, stubs)
    for value, written in zip(peer_samples.not_finite(stubs), (b"Infinity", b"-Infinity", b"NaN"), strict=True):
        data = codec_of(value, spoken, backend).encode(value)
        assert data == b'{"6":{"dbl":"%b"}}' % written
        assert peer.encode(value) == b'{"6":{"dbl":%a}}' % value.real
        got = peer.decode(stubs.Scalars, data).real
        assert got == value.real or (math.isnan(got) and math.isnan(value.real))


def test_control_characters_are_escaped_in_our_json(backend, stubs):
    # Apache's Python writes them as they are, which is no JSON. Its C++ and Java write what we do, and its Python
    # reads that; and we read what it writes.
    spoken = the("apache", "json")
    peer = make_peer(spoken, stubs)
    for number in {*range(32)} - set(b"\b\f\n\r\t"):
        value = stubs.Scalars(text=f"a{chr(number)}b")
        codec = codec_of(value, spoken, backend)
        data = codec.encode(value)
        assert data == b'{"7":{"str":"a\\u%04xb"}}' % number
        assert peer.encode(value) == b'{"7":{"str":"a%cb"}}' % number
        assert peer.decode(stubs.Scalars, data) == value
        assert codec.decode(peer.encode(value))[0] == value
