"""Public names: every package has one door, and what it offers is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import idlc

ROOT = Path(__file__).parents[2]
FOLDERS = {"idlc": ROOT / "idlc", "idlrt": ROOT / "runtime" / "idlrt"}
MODULES = sorted(
    ".".join((package, *(part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__")))
    for package, folder in FOLDERS.items()
    for path in folder.rglob("*.py")
    if path.name != "__main__.py"
)
DOORS = sorted(
    ".".join((package, *path.relative_to(folder).parent.parts))
    for package, folder in FOLDERS.items()
    for path in folder.rglob("__init__.py")
)


def order(name: str) -> tuple[int, list[object]]:
    """Constants, classes, the rest; numbers by value (the order of ruff's RUF022)."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@pytest.mark.parametrize("door", DOORS)
def test_every_package_says_what_it_offers(door: str) -> None:
    module = importlib.import_module(door)
    assert module.__all__ == sorted(module.__all__, key=order)
    assert len(module.__all__) == len(set(module.__all__))


def test_what_modules_offer_is_there() -> None:
    for name in MODULES:
        module = importlib.import_module(name)
        assert [each for each in getattr(module, "__all__", []) if not hasattr(module, each)] == [], name


def test_public_names_say_what_they_are_for() -> None:
    silent = []
    for door in DOORS:
        module = importlib.import_module(door)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if isinstance(value, type) or callable(value):
                home = getattr(value, "__module__", "")
                if home.startswith(("idlc", "idlrt")) and not (value.__doc__ or "").strip():
                    silent.append(f"{door}.{name}")
    assert silent == []


EVERYTHING = """
    include "other.thrift"
    namespace py demo
    typedef other.P Q
    enum E { A = 1 }
    struct S { 1: uuid id, 2: map<list<i32>, Q> m = {}, 3: i32 from, 4: S s (deprecated = "x") }
    union U { 1: i32 x }
    exception X { 1: string why }
    const map<set<i32>, double> M = {[1]: 0.5}
    service V extends other.V { S get(1: U u) throws (1: X x) (deprecated = "y"), oneway void tell() }
"""


def test_generated_code_imports_only_the_door_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "demo.thrift").write_text(EVERYTHING)
    (tmp_path / "other.thrift").write_text("namespace py demo.more\nstruct P { 1: i32 x } service V { void v() }")
    idlc.compile(sources=(tmp_path / "demo.thrift",), output=tmp_path / "gen", use_cache=False)
    files = list((tmp_path / "gen").rglob("*.py"))
    assert len(files) == 4
    imported = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Import)
            if isinstance(node, ast.ImportFrom) and not node.level:
                imported |= {(node.module, alias.name) for alias in node.names}
    assert {source for source, _ in imported} == {"__future__", "idlrt", "typing"}
    assert {name for source, name in imported if source == "idlrt"} == {"codegen"}


def test_generated_code_uses_only_what_the_door_offers(tmp_path: Path) -> None:
    from idlrt import codegen

    (tmp_path / "demo.thrift").write_text(EVERYTHING)
    (tmp_path / "other.thrift").write_text("struct P { 1: i32 x } service V { void v() }")
    idlc.compile(sources=(tmp_path / "demo.thrift",), output=tmp_path / "gen", use_cache=False)
    text = "\n".join(path.read_text() for path in (tmp_path / "gen").rglob("*.py"))
    assert set(re.findall(r"\b_?rpc\.(\w+)", text)) <= set(codegen.__all__)
