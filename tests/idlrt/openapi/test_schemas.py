"""Schemas of types and constraints."""

from __future__ import annotations

import importlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compiled_idl import importable, written
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from idlrt.openapi import openapi_document

Document = dict[str, Any]

IDL = """
enum Color {{ RED = 1, GREEN }}
struct Inner {{ 1: required i32 x }}
union Choice {{ 1: i32 a, 2: list<Choice> b }}
struct Whole {{ 1: required {type} value }}
service S {{ Whole f(1: required Whole whole) }}
"""
I32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}


def value_of(found: Document) -> Any:
    return found["components"]["schemas"]["Whole"]["properties"]["value"]


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("bool", {"type": "boolean"}),
        ("i8", {"type": "integer", "format": "int32", "minimum": -128, "maximum": 127}),
        ("i32", I32),
        ("i64", {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}),
        ("string", {"type": "string"}),
        ("list<bool>", {"type": "array", "items": {"type": "boolean"}}),
        ("set<bool>", {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True}),
        ("map<string, bool>", {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (
            "map<bool, i32>",
            {"type": "object", "additionalProperties": I32, "propertyNames": {"enum": ["false", "true"]}},
        ),
        ("Inner", {"$ref": "#/components/schemas/Inner"}),
        ("list<Choice>", {"type": "array", "items": {"$ref": "#/components/schemas/Choice"}}),
    ],
)
def test_schemas_of_types(document: Callable[..., Document], type: str, expected: Any) -> None:
    assert value_of(document(IDL.format(type=type))) == expected


def test_doubles_have_texts_for_what_json_cannot_express(document: Callable[..., Document]) -> None:
    number, text = value_of(document(IDL.format(type="double")))["anyOf"]
    assert number == {"type": "number", "format": "double"}
    assert text == {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}


def test_binary_is_base64(document: Callable[..., Document]) -> None:
    found = value_of(document(IDL.format(type="binary")))
    assert (found["type"], found["contentEncoding"]) == ("string", "base64")


def test_enums_are_open(document: Callable[..., Document]) -> None:
    found = document(IDL.format(type="Color"))["components"]["schemas"]["Color"]
    assert found["anyOf"] == [{"type": "string", "enum": ["RED", "GREEN"]}, I32]
    assert (found["x-enum-varnames"], found["x-enum-values"]) == (["RED", "GREEN"], [1, 2])
    numbers = document(IDL.format(type="Color"), enums_as_numbers=True)["components"]["schemas"]["Color"]
    assert numbers["anyOf"] == [I32, {"type": "string", "enum": ["RED", "GREEN"]}]
    assert numbers["examples"] == [1]


def test_maps_with_structs_as_keys_are_arrays_of_pairs(document: Callable[..., Document]) -> None:
    found = value_of(document(IDL.format(type="map<Inner, bool>")))
    assert found["type"] == "array"
    assert found["items"]["properties"] == {"key": {"$ref": "#/components/schemas/Inner"}, "value": {"type": "boolean"}}
    assert found["items"]["required"] == ["key", "value"]


def test_unions_are_objects_with_one_member(document: Callable[..., Document]) -> None:
    options = document(IDL.format(type="Choice"))["components"]["schemas"]["Choice"]["oneOf"]
    assert [option["required"] for option in options] == [["a"], ["b"]]
    assert [option["additionalProperties"] for option in options] == [False, False]
    assert options[1]["properties"]["b"]["items"] == {"$ref": "#/components/schemas/Choice"}


def test_what_is_read_has_another_schema_only_where_it_differs(document: Callable[..., Document]) -> None:
    found = document("""
        struct Same { 1: required i32 x, 2: optional i32 y }
        struct Defaulted { 1: i32 x = 1, 2: i32 y }
        struct Outer { 1: required Defaulted inner, 2: optional Outer next }
        struct OnlyRead { 1: i32 x = 1 }
        service S { Same a(1: Same x), Outer b(1: Outer x), void c(1: OnlyRead x) }
    """)["components"]["schemas"]
    names = {*found} - {"Problem"}
    assert names == {"Same", "Defaulted", "DefaultedInput", "Outer", "OuterInput", "OnlyRead"}
    assert found["Defaulted"]["required"] == ["x"]
    assert "required" not in found["DefaultedInput"]
    assert found["DefaultedInput"]["properties"]["x"]["default"] == 1
    assert found["OuterInput"]["properties"]["next"] == {"$ref": "#/components/schemas/OuterInput"}


def test_required_fields_with_a_default_may_be_left_out_of_requests(document: Callable[..., Document]) -> None:
    found = document("""
        struct R { 1: required i32 a = 5, 2: required i32 b }
        service S { R f(1: R r) }
    """)["components"]["schemas"]
    assert (found["R"]["required"], found["RInput"]["required"]) == (["a", "b"], ["b"])


def test_classes_with_the_same_name_are_told_apart_by_namespace(tmp_path: Path) -> None:
    other = "namespace py told_apart.b\nstruct User { 1: required i32 x }\nstruct Own { 1: i32 x }"
    own = (
        'include "b.idl"\nnamespace py told_apart.a\nstruct User { 1: required string y }\n'
        "service S { User f(1: b.User u), b.Own g() }"
    )
    paths = written(tmp_path, {"a.idl": own, "b.idl": other})
    with importable(*paths, output=tmp_path / "gen"):
        client: Any = importlib.import_module("told_apart.a").SClient
        found = openapi_document([client.__thrift_service__])
    validate(found)
    assert {*found["components"]["schemas"]} == {"told_apart.a.User", "told_apart.b.User", "Own", "Problem"}


