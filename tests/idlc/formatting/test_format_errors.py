"""Files with syntax errors: what is wrong stays, and everything else is formatted."""

from __future__ import annotations

import pytest
from formatted_idl import format_text

BEFORE, AFTER = "struct  A{1:i32 a,}", "struct  B{1:i32 b,}"
FORMATTED = "struct A {\n  1: i32 a,\n}\n", "struct B {\n  1: i32 b,\n}\n"


@pytest.mark.parametrize(
    "broken",
    [
        "struct X { 1: i32  x = = 5 }",
        "  struct X {\n    1:  i32 x,\n    2: }",
        "struct X {\n  1:  i32 x",
        "strukt  X { 1: i32 x }",
        "const string S =  'unclosed",
        "const string S =  \u201ctypographic\u201d  // comment",
        "const i64 N =  99999999999999999999",
        "const string S =  '\\q'",
        "typedef  i32 Naïve",
        "service X { void  f(1: i32 a }",
        "enum X { A  B = }",
        "service X {  High() throws (1: E e) }",
        "}",
        "\N{SNOWMAN}  \N{SNOWMAN}",
    ],
)
def test_broken_items_are_left_byte_for_byte(broken: str) -> None:
    text = f"{BEFORE}\n\n{broken}\n\n{AFTER}\n"
    result, report = format_text(text)
    assert result == f"{FORMATTED[0]}\n{broken}\n\n{FORMATTED[1]}"
    assert report.has_errors
    assert format_text(result)[0] == result


def test_an_unclosed_comment_is_left() -> None:
    result, report = format_text(f"{BEFORE}\n/* never  closed\nstruct  C{{}}")
    assert result == f"{FORMATTED[0]}\n/* never  closed\nstruct  C{{}}\n"
    assert [each.name for each in report] == ["syntax.comment.unclosed"]


def test_comments_around_broken_items_are_formatted() -> None:
    text = "// above  \nstruct X { 1: }// behind\n\n\n\n// of B  \nstruct  B{}"
    assert format_text(text)[0] == "// above\nstruct X { 1: } // behind\n\n// of B\nstruct B {}\n"


def test_annotations_of_fbthrift_are_left_above_their_definitions() -> None:
    assert format_text("@foo.Bar{a  = 1}\nstruct  X{}\n")[0] == "@foo.Bar{a  = 1}\nstruct X {}\n"


def test_broken_text_does_not_become_a_part_of_the_item_before_it() -> None:
    for text in ("typedef i32 A;\n;\n", 'struct A {};\n(a = "b")\n'):
        assert format_text(text)[0] == text


def test_line_ends_of_broken_items_stay() -> None:
    assert format_text("struct A{}\r\nstruct X {\n 1: }\r\nstruct B{}\r\n")[0] == (
        "struct A {}\r\nstruct X {\n 1: }\r\nstruct B {}\r\n"
    )


def test_values_that_are_nested_too_deeply_are_left() -> None:
    value = "[" * 5000 + "]" * 5000
    result, report = format_text(f"{BEFORE}\nconst  i32 A = {value}\n{AFTER}")
    assert f"const  i32 A = {value}\n" in result
    assert result.startswith(FORMATTED[0])
    assert result.endswith(FORMATTED[1])
    assert report.has_errors
