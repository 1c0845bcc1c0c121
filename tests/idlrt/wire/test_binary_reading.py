"""What a reader makes of bytes that another version of the IDL, or another writer, made."""

from __future__ import annotations

import random

import pytest
import wire_types as t

from idlrt import spec
from idlrt.errors import RemoteProtocolError
from idlrt.spec import which
from idlrt.wire import BinaryProtocol
from idlrt.wire._binary_layout import type_id

PROTOCOL = BinaryProtocol()


def read(cls, data):
    value, end = PROTOCOL.struct(cls).decode(data)
    assert end == len(data)
    return value


def pieces():
    """The fields of a `Scalars`, apart."""
    return [
        t.field(t.BOOL, 1, b"\1"),
        t.field(t.I8, 2, b"\2"),
        t.field(t.I16, 3, b"\0\3"),
        t.field(t.I32, 4, t.i32(4)),
        t.field(t.I64, 5, t.i64(5)),
        t.field(t.DOUBLE, 6, bytes(8)),
        t.field(t.STRING, 7, t.text("seven")),
        t.field(t.STRING, 8, t.text(b"eight")),
        t.field(t.UID, 9, bytes(16)),
        t.field(t.I32, 10, t.i32(1)),
    ]


def test_fields_may_come_in_any_order():
    expected = read(t.Scalars, b"".join(pieces()) + b"\0")
    dice = random.Random(1)
    for _ in range(50):
        shuffled = pieces()
        dice.shuffle(shuffled)
        assert read(t.Scalars, b"".join(shuffled) + b"\0") == expected
    assert read(t.Scalars, b"".join(reversed(pieces())) + b"\0") == expected


@pytest.mark.parametrize("kind", t.UNKNOWN_VALUES)
@pytest.mark.parametrize("place", ["first", "between", "last"])
def test_unknown_fields_are_skipped(kind, place):
    number, data = t.UNKNOWN_VALUES[kind]
    unknown = t.field(number, 77, data)
    fields = [t.field(t.I32, 1, t.i32(1)), t.field(t.I32, 2, t.i32(2))]
    fields.insert({"first": 0, "between": 1, "last": 2}[place], unknown)
    assert read(t.Point, b"".join(fields) + b"\0") == t.Point(x=1, y=2)
    nested = t.field(t.STRUCT, 3, b"".join(fields) + b"\0") + b"\0"
    assert read(t.Pick, nested) == t.Pick(point=t.Point(x=1, y=2))


@pytest.mark.parametrize("cls", [t.Optionals, t.Lists, t.Sets, t.Maps, t.Defaults, t.Tree])
@pytest.mark.parametrize("kind", t.UNKNOWN_VALUES)
def test_a_known_field_of_another_type_is_skipped(cls, kind):
    number, data = t.UNKNOWN_VALUES[kind]
    for field in cls.__thrift_fields__:
        if type_id(field.type) != number:
            assert read(cls, t.field(number, field.id, data) + b"\0") == cls()


def test_a_required_field_of_another_type_is_missing():
    with pytest.raises(RemoteProtocolError, match="required field 'x' is missing"):
        read(t.Point, t.field(t.I64, 1, t.i64(1)) + b"\0")


def test_a_field_of_a_union_of_another_type_is_unknown():
    assert which(read(t.Pick, t.field(t.I32, 1, t.i32(1)) + b"\0")) is None


def test_of_a_field_that_comes_twice_the_last_counts():
    data = t.field(t.I32, 1, t.i32(1)) + t.field(t.I32, 2, t.i32(5)) + t.field(t.I32, 1, t.i32(2)) + b"\0"
    assert read(t.Point, data) == t.Point(x=2, y=5)
    twice = t.field(t.LIST, 4, t.sequence(t.I32, t.i32(1))) + t.field(t.LIST, 4, t.sequence(t.I32, t.i32(2)))
    assert read(t.Lists, twice + b"\0").middles == [2]


@pytest.mark.parametrize("missing", range(10))
def test_a_missing_required_field_is_named(missing):
    fields = pieces()
    del fields[missing]
    name = t.Scalars.__thrift_fields__[missing].name
    with pytest.raises(RemoteProtocolError, match=f"cannot read Scalars: its required field '{name}' is missing"):
        read(t.Scalars, b"".join(fields) + b"\0")


def test_absent_fields_have_their_defaults_and_never_share_them():
    first, second = read(t.Defaults, b"\0"), read(t.Defaults, b"\0")
    assert first == t.Defaults()
    assert first.tags is not second.tags
    assert first.at is not second.at
    broken = [read(t.Broke, t.field(t.I32, 1, t.i32(3)) + b"\0") for _ in range(2)]
    assert broken[0] == t.Broke(code=3)
    assert broken[0].notes is not broken[1].notes


# Containers.


def test_empty_containers_may_say_any_element_type():
    for kind in (0, 1, 5, t.STRING, 99, 255):
        for field in t.Lists.__thrift_fields__:
            assert getattr(read(t.Lists, t.field(t.LIST, field.id, t.sequence(kind)) + b"\0"), field.attribute) == []
        for field in t.Sets.__thrift_fields__:
            assert getattr(read(t.Sets, t.field(t.SET, field.id, t.sequence(kind)) + b"\0"), field.attribute) == set()
        for field in t.Maps.__thrift_fields__:
            data = t.field(t.MAP, field.id, t.mapping(kind, kind)) + b"\0"
            assert getattr(read(t.Maps, data), field.attribute) == {}


