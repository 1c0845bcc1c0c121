"""Scalars as bare text, as in URLs and headers."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import plain_types as t
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt import codegen as rpc
from idlrt.serialization.text_scalars import ConversionError, located, text_reader, text_writer
from idlrt.spec import Type
from idlrt.testing.strategies import of

COLOR = rpc.enum(t.Color)
ID = UUID("12345678-1234-5678-1234-567812345678")
SCALARS: tuple[Type[Any], ...] = (
    rpc.BOOL,
    rpc.I8,
    rpc.I16,
    rpc.I32,
    rpc.I64,
    rpc.DOUBLE,
    rpc.STRING,
    rpc.BINARY,
    rpc.UUID,
    COLOR,
)


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (rpc.BOOL, "true", True),
        (rpc.BOOL, "false", False),
        (rpc.I8, "-128", -128),
        (rpc.I64, str(2**63 - 1), 2**63 - 1),
        (rpc.DOUBLE, "0.5", 0.5),
        (rpc.DOUBLE, "-Infinity", -math.inf),
        (rpc.STRING, "ä b", "ä b"),
        (rpc.STRING, "", ""),
        (rpc.BINARY, "-_8", b"\xfb\xff"),
        (rpc.UUID, str(ID), ID),
        (COLOR, "RED", t.Color.RED),
        (COLOR, "None", t.Color.None_),
        (rpc.list_of(rpc.I32), "5", 5),
        (rpc.set_of(COLOR), "RED", t.Color.RED),
    ],
)
def test_both_ways(type: Type[Any], text: str, value: Any) -> None:
    assert text_reader(type)(text) == value
    assert text_writer(type)(value) == text


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (rpc.DOUBLE, "5", 5.0),
        (rpc.BINARY, "+/8=", b"\xfb\xff"),
        (COLOR, "77", t.Color(77)),
        (COLOR, "2", t.Color.GREEN),
    ],
)
def test_other_forms_that_are_read(type: Type[Any], text: str, value: Any) -> None:
    found = text_reader(type)(text)
    assert (found, found.__class__) == (value, value.__class__)


@pytest.mark.parametrize(
    ("type", "text", "what"),
    [
        *((rpc.BOOL, text, "expected 'true' or 'false'") for text in ("1", "0", "True", "", "t")),
        *((rpc.I32, text, "expected i32, got") for text in ("", "5.0", "05", "+5", " 5", "0x5", "5\n", "9" * 5000)),
        (rpc.I8, "128", r"expected i8 \(-128 to 127\), got"),
        *((rpc.DOUBLE, text, "expected a number") for text in ("", "nan", "inf", "1_0", ".5", "5\n")),
        (rpc.DOUBLE, "1e999", "too large"),
        (rpc.STRING, "\udcff", "not Unicode text"),
        *((rpc.BINARY, text, "expected base64") for text in ("A", "A A", "ä")),
        *((rpc.UUID, text, "expected a UUID") for text in ("", ID.hex)),
        *((COLOR, text, r"Color has no member .* \(known: RED, GREEN") for text in ("", "red", "None_", "05")),
        (COLOR, str(2**31), "expected the name or number of a Color"),
    ],
)
def test_what_is_refused(type: Type[Any], text: str, what: str) -> None:
    with pytest.raises(ConversionError, match=what) as refused:
        text_reader(type)(text)
    assert located(refused.value, "query parameter `x`").startswith("query parameter `x`: ")


def test_without_rest_text_is_read_as_a_key_of_json_is() -> None:
    assert text_reader(rpc.UUID, rest=False)(ID.hex) == ID
    assert text_reader(COLOR, rest=False)("None_") is t.Color.None_


@given(st.data())
def test_values_of_any_scalar_type_come_back(data: st.DataObject) -> None:
    type = data.draw(st.sampled_from(SCALARS))
    value = data.draw(of(type))
    assert text_reader(type)(text_writer(type)(value)) == value


def test_enums_may_be_numbers() -> None:
    assert text_writer(COLOR, enums_as_numbers=True)(t.Color.GREEN) == "2"


@pytest.mark.parametrize("type", [rpc.struct(t.Point), rpc.map_of(rpc.I32, rpc.I32), rpc.list_of(rpc.list_of(rpc.I32))])
def test_other_types_have_no_text(type: Type[Any]) -> None:
    for make in (text_reader, text_writer):
        with pytest.raises(TypeError, match="has no text"):
            make(type)


@pytest.mark.parametrize(("type", "value"), [(rpc.BOOL, 1), (rpc.I8, 200), (rpc.BINARY, "x"), (rpc.UUID, "x")])
def test_values_of_other_types_are_not_written(type: Type[Any], value: Any) -> None:
    with pytest.raises(ConversionError, match="must be"):
        text_writer(type)(value)
