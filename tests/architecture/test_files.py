"""One idea a file: none is too long, and each opens with what it is."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Stubs are as long as they are.
GENERATED = {ROOT / "runtime" / "idlrt" / name / "api" for name in ("collector", "embedded")}
SOURCES = sorted(
    path
    for path in [*(ROOT / "idlc").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")]
    if not GENERATED & {*path.parents}
)
# Expected outputs of the compiler are as long as they are.
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if "golden" not in path.parts)
EMPTY = re.compile(r"^(utils?|helpers?|common|managers?|misc)$")


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_sources_are_short() -> None:
    assert {name(path): lines(path) for path in SOURCES if lines(path) > 400} == {}


def test_tests_are_short() -> None:
    assert {name(path): lines(path) for path in TESTS if lines(path) > 700} == {}


def test_sources_open_with_what_they_are() -> None:
    assert [name(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_files_have_names_that_say_something() -> None:
    assert [name(path) for path in [*SOURCES, *TESTS] if EMPTY.match(path.stem) or EMPTY.match(path.parent.name)] == []


def test_tests_have_different_names() -> None:
    """pytest imports test files by their names alone, because their folders are not packages."""
    names = [path.stem for path in TESTS if path.name.startswith("test_")]
    assert sorted(each for each, number in Counter(names).items() if number > 1) == []