@pytest.mark.parametrize("field", t.Lists.__thrift_fields__, ids=lambda field: field.name)
def test_a_container_of_another_element_type_is_an_error(field):
    wrong = t.I8 if type_id(field.type.element) != t.I8 else t.I16
    with pytest.raises(RemoteProtocolError, match=rf"Lists\.{field.name}: its elements at offset 8 are i(8|16), not"):
        read(t.Lists, t.field(t.LIST, field.id, t.sequence(wrong, b"\1" * 40)) + b"\0")


def test_a_map_of_another_key_or_value_type_is_an_error():
    for key, value in ((t.STRING, t.I64), (t.I8, t.I32), (0, 0)):
        with pytest.raises(RemoteProtocolError, match=r"Maps\.counts: its elements .* not string and i32"):
            read(t.Maps, t.field(t.MAP, 2, t.mapping(key, value, t.text("a"), t.i64(1))) + b"\0")


def test_of_a_key_that_comes_twice_the_last_counts():
    data = t.field(t.MAP, 2, t.mapping(t.STRING, t.I32, t.text("k"), t.i32(1), t.text("k"), t.i32(2))) + b"\0"
    assert read(t.Maps, data).counts == {"k": 2}
    assert read(t.Sets, t.field(t.SET, 2, t.sequence(t.I64, t.i64(1), t.i64(1))) + b"\0").larges == {1}


def test_containers_in_key_position_are_frozen():
    lists = read(t.Sets, t.field(t.SET, 8, t.sequence(t.LIST, t.sequence(t.I32, t.i32(1)))) + b"\0").lists
    assert lists == {(1,)}
    [inner] = read(t.Sets, t.field(t.SET, 10, t.sequence(t.MAP, t.mapping(0, 0))) + b"\0").maps
    assert isinstance(inner, spec.FrozenMap)
    [strings] = read(t.Sets, t.field(t.SET, 9, t.sequence(t.SET, t.sequence(t.STRING, t.text("a")))) + b"\0").sets
    assert type(strings) is frozenset


def test_invalid_utf8_names_what_was_read():
    with pytest.raises(RemoteProtocolError, match=r"cannot read Optionals\.text: .*utf-8"):
        read(t.Optionals, t.field(t.STRING, 7, t.text(b"\xff")) + b"\0")
    assert read(t.Optionals, t.field(t.STRING, 8, t.text(b"\xff")) + b"\0").data == b"\xff"


# Unions.


def test_a_union_without_a_field_is_an_error():
    with pytest.raises(RemoteProtocolError, match="exactly one field must be set, not none"):
        read(t.Pick, b"\0")


def test_a_union_with_two_fields_is_an_error():
    with pytest.raises(RemoteProtocolError, match=r"exactly one field must be set, not 2 \(number, text\)"):
        read(t.Pick, t.field(t.STRING, 2, t.text("a")) + t.field(t.I64, 1, t.i64(1)) + b"\0")


@pytest.mark.parametrize("kind", t.UNKNOWN_VALUES)
def test_a_union_of_an_unknown_field_has_none_set(kind):
    number, data = t.UNKNOWN_VALUES[kind]
    union = read(t.Pick, t.field(number, 99, data) + b"\0")
    assert which(union) is None
    assert (union.number, union.text, union.point) == (None, None, None)
    many = read(t.Lists, t.field(t.LIST, 12, t.sequence(t.STRUCT, t.field(number, 99, data) + b"\0")) + b"\0")
    assert [which(each) for each in many.picks] == [None]


def test_a_union_with_a_known_and_an_unknown_field_keeps_the_known_one():
    data = t.field(t.I8, 44, b"\1") + t.field(t.I64, 1, t.i64(8)) + b"\0"
    assert read(t.Pick, data) == t.Pick(number=8)


# Enums.


def test_an_unknown_number_of_an_enum_survives():
    data = t.field(t.I32, -32768, t.i32(-1000)) + b"\0"
    value = read(t.Optionals, data)
    assert isinstance(value.color, t.Color)
    assert value.color.name == "UNKNOWN_MINUS_1000"
    assert not value.color.is_known
    assert PROTOCOL.struct(t.Optionals).encode(value) == data


def test_a_known_number_is_the_member():
    assert read(t.Optionals, t.field(t.I32, -32768, t.i32(-3)) + b"\0").color is t.Color.DARK
    colors = read(t.Lists, t.field(t.LIST, 10, t.sequence(t.I32, t.i32(2), t.i32(5))) + b"\0").colors
    assert colors[0] is t.Color.BLUE
    assert colors[1] == 5


# What is not described.


def test_a_class_that_was_not_generated_is_refused():
    with pytest.raises(Exception, match="int was not generated by idlc"):
        PROTOCOL.struct(int)


def test_a_type_number_that_does_not_exist_is_an_error():
    for number in (1, 5, 7, 9, 17, 128, 255):
        with pytest.raises(RemoteProtocolError, match=f"there is no type {number}"):
            read(t.Empty, t.field(number, 1, bytes(8)) + b"\0")
        with pytest.raises(RemoteProtocolError, match=f"there is no type {number}"):
            read(t.Empty, t.field(t.LIST, 1, t.sequence(number, b"\0")) + b"\0")
        with pytest.raises(RemoteProtocolError, match=f"there is no type {number}"):
            read(t.Empty, t.field(t.MAP, 1, t.mapping(t.I8, number, b"\0", b"\0")) + b"\0")
