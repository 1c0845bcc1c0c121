"""The JSON mapping of REST: annotations of fields, and strict reading."""

from __future__ import annotations

import math
import re
from typing import Any
from uuid import UUID

import msgspec
import plain_types as t
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idlrt import codegen as rpc
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization.plain_json import (
    JsonOptions,
    arguments_from_plain,
    arguments_to_plain,
    from_plain,
    json_key,
    to_plain,
)
from idlrt.serialization.text_scalars import BASE64_PATTERN, INTEGER_PATTERN, UUID_PATTERN
from idlrt.spec import VOID, FrozenMap, Method, Type, argument
from idlrt.testing.strategies import of, types

REST = JsonOptions(rest=True)
TEXT = JsonOptions(rest=True, i64_as_text=True)
COLOR = rpc.enum(t.Color)
ID = UUID("12345678-1234-5678-1234-567812345678")
LARGE = 2**63 - 1


class Account(rpc.Struct, kw_only=True):
    id: int
    key: str | None = None
    secret: str | None = None
    totals: dict[str, list[int]] | None = None
    seen: set[int] | None = None
    parent: Account | None = None
    plain: int | None = None
    listed: list[Account] | None = None

    __thrift_fields__ = (
        rpc.required(1, "id", rpc.I64, annotations={"http.as_text": ""}),
        rpc.optional(2, "key", rpc.STRING, annotations={"http.name": "n", "http.body": "the-key"}),
        rpc.optional(3, "secret", rpc.STRING, annotations={"http.none": ""}),
        rpc.optional(
            4,
            "totals",
            rpc.map_of(rpc.STRING, rpc.list_of(rpc.I64)),
            annotations={"http.as_text": "", "http.body": "", "http.name": "sums"},
        ),
        rpc.optional(5, "seen", rpc.set_of(rpc.I64), annotations={"http.as_text": "true"}),
        rpc.optional(6, "parent", rpc.struct(lambda: Account)),
        rpc.optional(7, "plain", rpc.I64),
        rpc.optional(8, "listed", rpc.list_of(rpc.struct(lambda: Account)), annotations={"http.as_text": ""}),
    )


class Choice(rpc.Union, kw_only=True):
    one: int | None = None
    hidden: str | None = None

    __thrift_fields__ = (
        rpc.optional(1, "one", rpc.I64, annotations={"http.name": "first", "http.as_text": ""}),
        rpc.optional(2, "hidden", rpc.STRING, annotations={"http.none": ""}),
    )


class Failed(rpc.DeclaredError):
    code: int

    __thrift_fields__ = (rpc.required(1, "code", rpc.I64, annotations={"http.as_text": "", "http.body": "c"}),)


ACCOUNT = rpc.struct(Account)
METHOD: Method[..., None] = Method(
    "find",
    argument(1, "size", rpc.I64, annotations={"http.as_text": "", "http.body": "n"}),
    argument(2, "from", rpc.STRING, attribute="from_"),
    argument(3, "hidden", rpc.STRING, default="d", annotations={"http.none": ""}),
    result=VOID,
)


def read(type: Type[Any], plain: Any, options: JsonOptions = REST) -> Any:
    return from_plain(type, plain, options)


def is_read(type: Type[Any], plain: Any, options: JsonOptions = REST) -> bool:
    try:
        from_plain(type, plain, options)
    except RemoteProtocolError:
        return False
    return True


def test_the_key_is_that_of_the_body_then_the_name_then_that_of_the_idl() -> None:
    assert [json_key(field) for field in Account.__thrift_fields__[:5]] == ["id", "the-key", "secret", "sums", "seen"]


def test_annotations_of_fields_apply_both_ways() -> None:
    value = Account(
        id=LARGE, key="k", secret="s", totals={"a": [1, LARGE]}, seen={5}, plain=7, parent=Account(id=1, plain=2)
    )
    plain = {
        "id": str(LARGE),
        "the-key": "k",
        "sums": {"a": ["1", str(LARGE)]},
        "seen": ["5"],
        "parent": {"id": "1", "plain": 2},
        "plain": 7,
    }
    assert to_plain(ACCOUNT, value, REST) == plain
    value.secret = None
    assert read(ACCOUNT, plain) == value
    assert read(ACCOUNT, {**plain, "secret": "s", "key": "x", "totals": 5}) == value, "unknown keys"


def test_text_of_a_field_does_not_reach_into_structs() -> None:
    plain = {"id": "1", "listed": [{"id": "2", "plain": 3}]}
    assert to_plain(ACCOUNT, Account(id=1, listed=[Account(id=2, plain=3)]), REST) == plain
    assert read(ACCOUNT, plain).listed == [Account(id=2, plain=3)]
    assert not is_read(ACCOUNT, {"id": "1", "listed": [{"id": "2", "plain": "3"}]})


def test_numbers_are_read_where_text_is_written() -> None:
    assert read(ACCOUNT, {"id": 5, "sums": {"a": [1, "2"]}, "seen": [1]}) == Account(
        id=5, totals={"a": [1, 2]}, seen={1}
    )


