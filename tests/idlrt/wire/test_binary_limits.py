"""Limits hold, and hold before anything is allocated for what a length announces."""

from __future__ import annotations

import tracemalloc

import pytest
import wire_types as t

from idlrt.errors import RemoteProtocolError
from idlrt.wire import BinaryProtocol, Limits

HUGE = (2**31 - 1, 2**32 - 1, 2**24)

# Where a length stands: class → bytes up to it, with the length left to be said.
ANNOUNCEMENTS = {
    "string": (t.Optionals, lambda n: t.field(t.STRING, 7, n)),
    "binary": (t.Optionals, lambda n: t.field(t.STRING, 8, n)),
    "list of bools": (t.Lists, lambda n: t.field(t.LIST, 1, bytes([t.BOOL]) + n)),
    "list of i8": (t.Lists, lambda n: t.field(t.LIST, 2, bytes([t.I8]) + n)),
    "list of i64": (t.Lists, lambda n: t.field(t.LIST, 5, bytes([t.I64]) + n)),
    "list of doubles": (t.Lists, lambda n: t.field(t.LIST, 6, bytes([t.DOUBLE]) + n)),
    "list of strings": (t.Lists, lambda n: t.field(t.LIST, 7, bytes([t.STRING]) + n)),
    "string in a list": (t.Lists, lambda n: t.field(t.LIST, 7, t.sequence(t.STRING, n))),
    "list of uuids": (t.Lists, lambda n: t.field(t.LIST, 9, bytes([t.UID]) + n)),
    "list of enums": (t.Lists, lambda n: t.field(t.LIST, 10, bytes([t.I32]) + n)),
    "list of structs": (t.Lists, lambda n: t.field(t.LIST, 11, bytes([t.STRUCT]) + n)),
    "list of lists": (t.Lists, lambda n: t.field(t.LIST, 13, bytes([t.LIST]) + n)),
    "list in a list": (t.Lists, lambda n: t.field(t.LIST, 13, t.sequence(t.LIST, bytes([t.I32]) + n))),
    "set of i64": (t.Sets, lambda n: t.field(t.SET, 2, bytes([t.I64]) + n)),
    "set of strings": (t.Sets, lambda n: t.field(t.SET, 4, bytes([t.STRING]) + n)),
    "map of numbers": (t.Maps, lambda n: t.field(t.MAP, 1, bytes([t.I32, t.DOUBLE]) + n)),
    "map of counts": (t.Maps, lambda n: t.field(t.MAP, 2, bytes([t.STRING, t.I32]) + n)),
    "key of counts": (t.Maps, lambda n: t.field(t.MAP, 2, t.mapping(t.STRING, t.I32, n, b""))),
    "map of words": (t.Maps, lambda n: t.field(t.MAP, 4, bytes([t.STRING, t.STRING]) + n)),
    "map of flags": (t.Maps, lambda n: t.field(t.MAP, 7, bytes([t.BOOL, t.BOOL]) + n)),
    "map in a map": (
        t.Maps,
        lambda n: t.field(t.MAP, 12, t.mapping(t.STRING, t.MAP, t.text("k"), bytes([t.I64, t.LIST]) + n)),
    ),
    "unknown string": (t.Empty, lambda n: t.field(t.STRING, 1, n)),
    "unknown list of i8": (t.Empty, lambda n: t.field(t.LIST, 1, bytes([t.I8]) + n)),
    "unknown list of lists": (t.Empty, lambda n: t.field(t.LIST, 1, bytes([t.LIST]) + n)),
    "unknown set of structs": (t.Empty, lambda n: t.field(t.SET, 1, bytes([t.STRUCT]) + n)),
    "unknown map": (t.Empty, lambda n: t.field(t.MAP, 1, bytes([t.STRING, t.I64]) + n)),
    "wrong type": (t.Point, lambda n: t.field(t.STRING, 1, n)),
}


