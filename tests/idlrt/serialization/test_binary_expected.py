"""Expected and unexpected layouts in the binary reader: the result is the same."""

from __future__ import annotations

import itertools

import pytest
import wire_types as t
from builders import BUILDERS
from walked import walked

from idlrt import codegen as rpc
from idlrt.errors import RemoteProtocolError
from idlrt.serialization import BinarySerialization, Limits
from idlrt.spec import which

B = BUILDERS["binary"]
PROTOCOL = BinarySerialization(backend="pure")

# More than one call can read.
Wide = t.optionals("Wide", **{f"large{number}": rpc.I64 for number in range(100)}, name=rpc.STRING, uid=rpc.UUID)
Texts = t.optionals("Texts", **{f"text{number}": rpc.STRING for number in range(6)})


def round_trip(value):
    codec = PROTOCOL.struct(type(value))
    data = codec.encode(value)
    assert codec.decode(data) == (value, len(data))
    assert walked(type(value), data) == (value, len(data))
    for end in range(0, len(data), max(7, len(data) // 300)):
        with pytest.raises(RemoteProtocolError):
            codec.decode(data[:end])


def test_a_struct_of_many_numbers():
    everything = {f"large{number}": number for number in range(100)}
    round_trip(Wide(**everything, name="x" * 255))
    round_trip(Wide(**everything))
    for present in (0, 1, 45, 46, 47, 98, 99):
        round_trip(Wide(**{f"large{number}": number for number in range(present)}))
        round_trip(Wide(**{f"large{present}": 1}, name=""))


def test_any_fields_may_be_absent():
    for present in itertools.product((False, True), repeat=6):
        round_trip(Texts(**{f"text{number}": "t" * number for number in range(6) if present[number]}))


@pytest.mark.parametrize("length", [0, 1, 254, 255, 256, 257, 70_000])
def test_strings_of_any_length(length):
    text, data = "ä" * (length // 2) + "x" * (length % 2), b"\xff" * length
    round_trip(t.Optionals(text=text, data=data, large=1))
    round_trip(t.Pick(text=text))
    round_trip(Texts(text0=text, text1="", text2=text))
    if length < 1000:
        round_trip(t.Lists(texts=["", text, "a", text], blobs=[data, b"", data]))
        round_trip(t.Maps(counts={text: 1, "z": 2}, words={text: text, "y": ""}, blobs={data: 1}))
        round_trip(t.Maps(numbers=dict.fromkeys(range(length), 0.5)))


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 300])
def test_containers_of_any_length(count):
    round_trip(t.Lists(flags=[True] * count, larges=[1] * count, texts=["a"] * count))
    round_trip(t.Lists(points=[t.Point(x=number) for number in range(count)]))
    round_trip(t.Lists(picks=[t.Pick(number=number) for number in range(count)]))
    round_trip(t.Maps(counts={str(number): number for number in range(count)}))


def test_structs_in_a_row_may_differ():
    usual = B.field(t.I32, 1, B.i32(1)) + B.field(t.I32, 2, B.i32(2)) + b"\0"
    sparse = B.field(t.I32, 1, B.i32(3)) + b"\0"
    reverse = B.field(t.I32, 2, B.i32(5)) + B.field(t.I32, 1, B.i32(4)) + b"\0"
    newer = usual[:-1] + B.field(t.STRING, 9, B.text("new")) + b"\0"
    twice = usual[:-1] + B.field(t.I32, 1, B.i32(7)) + b"\0"
    row = [usual, sparse, usual, reverse, newer, newer, twice, usual]
    data = B.field(t.LIST, 11, B.sequence(t.STRUCT, *row)) + b"\0"
    value, end = PROTOCOL.struct(t.Lists).decode(data)
    assert end == len(data)
    assert [(point.x, point.y) for point in value.points] == [
        (1, 2),
        (3, None),
        (1, 2),
        (4, 5),
        (1, 2),
        (1, 2),
        (7, 2),
        (1, 2),
    ]


def test_one_struct_in_a_row_that_cannot_be_read_is_an_error():
    usual = B.field(t.I32, 1, B.i32(1)) + B.field(t.I32, 2, B.i32(2)) + b"\0"
    data = B.field(t.LIST, 11, B.sequence(t.STRUCT, usual, usual[7:], usual)) + b"\0"
    with pytest.raises(RemoteProtocolError, match=r"cannot read Lists\.points\[1\]: missing required field 'x'"):
        PROTOCOL.struct(t.Lists).decode(data)


def test_unions_in_a_row_may_be_of_unknown_fields():
    row = [B.field(t.I64, 1, B.i64(1)) + b"\0", B.field(t.I8, 77, b"\1") + b"\0", B.field(t.I64, 1, B.i64(2)) + b"\0"]
    value, _ = PROTOCOL.struct(t.Lists).decode(B.field(t.LIST, 12, B.sequence(t.STRUCT, *row)) + b"\0")
    assert [which(pick) for pick in value.picks] == ["number", None, "number"]


def test_what_was_read_before_a_surprise_stays_and_nothing_else():
    """The surprise comes in the middle of what one call reads."""
    fields = [B.field(t.I8, 2, b"\2"), B.field(t.I32, 4, B.i32(4)), B.field(t.DOUBLE, 6, bytes(8))]
    for order in itertools.permutations(range(3)):
        value, _ = PROTOCOL.struct(t.Optionals).decode(b"".join(fields[index] for index in order) + b"\0")
        assert value == t.Optionals(tiny=2, middle=4, real=0.0)
    for present in itertools.product((False, True), repeat=3):
        data = b"".join(field for field, is_there in zip(fields, present, strict=True) if is_there) + b"\0"
        value, _ = PROTOCOL.struct(t.Optionals).decode(data)
        assert [value.tiny, value.middle, value.real] == [
            each if is_there else None for each, is_there in zip((2, 4, 0.0), present, strict=True)
        ]


def test_a_default_is_there_again_after_a_surprise():
    # `size` and `flag` are read together with what is not there.
    data = B.field(t.I32, 4, B.i32(1)) + b"\0"
    assert PROTOCOL.struct(t.Defaults).decode(data)[0] == t.Defaults(color=t.Color.RED)
    assert PROTOCOL.struct(t.Defaults).decode(B.field(t.BOOL, 6, b"\0") + b"\0")[0] == t.Defaults(flag=False)


def test_a_limit_below_a_byte_holds_for_what_is_expected():
    protocol = BinarySerialization(Limits(max_string=4, max_container=2), backend="pure")
    for value in (
        Texts(text0="12345"),
        t.Lists(texts=["1", "12345"]),
        t.Lists(texts=["1", "2", "3"]),
        t.Maps(counts={"12345": 1}),
        t.Maps(words={"a": "12345"}),
        t.Lists(points=[t.Point(x=1)] * 3),
    ):
        with pytest.raises(RemoteProtocolError, match="exceeds the limit"):
            protocol.struct(type(value)).decode(protocol.struct(type(value)).encode(value))
