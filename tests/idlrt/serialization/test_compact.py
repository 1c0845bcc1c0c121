"""Features that only the compact protocol has: varints, booleans in field headers, field id deltas."""

from __future__ import annotations

import pytest
import wire_types as t
from builders import BUILDERS
from protocols import HOWS

from idlrt import codegen as rpc
from idlrt.errors import RemoteProtocolError

B = BUILDERS["compact"]
each_backend = pytest.mark.parametrize("how", [how for how in HOWS if how.name == "compact"], ids=repr)

Flags = t.optionals("Flags", **{f"flag{number}": rpc.BOOL for number in range(20)})


class Zero(rpc.Struct, kw_only=True):
    """Numbered from 0."""

    first: int | None = None
    second: int | None = None

    __thrift_fields__ = (rpc.optional(0, "first", rpc.I32), rpc.optional(1, "second", rpc.I32))


def read(how, cls, data):
    value, end = how().struct(cls).decode(bytes.fromhex(data))
    assert end == len(bytes.fromhex(data))
    return value


# Numbers.


@each_backend
@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-64, "7f"),
        (64, "8001"),
        (-65, "8101"),
        (2**31 - 1, "feffffff0f"),
        (-(2**31), "ffffffff0f"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_numbers(how, value, data):
    assert how().struct(t.Pick).encode(t.Pick(number=value)).hex() == f"16{data}00"
    assert read(how, t.Pick, f"16{data}00") == t.Pick(number=value)


@each_backend
def test_a_number_may_take_more_bytes_than_it_needs(how):
    assert read(how, t.Pick, "16 8280 8080 8080 8080 8000 00") == t.Pick(number=1)
    assert read(how, t.Point, "15 8280808000 00") == t.Point(x=1)


@each_backend
@pytest.mark.parametrize(
    ("cls", "data", "message"),
    [
        (t.Optionals, "04 d804 80f104 00", r"Optionals\.small: number 40000 at offset 3 is out of range for i16"),
        (t.Optionals, "04 d804 808004 00", r"Optionals\.small: number 32768 at offset 3 is out of range for i16"),
        (
            t.Optionals,
            "04 d804 ffffffff0f 00",
            r"Optionals\.small: number -2147483648 at offset 3 is out of range for",
        ),
        (t.Point, "15 8080808010 00", r"Point\.x: number 2147483648 at offset 1 is out of range for i32"),
        (t.Point, "15 8180808070 00", r"Point\.x: number -15032385537 at offset 1 is out of range for i32"),
        (t.Point, "15 808080808000 00", r"Point\.x: number at offset 1 is longer than 5 bytes"),
        (
            t.Pick,
            "16 80808080808080808002 00",
            r"Pick\.number: number 9223372036854775808 at offset 1 is out",
        ),
        (t.Pick, "16 8080808080808080808000 00", r"Pick\.number: number at offset 1 is longer than 10 bytes"),
        (t.Optionals, "05 808004 02 00", r"Optionals: number 32768 at offset 1 is out of range for i16"),
        (t.Optionals, "05 80808080 80 00", r"Optionals: number at offset 1 is longer than 5 bytes"),
        (t.Optionals, "06 feff03 02 16 00", r"Optionals: number 32768 at offset 5 is out of range for i16"),
        (t.Optionals, "78 ffffffff0f 00", r"Optionals\.text: number 4294967295 at offset 1 is out of range for i32"),
        (t.Optionals, "78 8080808080 00", r"Optionals\.text: number at offset 1 is longer than 5 bytes"),
        (t.Lists, "79 f8 8080808010 00", r"Lists\.texts: number 4294967296 at offset 2 is out of range for i32"),
        (t.Maps, "2b 8080808080 00", r"Maps\.counts: number at offset 1 is longer than 5 bytes"),
        (t.Empty, "16 8080808080808080808000 00", r"Empty\.field 1: number at offset 1 is longer than 10 bytes"),
        (t.Empty, "1e 00", r"Empty\.field 1: unknown type 14 at offset 1"),
        (t.Empty, "19 1f 00", r"Empty\.field 1: unknown type 15 at offset 2"),
        (t.Empty, "1b 01 80 00", r"Empty\.field 1: unknown type 0 at offset 3"),
        (
            t.Maps,
            "2b 01 e5 00 00 00",
            r"Maps\.counts: expected elements of type string and i32 at offset 3, got type 14 and i32",
        ),
        (t.Lists, "59 1f 00", r"Lists\.larges: expected elements of type i64 at offset 2, got type 15"),
    ],
)
def test_what_does_not_fit_is_refused(how, cls, data, message):
    with pytest.raises(RemoteProtocolError, match=f"^cannot read {message}"):
        how().struct(cls).decode(bytes.fromhex(data))


@each_backend
@pytest.mark.parametrize("bits", range(64))
@pytest.mark.parametrize("tail", ["", "after it"])
def test_numbers_of_any_length_with_much_and_little_behind_them(how, bits, tail):
    numbers = [2**bits - 1, -(2**bits), 2**bits // 3]
    value = t.Lists(larges=numbers, texts=[tail])
    assert how().struct(t.Lists).decode_whole(how().struct(t.Lists).encode(value)) == value
    for number in numbers:
        assert read(how, t.Pick, how().struct(t.Pick).encode(t.Pick(number=number)).hex()) == t.Pick(number=number)


@each_backend
@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 16, 17, 32, 33, 127, 128, 16383, 16384])
def test_text_of_any_length(how, length):
    texts = ["x" * length, "y" * max(length - 1, 0) + "é", "z"]
    value = t.Lists(texts=texts)
    assert how().struct(t.Lists).decode_whole(how().struct(t.Lists).encode(value)) == value
    maps = t.Maps(counts=dict.fromkeys(texts, 1))
    assert how().struct(t.Maps).decode_whole(how().struct(t.Maps).encode(maps)) == maps