def test_all_i64_may_be_text() -> None:
    plain = {"id": "1", "plain": "2"}
    assert to_plain(ACCOUNT, Account(id=1, plain=2), TEXT) == plain
    assert read(ACCOUNT, plain, TEXT) == Account(id=1, plain=2)
    assert not is_read(rpc.I32, "2", TEXT)


def test_hidden_fields_are_unknown_ones() -> None:
    with pytest.raises(RemoteProtocolError, match="unknown field 'secret' of Account"):
        read(ACCOUNT, {"id": 1, "secret": "x"}, JsonOptions(rest=True, refuse_unknown=True))


def test_unions_and_exceptions() -> None:
    union = rpc.struct(Choice)
    assert to_plain(union, Choice(one=1), REST) == {"first": "1"}
    assert read(union, {"first": "1"}) == Choice(one=1)
    assert not any(is_read(union, plain) for plain in ({}, {"one": 1}, {"hidden": "x"}, {"first": 1, "x": 2}))
    with pytest.raises(LocalProtocolError, match="exactly one field must be set"):
        to_plain(union, Choice(hidden="x"), REST)
    assert to_plain(rpc.struct(Failed), Failed(code=1), REST) == {"c": "1"}
    assert read(rpc.struct(Failed), {"c": 1}) == Failed(code=1)


def test_errors_name_the_keys() -> None:
    with pytest.raises(RemoteProtocolError, match=r"\$\.sums\['a'\]\[1\]: expected i64, got 'x'"):
        read(ACCOUNT, {"id": 1, "sums": {"a": [1, "x"]}})
    with pytest.raises(RemoteProtocolError, match=r"\$: missing required field `c`"):
        read(rpc.struct(Failed), {})
    with pytest.raises(LocalProtocolError, match=r"\$\.the-key: must be string"):
        to_plain(ACCOUNT, Account(id=1, key=5), REST)  # type: ignore[arg-type]


def test_arguments() -> None:
    assert arguments_to_plain(METHOD, (5, "x", "y"), REST) == {"n": "5", "from": "x"}
    assert arguments_from_plain(METHOD, {"n": "5", "from": "x", "hidden": "y"}, REST) == (5, "x", "d")
    assert arguments_from_plain(METHOD, {"size": "x", "from_": 7}, REST, from_peer=True) == (None, None, "d")
    with pytest.raises(RemoteProtocolError, match=r"\$: expected an object, got an array"):
        arguments_from_plain(METHOD, [5], REST)
    with pytest.raises(RemoteProtocolError, match=r"\$\.n: expected i64"):
        arguments_from_plain(METHOD, {"n": "x"}, REST)


def test_the_ordinary_mapping_ignores_annotations() -> None:
    value = Account(id=1, key="k", secret="s")
    assert to_plain(ACCOUNT, value) == {"id": 1, "key": "k", "secret": "s"}
    assert from_plain(ACCOUNT, {"id": "1", "key": "k", "secret": "s"}) == value
    assert arguments_to_plain(METHOD, (5, "x", "y")) == {"size": 5, "from": "x", "hidden": "y"}
    assert arguments_from_plain(METHOD, [5, "x", "y"]) == (5, "x", "y")


@pytest.mark.parametrize(
    ("type", "plain", "value"),
    [
        (rpc.I32, 5.0, 5),
        (rpc.list_of(rpc.I8), [1, 2.0], [1, 2]),
        (rpc.I64, -(2**63), -(2**63)),
        (rpc.DOUBLE, 5, 5.0),
        (rpc.DOUBLE, "Infinity", math.inf),
        (rpc.list_of(rpc.DOUBLE), [1, "-Infinity"], [1.0, -math.inf]),
        (COLOR, "RED", t.Color.RED),
        (COLOR, "None", t.Color.None_),
        (COLOR, 2, t.Color.GREEN),
        (COLOR, 2.0, t.Color.GREEN),
        (COLOR, 77, t.Color(77)),
        (rpc.BINARY, "-_-_", b"\xfb\xff\xbf"),
        (rpc.BINARY, "AA", b"\0"),
        (rpc.UUID, str(ID).upper(), ID),
        (rpc.map_of(rpc.I32, rpc.I32), {"5": 6.0}, {5: 6}),
        (rpc.map_of(rpc.BOOL, rpc.STRING), {"true": "x"}, {True: "x"}),
        (rpc.map_of(rpc.I64, rpc.I64), {"5": 6}, {5: 6}),
        (rpc.map_of(COLOR, rpc.STRING), {"RED": "x", "77": "y"}, {t.Color.RED: "x", t.Color(77): "y"}),
        (rpc.map_of(rpc.frozen_list_of(rpc.I8), rpc.I8), [{"key": [1], "value": 2}], {(1,): 2}),
        (rpc.frozen_map_of(rpc.UUID, rpc.I8), {str(ID): 1}, FrozenMap({ID: 1})),
    ],
)
def test_what_is_read(type: Type[Any], plain: Any, value: Any) -> None:
    found = read(type, plain)
    assert (found, found.__class__) == (value, value.__class__)


