"""Reading bytes from another version of the IDL or from another writer."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
import wire_types as t
from builders import BUILDERS, UNKNOWN
from protocols import HOWS, each_protocol

from idlrt import spec
from idlrt.errors import RemoteProtocolError
from idlrt.serialization._binary_layout import type_id
from idlrt.spec import which

KINDS = sorted(UNKNOWN["binary"])
# The inner loop does without.
MORE = (t.Lists, t.Sets, t.Defaults, t.Tree)
each_unknown = pytest.mark.parametrize("kind", KINDS)
each_with_types = pytest.mark.parametrize("how", [how for how in HOWS if how.name != "json"], ids=repr)


def read(how, cls, *fields):
    """A struct of these fields, read as `cls`."""
    data = how.bytes.struct(*fields)
    value, end = how().struct(cls).decode(data)
    assert end == len(data)
    return value


def pieces(b):
    """The fields of a `Scalars`, apart."""
    return [
        b.field(t.BOOL, 1, b.bool(True)),
        b.field(t.I8, 2, b.i8(2)),
        b.field(t.I16, 3, b.i16(3)),
        b.field(t.I32, 4, b.i32(4)),
        b.field(t.I64, 5, b.i64(5)),
        b.field(t.DOUBLE, 6, b.double(0.0)),
        b.field(t.STRING, 7, b.text("seven")),
        b.field(t.STRING, 8, b.binary(b"eight")),
        b.field(t.UID, 9, b.uuid(UUID(int=0))),
        b.field(t.I32, 10, b.i32(1)),
    ]


@each_protocol
def test_fields_may_come_in_any_order(how):
    fields = pieces(how.bytes)
    expected = read(how, t.Scalars, *fields)
    assert (expected.data, expected.color) == (b"eight", t.Color.RED)
    rng = random.Random(1)
    for _ in range(50):
        shuffled = fields.copy()
        rng.shuffle(shuffled)
        assert read(how, t.Scalars, *shuffled) == expected
    assert read(how, t.Scalars, *reversed(fields)) == expected


@each_protocol
@each_unknown
@pytest.mark.parametrize(
    "place", ["between", *(pytest.param(end, marks=pytest.mark.slow) for end in ("first", "last"))]
)
def test_unknown_fields_are_skipped(how, kind, place):
    b = how.bytes
    number, data = how.unknown[kind]
    fields = [b.field(t.I32, 1, b.i32(1)), b.field(t.I32, 2, b.i32(2))]
    fields.insert({"first": 0, "between": 1, "last": 2}[place], b.field(number, 77, data))
    assert read(how, t.Point, *fields) == t.Point(x=1, y=2)
    assert read(how, t.Pick, b.field(t.STRUCT, 3, b.struct(*fields))) == t.Pick(point=t.Point(x=1, y=2))


@each_protocol
@pytest.mark.parametrize("cls", [t.Optionals, t.Maps, *(pytest.param(cls, marks=pytest.mark.slow) for cls in MORE)])
@each_unknown
def test_a_known_field_of_another_type_is_skipped(how, cls, kind):
    number, data = how.unknown[kind]
    for field in cls.__thrift_fields__:
        if type_id(field.type) != number:
            assert read(how, cls, how.bytes.field(number, field.id, data)) == cls()


@each_protocol
@each_unknown
def test_what_is_wrong_in_an_unknown_field_is_said(how, kind):
    number, data = how.unknown[kind]
    if how.name == "compact" and kind == "bool":  # all of it is in the field's head
        return
    message = how.bytes.struct(how.bytes.field(number, 77, data))
    cut = message[: -2 if how.name != "json" else -3]  # the value's last byte goes too
    with pytest.raises(
        RemoteProtocolError,
        match=r"^cannot read Point\.field 77: unexpected end of data at offset \d+: need \d+ bytes?",
    ):
        how().struct(t.Point).decode(cut)


@each_protocol
def test_a_required_field_of_another_type_is_missing(how):
    with pytest.raises(RemoteProtocolError, match="missing required field 'x'"):
        read(how, t.Point, how.bytes.field(t.I64, 1, how.bytes.i64(1)))


@each_protocol
def test_a_field_of_a_union_of_another_type_is_unknown(how):
    assert which(read(how, t.Pick, how.bytes.field(t.I32, 1, how.bytes.i32(1)))) is None


@each_protocol
def test_of_a_field_that_comes_twice_the_last_counts(how):
    b = how.bytes
    fields = b.field(t.I32, 1, b.i32(1)), b.field(t.I32, 2, b.i32(5)), b.field(t.I32, 1, b.i32(2))
    assert read(how, t.Point, *fields) == t.Point(x=2, y=5)
    twice = [b.field(t.LIST, 4, b.sequence(t.I32, b.i32(number))) for number in (1, 2)]
    assert read(how, t.Lists, *twice).middles == [2]


@each_protocol
@pytest.mark.parametrize("missing", range(10))
def test_a_missing_required_field_is_named(how, missing):
    fields = pieces(how.bytes)
    del fields[missing]
    name = t.Scalars.__thrift_fields__[missing].name
    end = len(how.bytes.struct(*fields)) - 1
    expected = rf"^cannot read Scalars: missing required field '{name}' \(struct ends at offset {end}\)$"
    with pytest.raises(RemoteProtocolError, match=expected):
        read(how, t.Scalars, *fields)


@each_protocol
def test_absent_fields_have_their_defaults_and_never_share_them(how):
    first, second = read(how, t.Defaults), read(how, t.Defaults)
    assert first == t.Defaults()
    assert first.tags is not second.tags
    assert first.at is not second.at
    broken = [read(how, t.Broke, how.bytes.field(t.I32, 1, how.bytes.i32(3))) for _ in range(2)]
    assert broken[0] == t.Broke(code=3)
    assert broken[0].notes is not broken[1].notes


# Paths.


@each_protocol
def test_an_error_has_the_path_of_the_field(how):
    b = how.bytes
    bad = {"binary": b.text(b"\xff"), "compact": b.text(b"\xff"), "json": b'"\xff"'}[how.name]
    pick = b.struct(b.field(t.STRING, 2, bad))
    lists = b.struct(b.field(t.LIST, 12, b.sequence(t.STRUCT, b.struct(b.field(t.STRING, 2, b.text("ok"))), pick)))
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Lists\.picks\[1\]\.text: string at offset \d+ is not"):
        how().struct(t.Lists).decode(lists)
    inner = b.mapping(t.I64, t.LIST, b.i64(-7), b.sequence(t.STRUCT, pick))
    maps = b.struct(b.field(t.MAP, 12, b.mapping(t.STRING, t.MAP, b.text("a'b"), inner)))
    with pytest.raises(
        RemoteProtocolError, match=r"^cannot read Maps\.deep\[\"a'b\"\]\[-7\]\[0\]\.text: string at off"
    ):
        how().struct(t.Maps).decode(maps)
    keys = b.struct(b.field(t.MAP, 2, b.mapping(t.STRING, t.I32, b.text("k"), b.i32(1), bad, b.i32(1))))
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Maps\.counts\[key 1\]: string at offset \d+ is not"):
        how().struct(t.Maps).decode(keys)
    record = how().record(t.Maps.__thrift_fields__, label="Shop.order")
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Shop\.order\.counts\[key 1\]: string at offset"):
        record.decode(keys)


# Containers.


@each_with_types
def test_empty_containers_may_say_any_element_type(how):
    b = how.bytes
    for kind in (0, 1, 5, t.STRING, 99, 255):
        for field in t.Lists.__thrift_fields__:
            value = read(how, t.Lists, b.field(t.LIST, field.id, b.sequence(kind)))
            assert getattr(value, field.attribute) == []
        for field in t.Sets.__thrift_fields__:
            value = read(how, t.Sets, b.field(t.SET, field.id, b.sequence(kind)))
            assert getattr(value, field.attribute) == set()
        for field in t.Maps.__thrift_fields__:
            value = read(how, t.Maps, b.field(t.MAP, field.id, b.mapping(kind, kind)))
            assert getattr(value, field.attribute) == {}


@each_protocol
@pytest.mark.parametrize("field", t.Lists.__thrift_fields__, ids=lambda field: field.name)
def test_a_container_of_another_element_type_is_an_error(how, field):
    b = how.bytes
    kind, item = (t.I8, b.i8(1)) if type_id(field.type.element) != t.I8 else (t.I16, b.i16(1))
    # As many bytes as the elements that are expected would take.
    data = b.sequence(kind, *[item] * 40)
    with pytest.raises(
        RemoteProtocolError, match=rf"Lists\.{field.name}: expected elements .* at offset \d+, got i(8|16)$"
    ):
        read(how, t.Lists, b.field(t.LIST, field.id, data), b.field(t.STRING, 99, b.text("x" * 600)))


@each_protocol
def test_a_map_of_another_key_or_value_type_is_an_error(how):
    b = how.bytes
    for key, value, left, right in ((t.STRING, t.I64, b.text("a"), b.i64(1)), (t.I8, t.I32, b.i8(1), b.i32(1))):
        with pytest.raises(RemoteProtocolError, match=r"Maps\.counts: expected elements of type string and i32 at"):
            read(how, t.Maps, b.field(t.MAP, 2, b.mapping(key, value, left, right)), b.field(t.I64, 99, b.i64(1 << 50)))


@each_protocol
def test_of_a_key_that_comes_twice_the_last_counts(how):
    b = how.bytes
    pairs = b.mapping(t.STRING, t.I32, b.text("k"), b.i32(1), b.text("k"), b.i32(2))
    assert read(how, t.Maps, b.field(t.MAP, 2, pairs)).counts == {"k": 2}
    assert read(how, t.Sets, b.field(t.SET, 2, b.sequence(t.I64, b.i64(1), b.i64(1)))).larges == {1}


@each_protocol
def test_containers_in_key_position_are_frozen(how):
    b = how.bytes
    lists = read(how, t.Sets, b.field(t.SET, 8, b.sequence(t.LIST, b.sequence(t.I32, b.i32(1))))).lists
    assert lists == {(1,)}
    [inner] = read(how, t.Sets, b.field(t.SET, 10, b.sequence(t.MAP, b.mapping(t.I32, t.LIST)))).maps
    assert isinstance(inner, spec.FrozenMap)
    [strings] = read(how, t.Sets, b.field(t.SET, 9, b.sequence(t.SET, b.sequence(t.STRING, b.text("a"))))).sets
    assert type(strings) is frozenset


@each_protocol
def test_invalid_utf8_names_what_was_read(how):
    data = {"binary": how.bytes.text(b"a\xff"), "compact": how.bytes.text(b"a\xff"), "json": b'"a\xff"'}[how.name]
    what = r"cannot read Optionals\.text: string at offset \d+ is not UTF-8: invalid start byte at byte 1 of 2"
    with pytest.raises(RemoteProtocolError, match=what):
        read(how, t.Optionals, how.bytes.field(t.STRING, 7, data))
    assert read(how, t.Optionals, how.bytes.field(t.STRING, 8, how.bytes.binary(b"\xff"))).data == b"\xff"


# Unions.


@each_protocol
def test_a_union_without_a_field_is_an_error(how):
    with pytest.raises(
        RemoteProtocolError, match=r"exactly one field must be set, got none \(struct ends at offset \d+\)"
    ):
        read(how, t.Pick)


@each_protocol
def test_a_union_with_two_fields_is_an_error(how):
    b = how.bytes
    with pytest.raises(RemoteProtocolError, match=r"exactly one field must be set, got 2 \(number, text\)"):
        read(how, t.Pick, b.field(t.STRING, 2, b.text("a")), b.field(t.I64, 1, b.i64(1)))


@each_protocol
@each_unknown
def test_a_union_of_an_unknown_field_has_none_set(how, kind):
    b = how.bytes
    number, data = how.unknown[kind]
    union = read(how, t.Pick, b.field(number, 99, data))
    assert which(union) is None
    assert (union.number, union.text, union.point) == (None, None, None)
    many = read(how, t.Lists, b.field(t.LIST, 12, b.sequence(t.STRUCT, b.struct(b.field(number, 99, data)))))
    assert [which(each) for each in many.picks] == [None]


@each_protocol
def test_a_union_with_a_known_and_an_unknown_field_keeps_the_known_one(how):
    b = how.bytes
    assert read(how, t.Pick, b.field(t.I8, 44, b.i8(1)), b.field(t.I64, 1, b.i64(8))) == t.Pick(number=8)


# Enums.


@each_protocol
def test_an_unknown_number_of_an_enum_survives(how):
    value = read(how, t.Optionals, how.bytes.field(t.I32, -32768, how.bytes.i32(-1000)))
    assert isinstance(value.color, t.Color)
    assert value.color.name == "UNKNOWN_MINUS_1000"
    assert not value.color.is_known
    codec = how().struct(t.Optionals)
    assert codec.decode(codec.encode(value))[0] == value


@each_protocol
def test_a_known_number_is_the_member(how):
    b = how.bytes
    assert read(how, t.Optionals, b.field(t.I32, -32768, b.i32(-3))).color is t.Color.DARK
    colors = read(how, t.Lists, b.field(t.LIST, 10, b.sequence(t.I32, b.i32(2), b.i32(5)))).colors
    assert colors[0] is t.Color.BLUE
    assert colors[1] == 5


# What is not described.


@each_protocol
def test_a_class_that_was_not_generated_is_refused(how):
    with pytest.raises(Exception, match="int was not generated by idlc"):
        how().struct(int)


@pytest.mark.parametrize("how", [how for how in HOWS if how.name == "binary"], ids=repr)
def test_a_type_number_that_does_not_exist_is_an_error(how):
    b = BUILDERS["binary"]
    for number in (1, 5, 7, 9, 17, 128, 255):
        with pytest.raises(RemoteProtocolError, match=rf"Empty\.field 1: unknown type {number} at offset 3"):
            read(how, t.Empty, b.field(number, 1, bytes(8)))
        with pytest.raises(RemoteProtocolError, match=f"unknown type {number}"):
            read(how, t.Empty, b.field(t.LIST, 1, b.sequence(number, b"\0")))
        with pytest.raises(RemoteProtocolError, match=f"unknown type {number}"):
            read(how, t.Empty, b.field(t.MAP, 1, b.mapping(t.I8, number, b"\0", b"\0")))
    for key, value in ((0, 0), (t.I8, 0)):
        with pytest.raises(RemoteProtocolError, match=r"Maps\.counts: expected elements of type string and i32 at"):
            read(how, t.Maps, b.field(t.MAP, 2, b.mapping(key, value, b.text("a"), b.i64(1))))
