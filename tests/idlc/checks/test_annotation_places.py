"""Annotations that have an effect only on fields and arguments are reported elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from idlc.checks import run_checks
from idlc.diagnostics import Report
from idlc.model import build
from idlc.source import Loader


def places(folder: Path, text: str) -> list[str]:
    path = folder / "x.thrift"
    path.write_text(f"exception X {{}}\n{text}", encoding="utf-8")
    report = Report()
    run_checks(build((path,), Loader(()), report), report)
    return [each.message for each in report if each.name == "annotation.place"]


@pytest.mark.parametrize("name", ["sensitive", "vt.min_size"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("typedef string T (NAME)", "typedef `T`"),
        ("typedef string (NAME) T", "type `string`"),
        ("const i32 C = 1 (NAME)", "constant `C`"),
        ("enum E { A (NAME) }", "enum member `E.A`"),
        ("enum E { A } (NAME)", "enum `E`"),
        ("struct S { 1: list<string (NAME)> a }", "type `string`"),
        ("service S {} (NAME)", "service `S`"),
        ("service S { void f() (NAME) }", "function `f`"),
    ],
)
def test_annotations_without_an_effect_are_reported(tmp_path: Path, name: str, text: str, place: str) -> None:
    annotation = f'{name} = "1"' if name != "sensitive" else name
    assert places(tmp_path, text.replace("NAME", annotation)) == [f"`{name}` has no effect on {place}"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("struct S {} (sensitive)", "struct `S`"),
        ("service S { void f() throws (1: X x (sensitive)) }", "exception of `f`"),
    ],
)
def test_sensitive_structs_and_exceptions_are_reported(tmp_path: Path, text: str, place: str) -> None:
    assert places(tmp_path, text) == [f"`sensitive` has no effect on {place}"]


@pytest.mark.parametrize(
    "text",
    [
        'struct S { 1: string a (sensitive, vt.min_size = "1") }',
        'service S { void f(1: string a (sensitive, vt.min_size = "1")) }',
        'struct S {} (vt.assert = "@le($a, $b)")',  # another check
        'typedef string T (sensitive = "false", other.sensitive = "1")',
    ],
)
def test_what_has_an_effect_or_hides_nothing_is_not_reported(tmp_path: Path, text: str) -> None:
    assert places(tmp_path, text) == []
