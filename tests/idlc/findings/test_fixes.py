"""Fixes: all edits of a finding or none, conflicts are named and left alone, and the result is never worse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from idlc.diagnostics import Diagnostic, Fix
from idlc.driver import FrontEnd
from idlc.findings import Policy, SourceChanged, plan_fixes, unified_diff, write_fixes
from idlc.linting import FixesRejected, lint_files, safe_plan
from idlc.source import SourceFile, Span

TEXT = """\
namespace py demo
include "other.thrift"

struct A {
  1: byte a,
  2: list<byte> b,
  3: Uzer c,
}
enum Kind { ONE, TWO }
"""


def source(text: str, path: Path = Path("/a.thrift")) -> SourceFile:
    return SourceFile(path, text, name=path.name)


def finding(file: SourceFile, name: str, *edits: tuple[int, int, str], is_safe: bool = True) -> Diagnostic:
    fixes = tuple(Fix(Span(file, start, end), text, is_safe) for start, end, text in edits)
    return Diagnostic(name=name, message="m", span=Span(file, 0, 1), severity="warning", fixes=fixes)


def test_edits_are_applied_together() -> None:
    file = source("abcdef")
    plan = plan_fixes([finding(file, "x", (0, 1, "A"), (5, 6, "")), finding(file, "y", (1, 1, "-"))], [file])
    assert plan.texts == {file: "A-bcde"}
    assert [each.name for each in plan.fixed] == ["x", "y"]


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 3), (2, 4)), ((0, 3), (0, 1)), ((1, 1), (1, 1)), ((0, 6), (2, 2)), ((2, 2), (2, 3))],
)
def test_findings_with_edits_that_overlap_are_not_fixed(first: tuple[int, int], second: tuple[int, int]) -> None:
    file = source("abcdef")
    found = [finding(file, "x", (*first, "1")), finding(file, "y", (*second, "2"), (5, 5, "!")), finding(file, "z")]
    plan = plan_fixes(found, [file])
    assert plan.texts == {}
    assert [(one.name, other.name) for one, other in plan.conflicts] == [("x", "y")]


def test_a_long_edit_conflicts_with_all_that_it_covers() -> None:
    file = source("abcdef")
    found = [finding(file, "x", (0, 6, "")), finding(file, "y", (1, 2, "")), finding(file, "z", (4, 5, ""))]
    assert [(one.name, other.name) for one, other in plan_fixes(found, [file]).conflicts] == [("x", "y"), ("x", "z")]


def test_unsafe_fixes_and_other_files_are_left_out() -> None:
    file, other = source("abc"), source("abc", Path("/b.thrift"))
    found = [finding(file, "x", (0, 1, "A"), is_safe=False), finding(other, "y", (0, 1, "B"))]
    assert (plan_fixes(found, [file]).texts, plan_fixes(found, [file]).unsafe) == ({}, 1)
    assert plan_fixes(found, [file], with_unsafe=True).texts == {file: "Abc"}


def test_line_ends_and_byte_order_marks_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.thrift"
    path.write_bytes(b"\xef\xbb\xbfstruct A {\r\n  1: byte \xc3\xa4\r\n}\r\n")
    path.chmod(0o640)
    file = source("struct A {\r\n  1: byte ä\r\n}\r\n", path)
    write_fixes(plan_fixes([finding(file, "x", (17, 21, "i8"))], [file]))
    assert path.read_bytes() == b"\xef\xbb\xbfstruct A {\r\n  1: i8 \xc3\xa4\r\n}\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(SourceChanged):
        write_fixes(plan_fixes([finding(file, "x", (17, 21, "i8"))], [file]))


def test_a_diff_names_files_and_missing_line_ends() -> None:
    file = source("a\nb")
    plan = plan_fixes([finding(file, "x", (0, 1, "A"))], [file])
    assert (
        unified_diff(plan) == "--- a.thrift\n+++ a.thrift\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n\\ No newline at end of file\n"
    )


def test_only_line_feeds_end_lines_in_a_diff() -> None:
    file = source("a // \u2028 \f \v \x85 \r\nb\r\n")
    plan = plan_fixes([finding(file, "x", (0, 1, "A"))], [file])
    rest = " // \u2028 \f \v \x85 \r\n"
    assert unified_diff(plan) == f"--- a.thrift\n+++ a.thrift\n@@ -1,2 +1,2 @@\n-a{rest}+A{rest} b\r\n"


def test_fixes_that_make_files_worse_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.thrift"
    path.write_text("struct Wrong { 1: Wrnog a }\nservice Wrnogg { 1: i32 }")
    request = FrontEnd(paths=(path,), policy=Policy(with_lint=True))
    result = lint_files(request)
    file = result.programs[0].source
    broken = type(result.report)()
    broken.add(finding(file, "x", (0, 6, "")))
    with pytest.raises(FixesRejected):
        safe_plan(request, type(result)(broken, result.programs), with_unsafe=False)


def idlc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "idlc", "lint", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_fixes_what_is_safe(tmp_path: Path) -> None:
    (tmp_path / "other.thrift").write_text("namespace py other\n")
    path = tmp_path / "a.thrift"
    path.write_text(TEXT.replace("Uzer", "i64"))
    done = idlc(tmp_path, "a.thrift", "--diff", "-W", "docs=off", "--error-format", "short")
    assert done.returncode == 1
    assert path.read_text() == TEXT.replace("Uzer", "i64")
    changed = [line for line in done.stdout.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == [
        '-include "other.thrift"',
        "-  1: byte a,",
        "-  2: list<byte> b,",
        "+  1: i8 a,",
        "+  2: list<i8> b,",
        "-enum Kind { ONE, TWO }",
        "+enum Kind { ONE = 0, TWO = 1 }",
    ]
    done = idlc(tmp_path, "a.thrift", "--fix", "-W", "docs=off")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "fixed 4 findings in 1 file\nno findings in 1 file\n"
    expected = TEXT.replace("Uzer", "i64").replace("byte", "i8").replace('include "other.thrift"\n', "")
    assert path.read_text() == expected.replace("ONE, TWO", "ONE = 0, TWO = 1")


def test_the_command_fixes_what_is_unsafe_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.thrift"
    path.write_text("struct User { 1: Uzer other }\n")
    quiet = ("-W", "lint=off", "--error-format", "short")
    done = idlc(tmp_path, "a.thrift", "--fix", *quiet)
    assert (done.returncode, done.stdout) == (1, "fixed 0 findings in 0 files; 1 unsafe fix left (--unsafe-fixes)\n")
    done = idlc(tmp_path, "a.thrift", "--fix", "--unsafe-fixes", *quiet)
    assert (done.returncode, path.read_text()) == (0, "struct User { 1: User other }\n")


def test_all_diagnostics_are_listed(tmp_path: Path) -> None:
    lines = idlc(tmp_path, "--list").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("type.byte ")]
    assert line.split()[:4] == ["type.byte", "style", "off", "fix"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no idlc.toml, and no pyproject.toml with [tool.idlc]"),
        (("a.thrift", "--unsafe-fixes"), "--unsafe-fixes needs --fix or --diff"),
        (("a.thrift", "--diff", "--error-format", "json"), "--diff cannot be combined"),
        (("nosuch.thrift",), "no such file or folder: 'nosuch.thrift'"),
    ],
)
def test_mistakes_in_arguments(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = idlc(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
