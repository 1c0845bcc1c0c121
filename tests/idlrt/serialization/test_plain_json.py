"""The mapping between the types of the IDL and JSON, row by row, in both directions."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import msgspec
import plain_types as t
import pytest

import idlrt
from idlrt import codegen as rpc
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization.plain_json import JsonOptions, from_plain, to_plain
from idlrt.spec import FrozenMap, Type, empty_union

COLOR = rpc.enum(t.Color)
POINT = rpc.struct(t.Point)
PICK = rpc.struct(t.Pick)
ID = UUID("12345678-1234-5678-1234-567812345678")
BY_COLOR = rpc.map_of(COLOR, rpc.I32)
BY_LIST = rpc.map_of(rpc.frozen_list_of(rpc.I32), rpc.STRING)

# What is written, and read again.
BOTH_WAYS: list[tuple[Type[Any], Any, Any]] = [
    (rpc.BOOL, True, True),
    (rpc.I8, -128, -128),
    (rpc.I16, 32767, 32767),
    (rpc.I32, -(2**31), -(2**31)),
    (rpc.I64, 2**63 - 1, 2**63 - 1),
    (rpc.DOUBLE, 0.5, 0.5),
    (rpc.DOUBLE, math.inf, "Infinity"),
    (rpc.DOUBLE, -math.inf, "-Infinity"),
    (rpc.STRING, "ä😀", "ä😀"),
    (rpc.BINARY, b"\xfb\xff\xfe\x00", "+//+AA=="),
    (rpc.BINARY, b"", ""),
    (rpc.UUID, ID, str(ID)),
    (COLOR, t.Color.RED, "RED"),
    (COLOR, t.Color.VERDE, "GREEN"),
    (COLOR, t.Color.None_, "None"),
    (COLOR, t.Color.name_, "name"),
    (COLOR, t.Color(-7), -7),
    (rpc.list_of(rpc.I32), [1, 2], [1, 2]),
    (rpc.list_of(rpc.BOOL), [True], [True]),
    (rpc.list_of(rpc.DOUBLE), [1.5, math.inf], [1.5, "Infinity"]),
    (rpc.list_of(rpc.STRING), ["a", "ä"], ["a", "ä"]),
    (rpc.list_of(rpc.list_of(COLOR)), [[t.Color.RED], []], [["RED"], []]),
    (rpc.frozen_list_of(rpc.I8), (1,), [1]),
    (rpc.set_of(rpc.I32), {5}, [5]),
    (rpc.frozen_set_of(rpc.STRING), frozenset({"a"}), ["a"]),
    (rpc.map_of(rpc.STRING, rpc.I32), {"a": 1}, {"a": 1}),
    (rpc.map_of(rpc.STRING, rpc.DOUBLE), {"a": -math.inf}, {"a": "-Infinity"}),
    (rpc.map_of(rpc.BOOL, rpc.STRING), {True: "t", False: "f"}, {"true": "t", "false": "f"}),
    (rpc.map_of(rpc.I64, rpc.BOOL), {-1: True}, {"-1": True}),
    (rpc.map_of(rpc.DOUBLE, rpc.I32), {1e22: 1, -math.inf: 2}, {"1e+22": 1, "-Infinity": 2}),
    (rpc.map_of(rpc.BINARY, rpc.I32), {b"\xff": 1}, {"/w==": 1}),
    (rpc.map_of(rpc.UUID, rpc.I32), {ID: 1}, {str(ID): 1}),
    (BY_COLOR, {t.Color.RED: 1, t.Color(9): 2}, {"RED": 1, "9": 2}),
    (BY_LIST, {(1, 2): "x"}, [{"key": [1, 2], "value": "x"}]),
    (BY_LIST, {}, []),
    (rpc.map_of(POINT, rpc.I32), {t.Point(x=1): 2}, [{"key": {"x": 1}, "value": 2}]),
    (rpc.frozen_map_of(rpc.I32, rpc.I32), FrozenMap({1: 2}), {"1": 2}),
    (POINT, t.Point(x=1), {"x": 1}),
    (rpc.struct(t.Frozen), t.Frozen(id=ID), {"id": str(ID)}),
    (PICK, t.Pick(number=0), {"number": 0}),
    (PICK, t.Pick(from_="x"), {"from": "x"}),
    (PICK, t.Pick(point=t.Point(x=1)), {"point": {"x": 1}}),
    (rpc.struct(t.Broke), t.Broke(code=5), {"code": 5, "notes": ["none"]}),
    (rpc.VOID, None, None),
]

# What is read, too.
READ: list[tuple[Type[Any], Any, Any]] = [
    (rpc.I8, "-128", -128),
    (rpc.I32, "0", 0),
    (rpc.I64, str(2**63 - 1), 2**63 - 1),
    (rpc.I32, 5.0, 5),
    (rpc.I64, 1e2, 100),
    (rpc.DOUBLE, 5, 5.0),
    (rpc.DOUBLE, "1.5e3", 1500.0),
    (rpc.BINARY, "-__-AA==", b"\xfb\xff\xfe\x00"),
    (rpc.BINARY, "-__-AA", b"\xfb\xff\xfe\x00"),
    (rpc.BINARY, "+//+AA", b"\xfb\xff\xfe\x00"),
    (COLOR, 1, t.Color.RED),
    (COLOR, "1", t.Color.RED),
    (COLOR, "-7", t.Color(-7)),
    (COLOR, 2.0, t.Color.GREEN),
    (COLOR, "VERDE", t.Color.GREEN),
    (COLOR, "None_", t.Color.None_),
    (rpc.list_of(rpc.I32), [1, "2", 3.0], [1, 2, 3]),
    (rpc.list_of(rpc.DOUBLE), [1, "2", 0.5], [1.0, 2.0, 0.5]),
    (rpc.list_of(rpc.I32), (1, 2), [1, 2]),
    (BY_COLOR, {"GREEN": "1", "1": 2}, {t.Color.GREEN: 1, t.Color.RED: 2}),
    (rpc.map_of(rpc.STRING, rpc.I32), {"a": "1"}, {"a": 1}),
    (POINT, {"x": 1, "y": None, "z": [1]}, t.Point(x=1)),
]

# What is not read, and why.
REFUSED: list[tuple[Type[Any], Any, str]] = [
    (rpc.BOOL, 1, "$: expected true or false, got 1"),
    (rpc.BOOL, "true", "$: expected true or false, got 'true'"),
    (rpc.I8, 128, "$: expected i8 (-128 to 127), got 128"),
    (rpc.I64, 2**63, "$: expected i64 (-9223372036854775808 to 9223372036854775807), got 9223372036854775808"),
    (rpc.I64, 1e18, "$: expected i64, got 1e+18"),
    (rpc.I32, 5.5, "$: expected i32, got 5.5"),
    (rpc.I32, True, "$: expected i32, got true"),
    (rpc.I32, "05", "$: expected i32, got '05'"),
    (rpc.I32, "+5", "$: expected i32, got '+5'"),
    (rpc.I32, "5 ", "$: expected i32, got '5 '"),
    (rpc.I32, "５", "$: expected i32, got '５'"),
    (rpc.I32, "", "$: expected i32, got ''"),
    (rpc.I32, None, "$: expected i32, got null"),
    (rpc.DOUBLE, "nan", "$: expected a number, got 'nan'"),
    (rpc.DOUBLE, "1e999", "$: expected a double, got '1e999', which is too large"),
    (rpc.DOUBLE, 10**400, "$: expected a double, got a number of 1329 bits, which is too large"),
    (rpc.DOUBLE, False, "$: expected a number, got false"),
    (rpc.STRING, 5, "$: expected a string, got 5"),
    (rpc.STRING, "a\ud800", "$: not Unicode text: lone surrogate at index 1"),
    (rpc.list_of(rpc.STRING), ["a", "\udcff"], "$[1]: not Unicode text: lone surrogate at index 0"),
    (rpc.BINARY, "a", "$: expected base64, got 'a'"),
    (rpc.BINARY, "aQ=", "$: expected base64, got 'aQ='"),
    (rpc.BINARY, "YWJj=", "$: expected base64, got 'YWJj='"),
    (rpc.BINARY, "YWJj==", "$: expected base64, got 'YWJj=='"),
    (rpc.BINARY, "a Q=", "$: expected base64, got 'a Q='"),
    (rpc.BINARY, "ä", "$: expected base64, got 'ä'"),
    (rpc.UUID, "{12345678-1234-5678-1234-567812345678}", "$: expected a UUID, got "),
    (COLOR, "PINK", "$: Color has no member 'PINK' (known: RED, GREEN, VERDE, None"),
    (COLOR, 2**31, "$: expected the name or number of a Color, got 2147483648"),
    (COLOR, True, "$: expected the name or number of a Color, got true"),
    (COLOR, "red", "$: Color has no member 'red'"),
    (rpc.list_of(rpc.I32), {"0": 1}, "$: expected an array, got an object"),
    (rpc.list_of(rpc.I32), [1, None], "$[1]: expected i32, got null"),
    (rpc.list_of(rpc.I32), "12", "$: expected an array, got '12'"),
    (rpc.set_of(rpc.I32), [1, 2, "1"], "$[2]: repeated element '1' of a set"),
    (rpc.map_of(rpc.I32, rpc.I32), {"x": 1}, "$: invalid key: expected i32, got 'x'"),
    (rpc.map_of(rpc.I32, rpc.I32), {"1": None}, "$['1']: expected i32, got null"),
    (rpc.map_of(rpc.BOOL, rpc.I32), {"True": 1}, "$: invalid key: expected 'true' or 'false', got 'True'"),
    (rpc.map_of(rpc.STRING, rpc.I32), {"a": 1, "b": "c"}, "$['b']: expected i32, got 'c'"),
    (rpc.map_of(rpc.STRING, rpc.I32), [], "$: expected an object, got an array"),
    (BY_COLOR, {"GREEN": 1, "VERDE": 2}, "$: repeated key 'VERDE'"),
    (BY_LIST, {}, "$: expected an array, got an object"),
    (BY_LIST, [{"key": [1]}], "$[0]: expected an object with `key` and `value`, got an object with other keys"),
    (BY_LIST, [{"key": [1], "value": 2}], "$[0].value: expected a string, got 2"),
    (BY_LIST, [{"key": [None], "value": ""}], "$[0].key[0]: expected i32, got null"),
    (BY_LIST, [{"key": [1], "value": ""}, {"key": [1], "value": ""}], "$[1]: repeated key"),
    (POINT, {}, "$: missing required field `x`"),
    (POINT, {"x": None}, "$.x: required, but null"),
    (POINT, [1], "$: expected an object, got an array"),
    (PICK, {}, "$: Pick is a union: expected exactly one key, got 0"),
    (PICK, {"number": 1, "from": "x"}, "$: Pick is a union: expected exactly one key, got 2"),
    (PICK, {"number": None}, "$.number: the field of a union must not be null"),
    (PICK, {"newer": 1}, "$: unknown field 'newer' of Pick"),
    (rpc.list_of(POINT), [{"x": 1}, {"x": "1", "y": []}], "$[1].y: expected i32, got an array"),
    (rpc.VOID, 1, "$: expected null, got 1"),
]

# What is not written, and why.
UNWRITABLE: list[tuple[Type[Any], Any, str]] = [
    (rpc.BOOL, 1, "$: must be bool, got int 1"),
    (rpc.I8, 128, "$: must be i8 (-128 to 127), got 128"),
    (rpc.I32, "1", "$: must be i32, got str '1'"),
    (rpc.I32, 1.0, "$: must be i32, got float 1.0"),
    (rpc.DOUBLE, "1", "$: must be double, got str '1'"),
    (rpc.DOUBLE, 10**400, "$: must be double, got a number of 1329 bits, which is too large"),
    (rpc.STRING, b"a", "$: must be string, got bytes b'a'"),
    (rpc.STRING, "\udcff", "$: not Unicode text: lone surrogate at index 0"),
    (rpc.BINARY, "a", "$: must be binary, got str 'a'"),
    (rpc.UUID, str(ID), "$: must be uuid, got str "),
    (COLOR, "RED", "$: must be Color, got str 'RED'"),
    (COLOR, True, "$: must be Color, got bool True"),
    (rpc.list_of(rpc.I32), [1, None], "$[1]: must be i32, got None"),
    (rpc.list_of(rpc.I32), "12", "$: must be list<i32>, got str '12'"),
    (rpc.list_of(rpc.I32), {1: 2}, "$: must be list<i32>, got dict"),
    (rpc.map_of(rpc.I32, POINT), {1: t.Pick(number=1)}, "$['1']: must be Point, got Pick"),
    (rpc.map_of(rpc.I32, rpc.I32), {"a": 1}, "$: invalid key: must be i32, got str 'a'"),
    (rpc.map_of(rpc.I32, rpc.I32), [1], "$: must be map<i32, i32>, got list"),
    (BY_LIST, {(1, 2**31): "x"}, "$[0].key[1]: must be i32"),
    (rpc.list_of(POINT), [t.Point(x=1), 5], "$[1]: must be Point, got int 5"),
    (PICK, empty_union(t.Pick), "$: Pick is a union: exactly one field must be set, got none"),
    (PICK, empty_union(t.Pick, b"\0\0\x09\2\0\0\0\1\1"), "$: Pick has a field set that this version of the IDL does"),
    (rpc.VOID, 1, "$: must be None, got int 1"),
]


@pytest.mark.parametrize(("type", "value", "plain"), BOTH_WAYS)
def test_values_are_written_and_read(type: Type[Any], value: Any, plain: Any) -> None:
    written = to_plain(type, value)
    assert written == plain
    decoded = msgspec.json.decode(msgspec.json.encode(written))
    assert decoded == plain
    found = from_plain(type, decoded)
    assert found == value
    assert found.__class__ is value.__class__


@pytest.mark.parametrize(("type", "plain", "value"), READ)
def test_other_forms_are_read(type: Type[Any], plain: Any, value: Any) -> None:
    found = from_plain(type, plain)
    assert found == value
    assert found.__class__ is value.__class__


@pytest.mark.parametrize(("type", "plain", "said"), REFUSED)
def test_what_is_no_value_is_refused(type: Type[Any], plain: Any, said: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        from_plain(type, plain)
    assert str(caught.value).startswith(f"cannot read {type!r} from JSON: {said}")


@pytest.mark.parametrize(("type", "value", "said"), UNWRITABLE)
def test_what_cannot_be_written_is_refused(type: Type[Any], value: Any, said: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        to_plain(type, value)
    assert str(caught.value).startswith(f"cannot write {type!r} as JSON: {said}")


def test_not_a_number() -> None:
    assert to_plain(rpc.DOUBLE, math.nan) == "NaN"
    assert to_plain(rpc.list_of(rpc.DOUBLE), [math.nan]) == ["NaN"]
    assert math.isnan(from_plain(rpc.DOUBLE, "NaN"))
    assert math.isnan(from_plain(rpc.list_of(rpc.DOUBLE), [1, "NaN"])[1])


def test_fields_have_the_names_and_the_order_of_the_idl() -> None:
    user = t.User(name="Ada", from_="x", friend=t.User(name="Grace", tags=[], size=None))
    text = idlrt.to_json(user)
    assert text == '{"name":"Ada","from":"x","tags":["new"],"size":7,"friend":{"name":"Grace","tags":[]}}'
    assert idlrt.from_json(t.User, '{"name":"Ada","from_":"x"}').from_ is None


def test_absent_fields_have_their_defaults() -> None:
    one, other = idlrt.from_json(t.User, '{"name":"Ada"}'), idlrt.from_json(t.User, b'{"name":"Ada","size":null}')
    assert one == other == t.User(name="Ada", tags=["new"], size=7)
    assert one.tags is not other.tags


def test_text_is_read_and_written() -> None:
    assert idlrt.to_json(t.Point(x=1), indent=2) == '{\n  "x": 1\n}'
    assert idlrt.from_json(t.Broke, '{"code": "3"}') == t.Broke(code=3)
    with pytest.raises(
        RemoteProtocolError, match=r"^cannot read User from JSON: \$\.tags\[2\]: expected a string, got 5$"
    ):
        idlrt.from_json(t.User, '{"name": "Ada", "tags": ["a", "b", 5]}')
    with pytest.raises(LocalProtocolError, match=r"^cannot write User as JSON: \$\.at\.x: required, but None$"):
        idlrt.to_json(t.User(name="Ada", at=t.Point(x=None)))  # type: ignore[arg-type]


def test_settings_of_writing() -> None:
    numbers = rpc.map_of(rpc.I64, rpc.list_of(rpc.I64))
    options = JsonOptions(i64_as_text=True, enums_as_numbers=True)
    assert to_plain(numbers, {1: [2, 3]}, options) == {"1": ["2", "3"]}
    assert from_plain(numbers, {"1": ["2", 3]}) == {1: [2, 3]}
    assert to_plain(rpc.map_of(rpc.STRING, rpc.I64), {"a": 1}, options) == {"a": "1"}
    assert to_plain(BY_COLOR, {t.Color.RED: 1}, options) == {"1": 1}
    assert to_plain(COLOR, t.Color.RED, options) == 1
    assert idlrt.to_json(t.User(name="", tags=[], size=5), i64_as_text=True) == '{"name":"","tags":[],"size":"5"}'
    assert idlrt.to_json(t.Pick(number=5), i64_as_text=True) == '{"number":"5"}'


def test_unknown_fields_are_refused_by_a_setting() -> None:
    text = '{"x": 1, "z": {"more": 1}}'
    assert idlrt.from_json(t.Point, text) == t.Point(x=1)
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Point from JSON: \$: unknown field 'z' of Point$"):
        idlrt.from_json(t.Point, text, refuse_unknown=True)
    with pytest.raises(RemoteProtocolError, match=r"\$\.at: unknown field 'z' of Point"):
        idlrt.from_json(t.User, '{"name": "", "at": {"x": 1, "z": 1}}', refuse_unknown=True)


def test_paths_start_where_the_caller_says() -> None:
    with pytest.raises(RemoteProtocolError, match=r"^cannot read list<i32> from JSON: query\.ids\[0\]: expected i32"):
        from_plain(rpc.list_of(rpc.I32), ["x"], path="query.ids")


def test_values_for_display_may_hold_what_json_cannot() -> None:
    options = JsonOptions(for_display=True)
    assert to_plain(rpc.list_of(rpc.STRING), ["\udcff"], options) == ["\udcff"]
    assert to_plain(PICK, empty_union(t.Pick, b"\0\0\x09\2\0\0\0\1\1"), options) == {}


def test_a_plain_value_is_not_shared_with_the_value() -> None:
    for type, value in ((rpc.list_of(rpc.STRING), ["a"]), (rpc.map_of(rpc.STRING, rpc.STRING), {"a": "b"})):
        assert to_plain(type, value) is not value
        assert from_plain(type, value) is not value


def test_classes_that_idlc_did_not_make_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="cannot write int as JSON: it was not generated by idlc"):
        idlrt.to_json(5)
    with pytest.raises(LocalProtocolError, match="cannot read int from JSON: it was not generated by idlc"):
        idlrt.from_json(int, "5")
