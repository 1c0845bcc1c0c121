"""Every example and every default of a document matches its schema, and the server's JSON reads and writes it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_idl import importable
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from idlrt.openapi import OpenApiOptions, openapi_document
from idlrt.serialization.constraints import constraints_of
from idlrt.serialization.plain_json import JsonOptions, from_plain, to_plain
from idlrt.spec import struct

Document = dict[str, Any]

SHOP = Path(__file__).parents[3] / "samples" / "shop" / "idl" / "shop.idl"
OPTIONS = [{}, {"i64_as_text": True}, {"enums_as_numbers": True}]

CONSTRAINED = """
enum Color { RED = 1, GREEN, BLUE }
struct All {
  1: required i32 a (vt.gt = "5", vt.lt = "7")
  2: required i8 b (vt.ge = "120")
  3: required double c (vt.gt = "0", vt.lt = "1")
  4: required string d (vt.min_size = "30")
  5: required string e (vt.max_rune_size = "1")
  6: required string f (vt.pattern = "^[A-Z]{3}$")
  7: required string g (vt.prefix = "https://", vt.suffix = "/")
  8: required string h (vt.in = "x", vt.in = "y")
  9: required set<string> i (vt.min_size = "3", vt.elem.max_size = "5")
  10: required Color j (vt.not_in = "RED")
  11: required set<Color> k (vt.min_size = "2")
  12: required map<i32, string> l (vt.min_size = "2", vt.key.ge = "1000")
  13: required binary m (vt.max_size = "2")
  14: required bool n (vt.const = "false")
  15: required i64 o (vt.le = "-1", vt.not_in = "-1")
  16: required map<set<string>, Color> p (vt.value.in = "BLUE")
  17: required string q (vt.not_contains = "q")
  18: required list<double> r (vt.min_size = "2", vt.elem.ge = "0.25")
  19: required Color s (vt.in = "3")
  20: required uuid t
}
service S { All f(1: required All all) }
"""


def problems(document: Document) -> Iterator[str]:
    """Return what is wrong with the examples and defaults of a document."""
    registry = Registry().with_resource("urn:doc", DRAFT202012.create_resource(document))

    def errors(schema: Any, value: Any, where: str) -> Iterator[str]:
        whole = {**_absolute(schema), "$schema": "https://json-schema.org/draft/2020-12/schema"}
        for error in Draft202012Validator(whole, registry=registry).iter_errors(value):
            yield f"{where}: {value!r}: {error.message}"

    def walk(node: Any, where: str) -> Iterator[str]:
        if isinstance(node, list):
            for place, each in enumerate(node):
                yield from walk(each, f"{where}[{place}]")
        if not isinstance(node, dict):
            return
        if "default" in node and where.rpartition(".")[2] != "responses":
            yield from errors(node, node["default"], f"{where}.default")
        if "example" in node:
            yield from errors(node["schema"], node["example"], f"{where}.example")
        found = node.get("examples", ())
        if isinstance(found, dict):
            for name, each in found.items():
                yield from errors(node["schema"], each["value"], f"{where}.examples.{name}")
        else:
            for each in found:
                yield from errors(node, each, f"{where}.examples")
        for key, each in node.items():
            if key not in ("default", "example", "examples") or where.endswith("responses"):
                yield from walk(each, f"{where}.{key}")

    yield from walk(document["paths"], "paths")
    yield from walk(document["components"], "components")


def _absolute(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: f"urn:doc{value}" if key == "$ref" else _absolute(value) for key, value in node.items()}
    return [_absolute(each) for each in node] if isinstance(node, list) else node


def examples(node: Any) -> int:
    """Return the number of places with examples."""
    if isinstance(node, dict):
        return sum(key in ("example", "examples") or examples(each) for key, each in node.items())
    return sum(map(examples, node)) if isinstance(node, list) else 0


def test_examples_of_the_library(library_document: Document) -> None:
    assert [*problems(library_document)] == []
    assert examples(library_document["paths"]) > 30


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_examples_of_the_shop(tmp_path: Path, options: dict[str, Any]) -> None:
    with importable(SHOP, output=tmp_path / "gen"):
        client: Any = importlib.import_module("company.shop").ShopServiceClient
        made = openapi_document([client.__thrift_service__], OpenApiOptions(**options))
    assert [*problems(made)] == []
    assert all("examples" in schema for name, schema in made["components"]["schemas"].items() if "Problem" not in name)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_examples_satisfy_constraints(compiled: Callable[[str], Any], options: dict[str, Any]) -> None:
    module = compiled(CONSTRAINED)
    made = openapi_document([module.SClient.__thrift_service__], OpenApiOptions(**options))
    assert [*problems(made)] == []
    [example] = made["components"]["schemas"]["All"]["examples"]
    json = JsonOptions(rest=True, **options)
    read = from_plain(struct(module.All), example, json)
    check = constraints_of(module.SClient.__thrift_service__.methods["f"])
    assert check is not None
    check((read,))
    assert from_plain(struct(module.All), to_plain(struct(module.All), read, json), json) == read
    assert [*made["paths"]["/S/f"]["post"]["requestBody"]["content"]["application/json"]] == ["schema", "examples"]


def test_types_without_a_finite_value_have_no_example(document: Callable[..., Document]) -> None:
    found = document("""
        struct Endless { 1: required Endless next }
        struct Ends { 1: optional Ends next, 2: required list<Ends> all }
        struct Odd { 1: required string x (vt.pattern = "^no candidate has this shape 77$") }
        service S { Endless a(), Ends b(), Odd c() }
    """)["components"]["schemas"]
    assert "examples" not in found["Endless"]
    assert found["Ends"]["examples"] == [{"all": []}]
    assert "examples" not in found["Odd"]


def test_defaults_are_examples(document: Callable[..., Document]) -> None:
    found = document("""
        struct R { 1: string city = "Berlin", 2: list<i32> some = [1, 2] }
        service S { R f() }
    """)["components"]["schemas"]
    assert found["R"]["examples"] == [{"city": "Berlin", "some": [1, 2]}]
