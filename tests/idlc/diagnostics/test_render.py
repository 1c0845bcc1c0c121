from __future__ import annotations

import re
from pathlib import Path

import pytest

from idlc.diagnostics import Diagnostic, Label, render, render_short
from idlc.source import SourceFile, Span


def source(text: str, name: str = "a.thrift") -> SourceFile:
    return SourceFile(Path("/") / name, text, name=name)


def finding(file: SourceFile, start: int, end: int, **details: object) -> Diagnostic:
    return Diagnostic(name="x.y", message="wrong", span=Span(file, start, end), **details)  # type: ignore[arg-type]


def test_labels_in_other_files_are_shown_with_their_position() -> None:
    here, there = source("struct A {}"), source("\nenum A {}", "b.thrift")
    label = Label(Span(there, 6, 7), "first declared here")
    assert (
        render(finding(here, 7, 8, note="again", labels=(label,), help="rename one\nor the other"))
        == """\
error[x.y]: wrong
 --> a.thrift:1:8
  |
1 | struct A {}
  |        ^ again
 ::: b.thrift:2:6
  |
2 | enum A {}
  |      - first declared here
  |
  = help: rename one
          or the other
"""
    )


def test_lines_between_are_shown_when_there_is_one_and_skipped_when_there_are_more() -> None:
    file = source("".join(f"line {number}\n" for number in range(1, 10)))
    labels = (Label(Span(file, 14, 18), "near"), Label(Span(file, 49, 53), "far"))
    assert render(finding(file, 0, 4, labels=labels)).splitlines()[3:] == [
        "1 | line 1",
        "  | ^^^^",
        "2 | line 2",
        "3 | line 3",
        "  | ---- near",
        "...",
        "8 | line 8",
        "  | ---- far",
    ]


def test_a_span_over_several_lines_marks_its_first_and_its_last() -> None:
    file = source("const string A = {\n  1\n  2\n} ;")
    assert render(finding(file, 17, 28, note="this")).splitlines()[3:] == [
        "1 | const string A = {",
        "  |                  ^",
        "...",
        "4 | } ;",
        "  | ^ this",
    ]


@pytest.mark.parametrize("text", ["", "\n", "a", "a\n", "\n\n\n"])
def test_the_end_of_any_file_can_be_marked(text: str) -> None:
    file = source(text)
    assert "^" in render(finding(file, len(text), len(text)))
    assert "^" in render(finding(file, len(text), len(text) + 5))


def test_tabs_wide_and_control_characters_do_not_move_the_carets() -> None:
    file = source("\t\u65e5\u672c\x1b[31m\u200b x")
    lines = render(finding(file, len(file.text) - 1, len(file.text))).splitlines()
    assert lines[3] == "1 |     \u65e5\u672c\ufffd[31m\ufffd x"
    assert lines[4] == "  |                ^"


def test_a_long_line_is_cropped_around_the_span() -> None:
    file = source("a" * 1000 + "WRONG" + "b" * 1000)
    lines = render(finding(file, 1000, 1005)).splitlines()
    assert all(len(line) < 150 for line in lines)
    start = lines[4].index("^")
    assert lines[3][start : start + 5] == "WRONG"
    assert lines[4].count("^") == 5


def test_a_span_that_is_longer_than_a_line_is_cropped() -> None:
    file = source("a" * 5000)
    assert all(len(line) < 300 for line in render(finding(file, 10, 4990)).splitlines())


def test_colors_change_nothing_but_colors() -> None:
    file = source("struct A {}\n")
    diagnostic = finding(file, 7, 8, help="help", labels=(Label(Span(file, 0, 6), "label"),))
    colored = render(diagnostic, color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(diagnostic)


def test_diagnostics_without_a_span_are_one_line() -> None:
    assert render(Diagnostic(name="file.missing", message="no such file", span=None)) == (
        "error[file.missing]: no such file\n"
    )


def test_diagnostics_are_separated_by_blank_lines() -> None:
    file = source("a")
    assert "\n\nerror[" in render([finding(file, 0, 1), finding(file, 0, 1)])
    assert render([]) == ""


def test_the_short_format_is_that_of_gcc() -> None:
    file = source("a\nbc")
    assert render_short([finding(file, 3, 4), Diagnostic(name="n", message="two\nlines", span=None)]) == (
        "a.thrift:2:2: error: wrong [x.y]\nerror: two lines [n]\n"
    )
