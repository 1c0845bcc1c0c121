"""Limits hold, and hold before anything is allocated for what a length announces."""

from __future__ import annotations

import tracemalloc

import pytest
import wire_types as t
from protocols import HOWS, OLD, each_protocol

from idlrt.errors import RemoteProtocolError

pytestmark = pytest.mark.slow

# Where a length stands: class → the fields of a message that has it, and is made by `b`.
ANNOUNCEMENTS = {
    "string": (t.Optionals, lambda b, n: b.field(t.STRING, 7, b.text("", n))),
    "binary": (t.Optionals, lambda b, n: b.field(t.STRING, 8, b.text("", n))),
    "list of bools": (t.Lists, lambda b, n: b.field(t.LIST, 1, b.sequence(t.BOOL, count=n))),
    "list of i8": (t.Lists, lambda b, n: b.field(t.LIST, 2, b.sequence(t.I8, count=n))),
    "list of i64": (t.Lists, lambda b, n: b.field(t.LIST, 5, b.sequence(t.I64, count=n))),
    "list of doubles": (t.Lists, lambda b, n: b.field(t.LIST, 6, b.sequence(t.DOUBLE, count=n))),
    "list of strings": (t.Lists, lambda b, n: b.field(t.LIST, 7, b.sequence(t.STRING, count=n))),
    "string in a list": (t.Lists, lambda b, n: b.field(t.LIST, 7, b.sequence(t.STRING, b.text("", n)))),
    "list of uuids": (t.Lists, lambda b, n: b.field(t.LIST, 9, b.sequence(t.UID, count=n))),
    "list of enums": (t.Lists, lambda b, n: b.field(t.LIST, 10, b.sequence(t.I32, count=n))),
    "list of structs": (t.Lists, lambda b, n: b.field(t.LIST, 11, b.sequence(t.STRUCT, count=n))),
    "list of lists": (t.Lists, lambda b, n: b.field(t.LIST, 13, b.sequence(t.LIST, count=n))),
    "list in a list": (t.Lists, lambda b, n: b.field(t.LIST, 13, b.sequence(t.LIST, b.sequence(t.I32, count=n)))),
    "set of i64": (t.Sets, lambda b, n: b.field(t.SET, 2, b.sequence(t.I64, count=n))),
    "set of strings": (t.Sets, lambda b, n: b.field(t.SET, 4, b.sequence(t.STRING, count=n))),
    "map of numbers": (t.Maps, lambda b, n: b.field(t.MAP, 1, b.mapping(t.I32, t.DOUBLE, count=n))),
    "map of counts": (t.Maps, lambda b, n: b.field(t.MAP, 2, b.mapping(t.STRING, t.I32, count=n))),
    "key of counts": (t.Maps, lambda b, n: b.field(t.MAP, 2, b.mapping(t.STRING, t.I32, b.text("", n), b""))),
    "map of words": (t.Maps, lambda b, n: b.field(t.MAP, 4, b.mapping(t.STRING, t.STRING, count=n))),
    "map of flags": (t.Maps, lambda b, n: b.field(t.MAP, 7, b.mapping(t.BOOL, t.BOOL, count=n))),
    "map in a map": (
        t.Maps,
        lambda b, n: b.field(t.MAP, 12, b.mapping(t.STRING, t.MAP, b.text("k"), b.mapping(t.I64, t.LIST, count=n))),
    ),
    "unknown string": (t.Empty, lambda b, n: b.field(t.STRING, 1, b.text("", n))),
    "unknown list of i8": (t.Empty, lambda b, n: b.field(t.LIST, 1, b.sequence(t.I8, count=n))),
    "unknown list of lists": (t.Empty, lambda b, n: b.field(t.LIST, 1, b.sequence(t.LIST, count=n))),
    "unknown set of structs": (t.Empty, lambda b, n: b.field(t.SET, 1, b.sequence(t.STRUCT, count=n))),
    "unknown map": (t.Empty, lambda b, n: b.field(t.MAP, 1, b.mapping(t.STRING, t.I64, count=n))),
    "wrong type": (t.Point, lambda b, n: b.field(t.STRING, 1, b.text("", n))),
}

each_with_lengths = pytest.mark.parametrize("how", [how for how in HOWS if how.name != "json"], ids=repr)
each_scanner = pytest.mark.parametrize("how", [*[how for how in HOWS if how.backend == "pure"], OLD], ids=repr)


