"""Code generation only reads the model: the same programs can be generated again, by any target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from idlc.codegen import TargetOptions, find_target
from idlc.diagnostics import Report
from idlc.model import Program, build
from idlc.source import Loader

# `missing.thrift` is not there: the declarations of `shared.thrift` that need it are not generated.
FILES = {
    "demo.thrift": """
        namespace py demo
        include "shared.thrift"
        typedef list<shared.Point> Path
        enum Color { RED = 1, class = 2 (deprecated = "no") }
        struct User { 1: required i64 id, 2: optional Color color = Color.RED, 3: Path path, 4: i32 from }
        union Value { 1: i32 number = 4, 2: string text }
        exception NotFound { 1: i64 id }
        const list<Color> COLORS = [Color.RED]
        service Base { void ping() (idempotent) }
        service Users extends Base {
          User get(1: i64 id, 2: list<i32> of = [1]) throws (1: NotFound e) (policy.timeout = "1.0"),
          oneway void touch(1: i64 id) (deprecated = "use get")
        }
    """,
    "shared.thrift": """
        namespace py demo.shared
        include "missing.thrift"
        typedef missing.Thing Unknown
        typedef list<Unknown> Unknowns
        struct Point { 1: i32 x = 1, 2: missing.Thing thing, 3: Unknowns things, 4: i32 y }
        const missing.Thing NOTHING = 1
        const i32 SOMETHING = 1
        service Things { missing.Thing get(), void put(1: Unknowns things), i32 count() }
    """,
}


def described(programs: list[Program]) -> list[Any]:
    """Return everything that can be reached from `programs`: each object once, and the identities of its parts."""
    pending: list[Any] = list(programs)
    seen: dict[int, Any] = {}
    found: list[Any] = []
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, (str, int, float, bool, bytes, Path, type(None))):
            continue
        seen[id(each)] = each
        match each:
            case msgspec.Struct():
                parts: list[Any] = [getattr(each, name) for name in each.__struct_fields__]
            case dict():
                parts = [part for pair in each.items() for part in pair]
            case list() | tuple():
                parts = list(each)
            case set() | frozenset():
                parts = sorted(each)
            case _:
                parts = []
        plain = [part if isinstance(part, (str, int, float, bytes, Path, type(None))) else id(part) for part in parts]
        found.append((type(each).__name__, id(each), plain))
        pending += parts
    return found


def test_the_model_is_the_same_after_generation(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    report = Report()
    programs = build((tmp_path / "demo.thrift",), Loader(()), report, allow_negative_ids=False)
    before = described(programs)
    assert len(before) > 200
    first = find_target("python").generate(programs, Report(), TargetOptions())
    assert described(programs) == before
    assert find_target("python").generate(programs, Report(), TargetOptions()) == first
    (shared,) = [file.text for file in first if file.path.name == "shared.py"]
    assert "class Point(" in shared
    assert "x: int = 1\n    y: int" in shared
    assert "SOMETHING" in shared
    assert "def count(self) -> int" in shared
    for left_out in ("Unknown", '"thing"', "things:", "NOTHING", "def get", "def put"):
        assert left_out not in shared
