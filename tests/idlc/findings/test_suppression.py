"""Suppression: comments and annotations silence what they name, where they are, and say so if they are not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

import idlc
from idlc.checks import run_checks
from idlc.diagnostics import Report
from idlc.findings import Policy, judged
from idlc.model import build
from idlc.source import Loader

TYPES = Policy().with_options(["type", "name", "suppression"])


def found(folder: Path, text: str, policy: Policy = TYPES) -> list[tuple[str, int]]:
    report = Report()
    programs = build([folder / "main.thrift"], Loader(overlay={folder / "main.thrift": text}), report)
    run_checks(programs, report)
    shown = judged(report, policy, folder, programs, has_output=False)
    return [(each.name, each.span.position.line) for each in shown if each.span is not None]


@pytest.mark.parametrize(
    "text",
    [
        "struct A {\n  1: byte a  // idlc:ignore type.byte\n}",
        "struct A {\n  1: byte a  # idlc:ignore type.byte\n}",
        "struct A {\n  /* idlc:ignore type.byte */ 1: byte a\n}",
        "struct A {\n  // idlc:ignore type.byte -- old clients, see ticket 12\n  1: byte a\n}",
        "struct A {\n  /* idlc:ignore type.byte */\n  // another comment\n\n  1: byte a\n}",
        "struct A {\n  1: byte a  /* idlc:ignore type.byte\n  -- old clients */\n}",
        "struct A {\n  // idlc:ignore type.key, type.byte\n  1: byte a, 2: map<double, i32> b\n}",
        "struct A {\n  // idlc: ignore type\n  1: byte a\n}",
        "struct A {\n  // idlc:ignore style\n  1: byte a\n}",
        "struct A {\n  1: byte a\n}\n// idlc:ignore-file type.byte",
        'struct A {\n  1: byte a (idlc.ignore = "type.byte")\n}',
        'struct A {\n  1: byte a\n} (idlc.ignore = "type.byte -- a reason")',
        'service S {\n  void f(1: byte a)\n} (idlc.ignore = "type.byte")',
        'enum kind { A } (idlc.ignore = "name.type")',
        'struct A {\n  1: i32 B (idlc.ignore = "name, type.byte"), 2: byte c\n}\n// idlc:ignore-file type.byte',
    ],
)
def test_what_is_named_is_suppressed(tmp_path: Path, text: str) -> None:
    shown = found(tmp_path, text)
    assert [name for name, _ in shown if name not in {"suppression.unused"}] == []


def test_a_comment_of_several_lines_is_used_on_its_first_one(tmp_path: Path) -> None:
    text = "struct A {\n  1: byte a,  /* idlc:ignore type.byte\n  -- old clients */\n  2: i32 b\n}"
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("struct A {\n  1: byte a\n  // idlc:ignore type.byte\n}", [("type.byte", 2), ("suppression.unused", 3)]),
        ("struct A {\n  1: i32 a  // idlc:ignore type.byte\n}", [("suppression.unused", 2)]),
        ("struct A {\n  1: i32 a  // idlc:ignore typ.byte\n}", [("suppression.unknown", 2)]),
        ("struct A {\n  1: byte a  // idlc:ignore type.byte\n  2: list<byte> b\n}", [("type.byte", 3)]),
        ("struct A {\n  1: byte a  // idlc:ignore\n}", [("type.byte", 2), ("suppression.unknown", 2)]),
        ("struct A {\n  1: byte a  /* idlc:ignore: */\n}", [("type.byte", 2), ("suppression.unknown", 2)]),
        ("struct A {\n  1: byte a  // idlc:ignore -- why\n}", [("type.byte", 2), ("suppression.unknown", 2)]),
        ("struct A {\n  1: byte a  // idlc:ignore-line type\n}", [("type.byte", 2), ("suppression.unknown", 2)]),
        ("// idlc:ignore-file\nstruct A {\n  1: byte a\n}", [("suppression.unknown", 1), ("type.byte", 3)]),
        ("struct A {\n  1: byte a (idlc.ignore)\n}", [("type.byte", 2), ("suppression.unknown", 2)]),
        ("struct A {\n  1: i32 a  // idlc:ignore doc.missing\n}", []),
        ("struct A {\n  1: i32 a  // idlc:ignore python\n}", []),
        ("struct A {\n  1: i32 a  // a note on idlc:ignored things\n}", []),
        (
            "struct A {\n  1: i32 a, 1: i32 b  // idlc:ignore field.id.duplicate\n}",
            [("field.id.duplicate", 2), ("suppression.unused", 2)],
        ),
    ],
)
def test_what_is_not_suppressed(tmp_path: Path, text: str, expected: list[tuple[str, int]]) -> None:
    assert found(tmp_path, text) == expected


def test_a_suppression_that_cannot_be_understood_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "main.thrift"
    path.write_text("struct A {}  // idlc:ignore-line type, idlc:ignore\nstruct B {} (idlc.ignore = '')\n")
    assert [(each.message, each.help) for each in idlc.check(path).report] == [
        ("unknown suppression `idlc:ignore-line`", "write `idlc:ignore NAME` or `idlc:ignore-file NAME`"),
        ("`idlc:ignore` names no diagnostic", "write `idlc:ignore NAME`"),
        ("`idlc.ignore` names no diagnostic", 'write `idlc.ignore = "NAME"`'),
    ]


def test_unused_suppressions_are_lint(tmp_path: Path) -> None:
    text = "struct A { 1: i32 a } // idlc:ignore struct.endless"
    assert found(tmp_path, text, Policy()) == []
    assert found(tmp_path, "struct A {} // idlc:ignore struct.endles", Policy()) == [("suppression.unknown", 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "struct A {\n  // idlc:ignore type.byte\n  1: i32 a // idlc:ignore type.key\n}",
            "struct A {\n  1: i32 a\n}",
        ),
        (
            "struct A {\r\n  // idlc:ignore type.byte\r\n  1: i32 a // idlc:ignore type.key\r\n}\r\n",
            "struct A {\r\n  1: i32 a\r\n}\r\n",
        ),
        ("struct A { 1: i32/* idlc:ignore type */a, 2: i32 b }", "struct A { 1: i32 a, 2: i32 b }"),
        ("struct A { 1: i32 /* idlc:ignore type */a, 2: i32 b }", "struct A { 1: i32 a, 2: i32 b }"),
        ("struct A { 1: i32/* idlc:ignore type */ a, 2: i32 b }", "struct A { 1: i32 a, 2: i32 b }"),
    ],
)
def test_unused_suppressions_are_removed_by_their_fix(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "main.thrift"
    report = Report()
    programs = build([path], Loader(overlay={path: text}), report)
    shown = judged(report, TYPES, tmp_path, programs)
    for each in reversed(list(shown)):
        (fix,) = each.fixes
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    assert text == expected


def test_a_compile_heeds_suppressions_and_the_cache_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "main.thrift"
    path.write_text("struct A {\n  1: required A a // idlc:ignore struct.endless\n}\n")
    policy = Policy(warnings_as_errors=True)
    for _ in range(2):
        result = idlc.compile(path, tmp_path / "gen", policy=policy)
        assert (len(result.report), result.report.has_errors) == (0, False)
    path.write_text("struct A {\n  1: required A a\n}\n")
    assert idlc.compile(path, tmp_path / "gen", policy=policy).has_errors


def test_notes_about_the_output_are_suppressed(tmp_path: Path) -> None:
    path = tmp_path / "main.thrift"
    text = "service User {}\nstruct UserClient {}\n"
    assert [each.name for each in idlc.generate({path: text}).report] == ["python.name.yielded"]
    suppressed = text.replace("{}\n", "{} // idlc:ignore python\n", 1)
    assert [each.name for each in idlc.generate({path: suppressed}).report] == []