def peak_of(work) -> int:
    """Most bytes that were allocated at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@each_with_lengths
@pytest.mark.parametrize("where", ANNOUNCEMENTS)
def test_a_huge_length_allocates_nothing(how, where):
    cls, announce = ANNOUNCEMENTS[where]
    codec = how(max_message=2**33, max_string=2**33, max_container=2**33).struct(cls)
    messages = [announce(how.bytes, length) + bytes(50) for length in how.bytes.lengths]

    def read_all():
        for message in messages:
            with pytest.raises(RemoteProtocolError, match=r"unexpected end of data at offset \d+: need \d{8,} bytes"):
                codec.decode(message)

    read_all()  # compiles all readers
    assert peak_of(read_all) < 100_000


@pytest.mark.parametrize("how", [how for how in HOWS if how.name == "json"], ids=repr)
@pytest.mark.parametrize("where", [name for name in ANNOUNCEMENTS if "string" not in name.split(" ")[:2]])
def test_a_huge_length_in_json_allocates_nothing(how, where):
    cls, announce = ANNOUNCEMENTS[where]
    if where in ("binary", "key of counts", "wrong type"):  # strings have no lengths there
        return
    codec = how(max_message=2**33, max_string=2**33, max_container=2**33).struct(cls)
    messages = [how.bytes.struct(announce(how.bytes, length)) + b" " * 50 for length in how.bytes.lengths]

    def read_all():
        for message in messages:
            with pytest.raises(RemoteProtocolError, match=r"unexpected end of data at offset \d+: need \d{8,} bytes"):
                codec.decode(message)

    read_all()
    assert peak_of(read_all) < 100_000


@pytest.mark.parametrize("how", [how for how in HOWS if how.backend == "pure" and how.name != "json"], ids=repr)
@pytest.mark.parametrize("where", ANNOUNCEMENTS)
def test_the_scanner_keeps_nothing_for_a_huge_length(how, where):
    _, announce = ANNOUNCEMENTS[where]
    messages = [how.head + announce(how.bytes, length) + bytes(50) for length in how.bytes.lengths]

    def scan_all():
        for message in messages:
            with pytest.raises(RemoteProtocolError, match="exceeds the limit"):
                how.envelope().scanner().scan(message)

    assert peak_of(scan_all) < 100_000


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


@each_protocol
@pytest.mark.parametrize("what", READABLE)
def test_a_limit_includes_itself(how, what):
    value, limit = READABLE[what](10)
    codec = how(max_string=10, max_container=10).struct(type(value))
    data = codec.encode(value)
    assert codec.decode(data) == (value, len(data))
    value, limit = READABLE[what](11)
    with pytest.raises(RemoteProtocolError, match=f"cannot read .*11 at offset .* exceeds the limit {limit}=10"):
        codec.decode(codec.encode(value))


@each_scanner
@pytest.mark.parametrize("what", READABLE)
def test_the_scanner_has_the_same_limits(how, what):
    protocol = how(max_string=10, max_container=10)
    envelope = how.envelope(max_string=10, max_container=10)
    value, _ = READABLE[what](10)
    message = how.message(protocol.struct(type(value)).encode(value))
    assert envelope.scanner().scan(message) == len(message)
    value, limit = READABLE[what](11)
    message = how.message(protocol.struct(type(value)).encode(value))
    if how.name == "json":  # nothing grows with them there: they are the reader's
        assert envelope.scanner().scan(message) == len(message)
        return
    with pytest.raises(RemoteProtocolError, match=f"{limit}=10"):
        envelope.scanner().scan(message)


@each_protocol
def test_a_message_has_a_limit(how):
    fits = how().struct(t.Optionals).encode(t.Optionals(text="x" * 8))
    codec = how(max_message=len(fits)).struct(t.Optionals)
    assert codec.decode(fits)[0].text == "x" * 8
    assert codec.decode(b"??" + fits, 2)[0].text == "x" * 8
    expected = rf"^cannot read Optionals: {len(fits) + 1} at offset 0 exceeds the limit max_message={len(fits)}$"
    with pytest.raises(RemoteProtocolError, match=expected):
        codec.decode(codec.encode(t.Optionals(text="x" * 9)))


# Depth.


def nest(b, levels: int) -> bytes:
    """`levels` structs, one within the other."""
    before, after = b.struct(b.field(t.STRUCT, 3, b"?")).split(b"?")
    return before * (levels - 1) + b.struct() + after * (levels - 1)


def nest_lists(b, levels: int) -> bytes:
    """A struct that is `levels` deep, each within a list."""
    before, after = b.struct(b.field(t.LIST, 2, b.sequence(t.STRUCT, b"?"))).split(b"?")
    return before * (levels - 1) + b.struct() + after * (levels - 1)


def nest_unknown_lists(b, levels: int) -> bytes:
    before, after = b.sequence(t.LIST, b"?").split(b"?")
    return b.struct(b.field(t.LIST, 1, before * (levels - 1) + b.sequence(t.I8) + after * (levels - 1)))


def nest_unknown_maps(b, levels: int) -> bytes:
    before, after = b.mapping(t.I8, t.MAP, b.i8(1), b"?").split(b"?")
    return b.struct(b.field(t.MAP, 1, before * (levels - 1) + b.mapping(t.I8, t.I8) + after * (levels - 1)))


NESTS = [nest, nest_lists, nest_unknown_lists, nest_unknown_maps]


@each_protocol
@pytest.mark.parametrize("make", [nest, nest_lists])
@pytest.mark.parametrize("cls", [t.Tree, t.Empty])
def test_structs_nest_to_the_limit_and_no_deeper(how, make, cls):
    codec = how(max_depth=20).struct(cls)
    deepest = max(levels for levels in range(1, 30) if _reads(codec, make(how.bytes, levels)))
    # In unknown fields containers count too: nothing else would bound them.
    assert deepest == (21 if make is nest or cls is t.Tree else 11)
    with pytest.raises(RemoteProtocolError, match="max_depth=20"):
        codec.decode(make(how.bytes, 22))


def _reads(codec, data):
    try:
        return codec.decode(data)[1] == len(data)
    except RemoteProtocolError:
        return False


@each_protocol
@pytest.mark.parametrize("make", NESTS)
@pytest.mark.parametrize("levels", [100, 1000, 100_000])
@pytest.mark.parametrize("cls", [t.Tree, t.Empty])
def test_any_depth_is_an_error_and_nothing_worse(how, make, levels, cls):
    with pytest.raises(RemoteProtocolError, match=r"nesting at offset \d+ exceeds the limit max_depth=64"):
        how().struct(cls).decode(make(how.bytes, levels))


@each_protocol
@pytest.mark.parametrize("make", NESTS)
def test_a_limit_beyond_the_stack_of_python_is_an_error_and_nothing_worse(how, make):
    for cls in (t.Tree, t.Empty):
        with pytest.raises(RemoteProtocolError, match=r"recursion|nest"):
            how(max_depth=10**9).struct(cls).decode(make(how.bytes, 50_000))


@pytest.mark.parametrize("how", [how for how in HOWS if how.backend == "pure"], ids=repr)
@pytest.mark.parametrize("make", NESTS)
def test_the_scanner_passes_what_a_reader_reads_and_stops_soon_after(how, make):
    protocol, envelope = how(max_depth=20), how.envelope(max_depth=20)
    for levels in range(1, 22):
        body = make(how.bytes, levels)
        if _reads(protocol.struct(t.Tree), body) or _reads(protocol.struct(t.Empty), body):
            assert envelope.scanner().scan(how.message(body)) == len(how.message(body))
    for levels in (23, 1000, 100_000):
        message = how.message(make(how.bytes, levels))
        if how.name == "json":  # it counts brackets, and needs no stack for that
            assert envelope.scanner().scan(message) == len(message)
            continue
        with pytest.raises(RemoteProtocolError, match="max_depth=20"):
            envelope.scanner().scan(message)


@each_protocol
def test_an_empty_list_at_the_limit_is_no_further_struct(how):
    codec, b = how(max_depth=0).struct(t.Tree), how.bytes
    data = b.struct(b.field(t.LIST, 2, b.sequence(t.STRUCT)))
    assert codec.decode(data) == (t.Tree(children=[]), len(data))
    data = b.struct(b.field(t.LIST, 2, b.sequence(t.STRUCT, b.struct())))
    with pytest.raises(
        RemoteProtocolError, match=r"^cannot read Tree\.children\[0\]: nesting at offset \d+ exceeds the"
    ):
        codec.decode(data)