def test_classes_with_names_of_other_schemas(document: Callable[..., Document]) -> None:
    found = document("""
        struct Problem { 1: i32 x = 1 }
        struct ProblemInput { 1: i32 x }
        exception E { 1: i32 x }
        struct EProblem { 1: i32 x }
        service S { Problem f(1: Problem p, 2: ProblemInput i) throws (1: E e), EProblem g() }
    """)["components"]["schemas"]
    assert {*found} == {"Problem", "Problem.", "Problem.Input", "ProblemInput", "E", "E.Problem", "EProblem"}


def test_keys_and_text_of_fields(document: Callable[..., Document]) -> None:
    found = document("""
        struct R {
          1: optional i64 a (http.as_text = "")
          2: optional list<i64> b (api.js_conv = "true", go.tag = 'json:"bb"')
          3: optional string c (http.none = "")
        }
        service S { R f(1: R r) }
    """)["components"]["schemas"]
    written, read = found["R"]["properties"], found["RInput"]["properties"]
    assert [*written] == ["a", "bb"]
    assert (written["a"]["type"], written["bb"]["items"]["type"]) == ("string", "string")
    assert [option["type"] for option in read["a"]["anyOf"]] == ["string", "integer"]


@pytest.mark.parametrize(
    ("type", "rules", "expected"),
    [
        ("i32", 'vt.ge = "1", vt.lt = "10"', {"minimum": 1, "maximum": None, "exclusiveMaximum": 10}),
        ("i32", 'vt.in = "1", vt.in = "5"', {"enum": [1, 5]}),
        ("i32", 'vt.const = "3"', {"const": 3}),
        ("i32", 'vt.not_in = "3"', {"not": {"enum": [3]}}),
        ("double", 'vt.gt = "0.5"', {"type": "number", "exclusiveMinimum": 0.5}),
        ("bool", 'vt.const = "true"', {"const": True}),
        ("string", 'vt.min_rune_size = "2", vt.max_rune_size = "3"', {"minLength": 2, "maxLength": 3}),
        ("string", 'vt.pattern = "^a+$"', {"pattern": "^a+$"}),
        ("string", 'vt.prefix = "a.b", vt.suffix = "c"', {"allOf": [{"pattern": r"^a\.b"}, {"pattern": "c$"}]}),
        ("string", 'vt.contains = "-x"', {"pattern": "-x"}),
        ("string", 'vt.not_contains = "x"', {"allOf": [{"not": {"pattern": "x"}}]}),
        ("string", 'vt.in = "a", vt.in = "b"', {"enum": ["a", "b"]}),
        ("Color", 'vt.defined_only = "true"', {"enum": ["RED", "GREEN", 1, 2]}),
        ("Color", 'vt.in = "Color.RED"', {"enum": ["RED", 1]}),
        ("list<i32>", 'vt.min_size = "1", vt.max_size = "2"', {"minItems": 1, "maxItems": 2}),
        ("map<string, i32>", 'vt.min_size = "1"', {"minProperties": 1}),
        ("map<string, i32>", 'vt.key.max_size = "3"', {"propertyNames": {"maxLength": 3}}),
    ],
)
def test_constraints_are_keywords(
    document: Callable[..., Document], type: str, rules: str, expected: dict[str, Any]
) -> None:
    text = IDL.format(type=type).replace(" value }", f" value ({rules}) }}")
    found = value_of(document(text))
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("bound", range(8))
def test_sizes_of_binary_are_exact(document: Callable[..., Document], bound: int) -> None:
    def accepted(rule: str) -> set[tuple[int, bool]]:
        text = IDL.format(type="binary").replace(" value }", f' value ({rule} = "{bound}") }}')
        validator = Draft202012Validator(value_of(document(text)))
        return {
            (size, is_padded)
            for size in range(12)
            for is_padded in (True, False)
            if validator.is_valid(b64encode(b"x" * size).decode().rstrip("" if is_padded else "="))
        }

    assert accepted("vt.min_size") == {(size, padded) for size in range(bound, 12) for padded in (True, False)}
    assert accepted("vt.max_size") == {(size, padded) for size in range(bound + 1) for padded in (True, False)}


@pytest.mark.parametrize(
    ("rules", "accepted"),
    [
        ('vt.gt = "0"', {"1", "25"}),
        ('vt.ge = "0"', {"0", "1", "25"}),
        ('vt.in = "0", vt.in = "-1"', {"0", "-1"}),
        ('vt.not_in = "0"', {"1", "25", "-1"}),
    ],
)
def test_constraints_of_integers_as_text(document: Callable[..., Document], rules: str, accepted: set[str]) -> None:
    text = IDL.format(type="i64").replace(" value }", f" value ({rules}) }}")
    schemas = document(text, i64_as_text=True)["components"]["schemas"]
    written, read = (schemas[name]["properties"]["value"] for name in ("Whole", "WholeInput"))
    values = {"0", "1", "25", "-1"}
    assert {each for each in values if Draft202012Validator(written).is_valid(each)} == accepted
    assert {each for each in values if Draft202012Validator(read).is_valid(each)} == accepted
    assert {each for each in values if Draft202012Validator(read).is_valid(int(each))} == accepted


def test_constraints_of_elements(document: Callable[..., Document]) -> None:
    text = IDL.format(type="list<i32>").replace(" value }", ' value (vt.elem.ge = "0") }')
    assert value_of(document(text))["items"] == {**I32, "minimum": 0}


def test_fields_that_must_not_be_nil_are_required_in_requests(document: Callable[..., Document]) -> None:
    found = document("""
        struct R { 1: optional i32 a (vt.not_nil = "true") }
        service S { R f(1: R r) }
    """)["components"]["schemas"]
    assert found["RInput"]["required"] == ["a"]
    assert "required" not in found["R"]