@pytest.mark.parametrize(
    ("type", "plain"),
    [
        *(
            (integer, plain)
            for integer in (rpc.I8, rpc.I16, rpc.I32, rpc.I64)
            for plain in ("5", 5.5, True, None, 2**63)
        ),
        (rpc.list_of(rpc.I64), ["5"]),
        (rpc.I64, 1e17),
        *((rpc.DOUBLE, plain) for plain in ("5", "5.5", "nan", "inf", "+Infinity", True, None, 10**400)),
        *((COLOR, plain) for plain in ("1", "None_", "red", "UNKNOWN_77", 1.5, 2**31, True, None)),
        *((rpc.BOOL, plain) for plain in ("true", 1, 0, None)),
        *((rpc.UUID, plain) for plain in (ID.hex, f"{{{ID}}}", f"urn:uuid:{ID}", f"{ID}\n", "", 5)),
        *((rpc.BINARY, plain) for plain in ("A", "AA=", "AAA==", "A A=", "AAAA\n", "ä", 5, None)),
        *((rpc.STRING, plain) for plain in ("\ud800", 5, None)),
        (rpc.list_of(rpc.STRING), ["a", "\ud800"]),
        (rpc.set_of(rpc.I32), [1, 1.0]),
        (rpc.set_of(COLOR), ["RED", 1]),
        (rpc.map_of(COLOR, rpc.I32), {"RED": 1, "1": 2}),
        (rpc.map_of(COLOR, rpc.I32), {"None_": 1}),
        (rpc.map_of(rpc.UUID, rpc.I32), {ID.hex: 1}),
        (rpc.map_of(rpc.STRING, rpc.I32), {"a": "1"}),
        (rpc.map_of(rpc.STRING, rpc.I32), {"a": None}),
        (rpc.map_of(rpc.I32, rpc.I32), {"05": 1}),
        (rpc.map_of(rpc.BOOL, rpc.I32), {"True": 1}),
        (rpc.struct(t.Point), {"x": None}),
    ],
)
def test_what_is_refused(type: Type[Any], plain: Any) -> None:
    with pytest.raises(RemoteProtocolError, match=r"cannot read .* from JSON: \$"):
        read(type, plain)


NEARLY_BASE64 = st.one_of(
    st.text(st.sampled_from("AZaz09+/-_=\n ä"), max_size=14),
    st.binary(max_size=12).map(lambda data: msgspec.json.encode(data).decode().strip('"')),
    st.tuples(st.text(st.sampled_from("Aw-_+/9"), max_size=9), st.text("=", max_size=4)).map("".join),
)


@given(NEARLY_BASE64)
@example("AAAA====")
@example("=")
@example("AAAA\n")
@example("QR==")
def test_the_pattern_of_base64_is_what_is_read(text: str) -> None:
    matches = re.fullmatch(BASE64_PATTERN, text) is not None and not text.endswith("\n")
    assert is_read(rpc.BINARY, text) is matches


@given(st.one_of(st.uuids().map(str), st.text(st.sampled_from("0aAfFgG-\n{} "), max_size=40)), st.integers(0, 40))
def test_the_pattern_of_uuids_is_what_is_read(text: str, at: int) -> None:
    for each in (text, text.upper(), text[:at] + text[at + 1 :], text[:at] + "-" + text[at:], text + "\n"):
        matches = re.fullmatch(UUID_PATTERN, each) is not None and not each.endswith("\n")
        assert is_read(rpc.UUID, each) is matches


@given(st.one_of(st.integers(-(2**63), 2**63 - 1).map(str), st.text(st.sampled_from("-+01.e _9\n"), max_size=8)))
def test_the_pattern_of_integers_is_what_is_read_as_text(text: str) -> None:
    matches = re.fullmatch(INTEGER_PATTERN, text) is not None and not text.endswith("\n")
    assert is_read(rpc.I64, text, TEXT) is matches


@pytest.mark.slow
@given(st.data(), st.sampled_from([REST, TEXT, JsonOptions(rest=True, enums_as_numbers=True)]))
def test_values_of_any_type_come_back(data: st.DataObject, options: JsonOptions) -> None:
    type = data.draw(types())
    value = data.draw(of(type))
    options = msgspec.structs.replace(options, max_depth=500)
    decoded = msgspec.json.decode(msgspec.json.encode(to_plain(type, value, options)))
    assert from_plain(type, decoded, options) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(["NaN", "1"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["key", "field0", "1"]), inner),
)


@pytest.mark.slow
@given(st.data(), JSON)
def test_reading_is_stricter_than_the_ordinary_one(data: st.DataObject, plain: Any) -> None:
    type = data.draw(types())
    try:
        value = from_plain(type, plain, REST)
    except RemoteProtocolError:
        return
    assert to_plain(type, from_plain(type, plain), REST) == to_plain(type, value, REST)
