"""The one style: spaces, lines, separators, widths."""

from __future__ import annotations

from textwrap import dedent

import pytest
from formatted_idl import format_text, formatted


def style(text: str, *, width: int = 100) -> str:
    return formatted(dedent(text), width=width)


def test_each_member_has_a_line() -> None:
    assert style("enum E{A=1,B C=-3(x)}") == "enum E {\n  A = 1,\n  B,\n  C = -3 (x),\n}\n"
    assert style("struct S{1:i32 a 2:optional string b=''}") == (
        "struct S {\n  1: i32 a\n  2: optional string b = ''\n}\n"
    )
    assert style("senum W { 'a', \"b\" }") == "senum W {\n  'a',\n  \"b\",\n}\n"
    assert style("service S{void a();oneway void b(1:i32 x)}") == (
        "service S {\n  void a();\n  oneway void b(1: i32 x);\n}\n"
    )


def test_all_members_have_the_separator_of_the_first_one() -> None:
    assert style("enum E { A; B, C }") == "enum E {\n  A;\n  B;\n  C;\n}\n"
    assert style("enum E { A, B C; }") == "enum E {\n  A,\n  B,\n  C,\n}\n"
    assert style("enum E { A B, C; }") == "enum E {\n  A\n  B\n  C\n}\n"


def test_empty_bodies_are_in_one_line() -> None:
    assert style("struct S\n{\n\n}\nenum E{}\nservice T extends b.S { }") == (
        "struct S {}\nenum E {}\nservice T extends b.S {}\n"
    )


def test_definitions_have_no_separators() -> None:
    text = "include 'a.thrift' as b;\nnamespace py c;typedef i32 D,const D E=1;struct F {};"
    assert style(text) == ("include 'a.thrift' as b\nnamespace py c\n\ntypedef i32 D\nconst D E = 1\nstruct F {}\n")


@pytest.mark.parametrize(
    "line",
    [
        "cpp_include '<vector>'",
        'hs_include "x"',
        'namespace * a.b (c = "d")',
        "namespace js a-b.c",
        "namespace smalltalk.prefix 'A'",
        'typedef map<string (a = "b"), list<i32>> (c) M (d = "e")',
        "typedef map cpp_type 'm' <i32, set<i64> cpp_type 's'> M",
        "const double D = 1e+22",
        "const i64 H = -0x1F",
        "const string S = 'it''s \\x41'".replace("''", "\\'"),
        "const list<list<i32>> L = [[1, 2], [], [-3]]",
        'const map<string, S> M = {"a": {"b": x.Y}, "c": {}}',
    ],
)
def test_lines_that_are_right_stay(line: str) -> None:
    assert style(line) == f"{line}\n"


def test_members_that_are_right_stay() -> None:
    text = """\
        struct S xsd_all {
          1: required Node & next (cpp.ref),
          -2: string a = "b" xsd_optional xsd_nillable,
          list<i32> required,
          3: i32 c xsd_attrs {
            1: string d,
          } (e),
        } (f = "g")

        service T {
          async list<T> list(1: T void, optional i32 throws) throws (1: E e) (f),
        }
        """
    assert style(text) == dedent(text)


def test_bodies_are_surrounded_by_blank_lines_and_so_are_the_headers() -> None:
    text = "include 'a.idl'\nnamespace py b\ntypedef i32 A\ntypedef i32 B\nstruct C { 1: i32 c, }\ntypedef i32 D\n"
    assert style(text) == (
        "include 'a.idl'\nnamespace py b\n\ntypedef i32 A\ntypedef i32 B\n\n"
        "struct C {\n  1: i32 c,\n}\n\ntypedef i32 D\n"
    )


def test_one_blank_line_in_a_row_is_kept_and_none_at_the_ends() -> None:
    text = "\n\ntypedef i32 A\n\n\n\ntypedef i32 B\nstruct C {\n\n\n  1: i32 c,\n\n\n  2: i32 d\n\n}\n\n\n"
    assert style(text) == ("typedef i32 A\n\ntypedef i32 B\n\nstruct C {\n  1: i32 c,\n\n  2: i32 d,\n}\n")


def test_arguments_that_do_not_fit_have_a_line_each() -> None:
    text = "service S { Order order(1: Basket basket, 2: Payment payment) throws (1: OutOfStock gone), }"
    assert style(text, width=60) == dedent("""\
        service S {
          Order order(
            1: Basket basket,
            2: Payment payment,
          ) throws (1: OutOfStock gone),
        }
        """)


def test_the_longest_list_is_broken_first() -> None:
    text = 'service S { Item get(1: i64 id) throws (1: Unknown e) (idempotent = "true", http.get = "/items/{id}"), }'
    assert style(text, width=80) == dedent("""\
        service S {
          Item get(1: i64 id) throws (1: Unknown e) (
            idempotent = "true",
            http.get = "/items/{id}",
          ),
        }
        """)


def test_all_lists_are_broken_if_one_is_not_enough() -> None:
    text = "service S { i32 aaaaaaaa(1: i32 bbbbbbbb, 2: i32 cccc) throws (1: Dddddddd eeeeee, 2: Ffff gggg), }"
    assert style(text, width=30) == dedent("""\
        service S {
          i32 aaaaaaaa(
            1: i32 bbbbbbbb,
            2: i32 cccc,
          ) throws (
            1: Dddddddd eeeeee,
            2: Ffff gggg,
          ),
        }
        """)


def test_constants_are_broken_and_numbers_share_lines() -> None:
    assert style("const map<string, list<i32>> M = {'a': [1, 2, 3, 4, 5, 6, 7, 8], 'b': []}", width=24) == dedent("""\
        const map<string, list<i32>> M = {
          'a': [
            1, 2, 3, 4, 5, 6, 7,
            8,
          ],
          'b': [],
        }
        """)


def test_lists_whose_first_element_is_on_a_new_line_stay_broken() -> None:
    text = "service S {\n  void a(\n    1: i32 b,\n  ),\n}\n"
    assert style(text) == text
    assert style("service S { void a(1: i32 b,\n 2: i32 c), }") == "service S {\n  void a(1: i32 b, 2: i32 c),\n}\n"


def test_what_cannot_be_broken_may_be_longer_than_the_width() -> None:
    line = 'const string S = "a text that is longer than the width"\n'
    assert style(line, width=20) == line


def test_a_width_that_is_too_small_is_an_error() -> None:
    with pytest.raises(ValueError, match="width: must be at least 20, got 19"):
        format_text("", width=19)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\n", ""),
        ("// only a comment", "// only a comment\n"),
        ("struct A{}\r\nstruct B{1:i32 b,}\r\n", "struct A {}\r\n\r\nstruct B {\r\n  1: i32 b,\r\n}\r\n"),
        ("#!/usr/bin/env idlc\nstruct A{}", "#!/usr/bin/env idlc\nstruct A {}\n"),
    ],
)
def test_files_as_a_whole(text: str, expected: str) -> None:
    assert formatted(text) == expected
