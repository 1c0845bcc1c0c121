"""Snapshots: deterministic JSON that compares like the IDL files, and errors of files that are none."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interfaces import described

from idlc.breaking import Described, Snapshot, SnapshotError, compare, dump, load, retire
from idlc.breaking.snapshot import key, parse_type

SHOP = """
namespace py demo.shop
namespace * other
include "base.idl"
enum Color { RED = 1, BLUE = 3 (py.name = "BLAU") }
typedef map<string, list<Color>> Colors
struct Item {
  1: required i64 id (vt.gt = "0")
  2: optional string name = "none" (http.query = "n")
  3: Colors colors = {"a": [Color.RED]}
  4: set<binary> raw
  5: base.Base base = {"x": 3}
}
union Any { 1: Item item; 2: uuid id }
exception Missing { 1: string what } (http.status = "404")
const map<i32, double> PRICES = {2: 1.5, 1: 2}
service Shop extends base.Root {
  Item get(1: i64 id) throws (1: Missing missing) (http.get = "/items/{id}")
  oneway void log(1: string text)
}
"""
BASE = "struct Base { 1: i32 x; 2: optional Base next }\nservice Root { void ping() }\n"


def test_a_snapshot_has_all_that_is_compared() -> None:
    whole = described(shop=SHOP, base=BASE)
    again = load(dump(whole.snapshot))
    assert again == whole.snapshot
    assert compare(Described(again), whole) == compare(whole, Described(again)) == []
    [base, shop] = again.files
    assert (base.path, shop.path) == ("base.idl", "shop.idl")
    assert shop.namespaces == {"*": "other", "py": "demo.shop"}
    assert [each.name for each in shop.types] == ["Any", "Color", "Colors", "Item", "Missing"]
    item = msgspec.to_builtins(shop.types[3])
    assert item["fields"][1] == {
        "id": 2,
        "name": "name",
        "type": "string",
        "requiredness": "optional",
        "default": '"none"',
        "annotations": {"http.query": ("n",)},
    }
    assert [each["type"] for each in item["fields"]][2:] == ["shop.idl#Colors", "set<binary>", "base.idl#Base"]
    assert shop.consts[0].value == "{1: 2.0, 2: 1.5}"
    assert shop.services[0].extends == "base.idl#Root"


def test_a_snapshot_does_not_depend_on_the_order_of_declarations() -> None:
    blocks = ["struct A { 1: i32 a }", "struct B { 1: A a }", "enum E { X = 1 }", "const i32 C = 1", "typedef i32 T"]
    texts = ["\n".join(blocks), "// a comment\n" + "\n\n".join(reversed(blocks))]
    assert dump(described(shop=texts[0]).snapshot) == dump(described(shop=texts[1]).snapshot)


def test_findings_against_a_snapshot_have_no_place_in_the_old_source() -> None:
    old = described("old", shop="struct A { 1: i32 a }\nstruct B {}")
    new = described(shop="struct A { 1: i64 a }")
    with_source, without = compare(old, new), compare(Described(load(dump(old.snapshot))), new)
    assert [each.message for each in with_source] == [each.message for each in without]
    assert all(each.before is not None for each in with_source)
    assert all(each.before is None and each.span is not None for each in without)


def test_ids_of_removed_fields_are_kept_on_demand() -> None:
    first = described(shop="struct A { 1: i32 a; 2: i32 b; 3: i32 c }")
    second = described(shop="struct A { 1: i32 a; 3: i32 c }")
    third = described(shop="struct A { 1: i32 a }")
    kept = retire(third.snapshot, retire(second.snapshot, first.snapshot))
    kept = load(dump(kept))
    again = described(shop="struct A { 1: i32 a; 2: string x; 4: i32 d }")
    [finding] = compare(Described(kept), again)
    assert finding.rule == "breaking.field.retired"
    assert finding.message == "id 2 of `A` belonged to `b`, which was removed earlier"
    assert compare(third, again) == []
    assert compare(Described(retire(third.snapshot, kept)), again) == [finding]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a snapshot of `idlc snapshot`"),
        (b"[]", "not a snapshot of `idlc snapshot`"),
        (b'{"files": []}', "not a snapshot of `idlc snapshot`"),
        (b'{"format": 2, "files": 7}', r"snapshot of format 2, this idlc reads format 1; upgrade idlc"),
        (b'{"format": 0}', r"write it again with `idlc snapshot`"),
        (b'{"format": 1, "files": [{"path": 3}]}', r"invalid snapshot: expected `str`, got `int`"),
    ],
)
def test_other_files_are_rejected(data: bytes, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        load(data)


@pytest.mark.parametrize("text", ["", "list", "list<", "list<i32", "list<i32>>", "map<i32>", "a b", "<", "list<" * 999])
def test_types_that_are_none_are_rejected(text: str) -> None:
    with pytest.raises(SnapshotError, match="invalid type in snapshot"):
        parse_type(text)


def test_edited_snapshots_with_cycles_end() -> None:
    data = json.loads(dump(described(shop="typedef i32 A\ntypedef i32 B\nstruct S { 1: A a }").snapshot))
    data["files"][0]["types"][1]["type"] = "shop.idl#A"
    data["files"][0]["types"][0]["type"] = "shop.idl#B"
    cyclic = Described(load(json.dumps(data).encode()))
    assert compare(cyclic, described(shop="typedef i32 A\ntypedef i32 B\nstruct S { 1: A a }")) is not None
    data["files"][0]["services"] = [{"name": "X", "extends": "shop.idl#X"}]
    cyclic = Described(load(json.dumps(data).encode()))
    assert compare(cyclic, cyclic) == []


def test_paths_with_characters_of_the_syntax_are_encoded() -> None:
    place = key("a, b/<c>#d%.idl", "Item")
    assert place == "a%2C%20b/%3Cc%3E%23d%25.idl#Item"
    assert str(parse_type(f"map<i32, {place}>")) == "map<i32, Item>"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_rejected(data: bytes) -> None:
    with suppress(SnapshotError):
        assert isinstance(load(data), Snapshot)