# Booleans.


@each_backend
def test_a_boolean_of_a_field_is_in_its_head(how):
    value = Flags(flag0=True, flag1=False, flag19=True)
    assert how().struct(Flags).encode(value).hex() == "11120128" + "00"
    assert read(how, Flags, "11 12 01 28 00") == value


@each_backend
def test_only_one_is_true_among_elements(how):
    for byte in range(256):
        data = B.struct(B.field(t.LIST, 1, B.sequence(t.BOOL, bytes([byte]))))
        assert how().struct(t.Lists).decode(data)[0].flags == [byte == 1]


@each_backend
def test_both_numbers_of_booleans_are_element_types(how):
    for head in ("21", "22"):
        assert read(how, t.Lists, f"19 {head} 01 02 00").flags == [True, False]
    for types in ("11", "12", "21", "22"):
        assert read(how, t.Maps, f"7b 01 {types} 01 02 00").by_flag == {True: False}


# Heads.


@each_backend
def test_ids_may_be_said_whole_or_by_their_distance(how):
    for data in ("15 02 15 04 00", "05 02 02 05 04 04 00", "05 02 02 15 04 00", "25 04 05 02 02 00"):
        assert read(how, t.Point, data) == t.Point(x=1, y=2)


@each_backend
def test_after_a_struct_distances_are_from_the_field_it_is_in(how):
    tree = t.Tree(value=1, left=t.Tree(left=t.Tree(value=3)))
    assert how().struct(t.Tree).encode(tree).hex() == "15022c3c1506000000"
    nested = B.struct(B.field(t.STRUCT, 3, bytes.fromhex("15 06 00")))
    assert how().struct(t.Tree).decode(nested)[0] == t.Tree(left=t.Tree(value=3))
    # An unknown struct, of the field -2, with fields: the next id is 3 more than -2.
    assert read(how, t.Tree, "0c 03 7c 00 00 35 06 00") == t.Tree(value=3)


@each_backend
def test_after_an_unknown_field_distances_are_from_it(how):
    # The second head 15 would be that of `y` behind `x`.
    assert read(how, t.Point, "15 02 25 04 15 06 00") == t.Point(x=1)
    assert read(how, t.Optionals, "26 02 25 04 00") == t.Optionals(middle=2)  # the field 2 is an i8
    assert read(how, t.Point, "15 02 0c 07 00 15 06 05 04 08 00") == t.Point(x=1, y=4)


@each_backend
def test_the_field_0_has_no_head_of_one_byte(how):
    for data in ("05 00 02 15 04 00", "05 00 02 05 02 04 00"):
        assert read(how, Zero, data) == Zero(first=1, second=2)
    assert how().struct(Zero).encode(Zero(first=1, second=2)).hex() == "050002150400"


@each_backend
def test_a_struct_ends_where_the_type_is_zero_whatever_else_is_said(how):
    for stop in ("10", "f0"):
        assert read(how, t.Point, f"15 02 {stop}") == t.Point(x=1)


@each_backend
def test_a_short_list_may_have_a_long_head(how):
    assert read(how, t.Lists, "49 f5 01 02 00").middles == [1]
    assert read(how, t.Lists, "49 f5 00 00").middles == []


@each_backend
def test_an_empty_map_is_one_byte(how):
    assert how().struct(t.Maps).encode(t.Maps(counts={})).hex() == "2b0000"
    assert read(how, t.Maps, "2b 00 00").counts == {}


# Messages.


@each_backend
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("80", "unexpected byte 0x80 at offset 0, compact messages start with 0x82"),
        ("82 22", "unsupported version 2 at offset 1, the compact protocol has 1"),
        ("82 01", r"unknown message type 0 at offset 1"),
        ("82 a1", r"unknown message type 5 at offset 1"),
        ("82 21 ffffffff1f", "number 8589934591 at offset 2 is out of range for 32 bits"),
        ("82 21 8080808080", "number at offset 2 is longer than 5 bytes"),
        ("82 21 01 ffffffff07", "max_string"),
        ("82 21 01 05 6161", "unexpected end of data at offset 4: need 5 bytes, have 2"),
        ("82 21 01 01 ff", "string at offset 4 is not UTF-8"),
    ],
)
def test_what_is_no_head_is_refused(how, data, message):
    with pytest.raises(RemoteProtocolError, match=f"^cannot read message header: .*{message}"):
        how.envelope().unpack_head(bytes.fromhex(data))