@pytest.mark.parametrize("where", ANNOUNCEMENTS)
def test_a_huge_length_allocates_nothing(where):
    cls, before = ANNOUNCEMENTS[where]
    protocol = BinaryProtocol(Limits(max_message=2**33, max_string=2**33, max_container=2**33))
    codec = protocol.struct(cls)
    messages = [before(length.to_bytes(4, "big")) + bytes(50) for length in HUGE]
    with pytest.raises(RemoteProtocolError):
        codec.decode(messages[0])  # compiles both readers
    tracemalloc.start()
    try:
        for message in messages:
            with pytest.raises(RemoteProtocolError):
                codec.decode(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("where", ANNOUNCEMENTS)
def test_the_scanner_keeps_nothing_for_a_huge_length(where):
    _, before = ANNOUNCEMENTS[where]
    head = bytes.fromhex("80010001 00000001 61 00000001")
    messages = [head + before(length.to_bytes(4, "big")) + bytes(50) for length in HUGE]
    tracemalloc.start()
    try:
        for message in messages:
            with pytest.raises(RemoteProtocolError, match="over the limit"):
                BinaryProtocol().scanner().scan(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


# Each limit: what is just within it is read, what is just over it is not.

READABLE = {
    "text": lambda n: (t.Optionals(text="x" * n), "max_string"),
    "binary": lambda n: (t.Optionals(data=b"x" * n), "max_string"),
    "strings of a list": lambda n: (t.Lists(texts=["x" * n]), "max_string"),
    "keys": lambda n: (t.Maps(counts={"x" * n: 1}), "max_string"),
    "values": lambda n: (t.Maps(words={"k": "x" * n}), "max_string"),
    "strings of structs": lambda n: (t.Pick(text="x" * n), "max_string"),
    "list": lambda n: (t.Lists(larges=[1] * n), "max_container"),
    "list of bools": lambda n: (t.Lists(flags=[True] * n), "max_container"),
    "list of strings": lambda n: (t.Lists(texts=["a"] * n), "max_container"),
    "list of structs": lambda n: (t.Lists(points=[t.Point(x=1)] * n), "max_container"),
    "set": lambda n: (t.Sets(larges=set(range(n))), "max_container"),
    "map of numbers": lambda n: (t.Maps(numbers=dict.fromkeys(range(n), 0.0)), "max_container"),
    "map of counts": lambda n: (t.Maps(counts={str(i): i for i in range(n)}), "max_container"),
    "inner list": lambda n: (t.Lists(lists=[[1] * n]), "max_container"),
}


@pytest.mark.parametrize("what", READABLE)
def test_a_limit_includes_itself(what):
    protocol = BinaryProtocol(Limits(max_string=10, max_container=10))
    value, limit = READABLE[what](10)
    codec = protocol.struct(type(value))
    data = codec.encode(value)
    assert codec.decode(data) == (value, len(data))
    value, limit = READABLE[what](11)
    with pytest.raises(RemoteProtocolError, match=f"cannot read .*11 at offset .* is over the limit {limit}=10"):
        codec.decode(codec.encode(value))


@pytest.mark.parametrize("what", READABLE)
def test_the_scanner_has_the_same_limits(what):
    limits = Limits(max_string=10, max_container=10)
    protocol = BinaryProtocol(limits)
    head = bytes.fromhex("80010001 00000001 61 00000001")
    value, _ = READABLE[what](10)
    message = head + protocol.struct(type(value)).encode(value)
    assert protocol.scanner().scan(message) == len(message)
    value, limit = READABLE[what](11)
    with pytest.raises(RemoteProtocolError, match=f"{limit}=10"):
        protocol.scanner().scan(head + protocol.struct(type(value)).encode(value))


def test_a_message_has_a_limit():
    protocol = BinaryProtocol(Limits(max_message=16))
    codec = protocol.struct(t.Optionals)
    fits = codec.encode(t.Optionals(text="x" * 8))
    assert len(fits) == 16
    assert codec.decode(fits)[0].text == "x" * 8
    with pytest.raises(RemoteProtocolError, match="max_message=16"):
        codec.decode(codec.encode(t.Optionals(text="x" * 9)))


# Depth.


def nest(levels: int) -> bytes:
    """`levels` structs, one within the other."""
    return t.field(t.STRUCT, 3, b"") * (levels - 1) + b"\0" * levels


def nest_lists(levels: int) -> bytes:
    """A struct that is `levels` deep, each within a list."""
    return t.field(t.LIST, 2, t.sequence(t.STRUCT, count=1)) * (levels - 1) + b"\0" * levels


def nest_unknown_lists(levels: int) -> bytes:
    return t.field(t.LIST, 1, t.sequence(t.LIST, count=1) * (levels - 1) + t.sequence(t.I8)) + b"\0"


def nest_unknown_maps(levels: int) -> bytes:
    return t.field(t.MAP, 1, t.mapping(t.I8, t.MAP, b"\1", count=1) * (levels - 1) + t.mapping(0, 0)) + b"\0"


@pytest.mark.parametrize("make", [nest, nest_lists])
@pytest.mark.parametrize("cls", [t.Tree, t.Empty])
def test_structs_nest_to_the_limit_and_no_deeper(make, cls):
    protocol = BinaryProtocol(Limits(max_depth=20))
    codec = protocol.struct(cls)
    deepest = max(levels for levels in range(1, 30) if _reads(codec, make(levels)))
    # In unknown fields containers count too: nothing else would bound them.
    assert deepest == (21 if make is nest or cls is t.Tree else 11)
    with pytest.raises(RemoteProtocolError, match="max_depth=20"):
        codec.decode(make(22))


def _reads(codec, data):
    try:
        return codec.decode(data)[1] == len(data)
    except RemoteProtocolError:
        return False


@pytest.mark.parametrize("make", [nest, nest_lists, nest_unknown_lists, nest_unknown_maps])
@pytest.mark.parametrize("levels", [100, 1000, 100_000])
@pytest.mark.parametrize("cls", [t.Tree, t.Empty])
def test_any_depth_is_an_error_and_nothing_worse(make, levels, cls):
    with pytest.raises(RemoteProtocolError, match="over the limit max_depth=64"):
        BinaryProtocol().struct(cls).decode(make(levels))


@pytest.mark.parametrize("make", [nest, nest_lists, nest_unknown_lists, nest_unknown_maps])
def test_a_limit_beyond_the_stack_of_python_is_an_error_and_nothing_worse(make):
    protocol = BinaryProtocol(Limits(max_depth=10**9))
    for cls in (t.Tree, t.Empty):
        with pytest.raises(RemoteProtocolError, match=r"recursion|nest"):
            protocol.struct(cls).decode(make(50_000))


@pytest.mark.parametrize("make", [nest, nest_lists, nest_unknown_lists, nest_unknown_maps])
def test_the_scanner_passes_what_a_reader_reads_and_stops_soon_after(make):
    protocol = BinaryProtocol(Limits(max_depth=20))
    head = bytes.fromhex("80010001 00000001 61 00000001")
    for levels in range(1, 22):
        body = make(levels)
        if _reads(protocol.struct(t.Tree), body) or _reads(protocol.struct(t.Empty), body):
            assert protocol.scanner().scan(head + body) == len(head + body)
    for levels in (23, 1000, 100_000):
        with pytest.raises(RemoteProtocolError, match="max_depth=20"):
            protocol.scanner().scan(head + make(levels))
