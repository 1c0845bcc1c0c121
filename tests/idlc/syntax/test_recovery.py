"""Recovery from syntax errors: which parts of a file are kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idlc.diagnostics import Report
from idlc.syntax import Document, nodes

Read = Callable[[str], tuple[Document, Report]]


def outline(document: Document) -> dict[str, list[str]]:
    """Return the names of the members of each definition, by its name."""
    found: dict[str, list[str]] = {}
    for item in document.items:
        if isinstance(item, nodes.Struct):
            found[item.name.text] = [field.name.text for field in item.fields]
        elif isinstance(item, nodes.Enum):
            found[item.name.text] = [member.name.text for member in item.members]
        elif isinstance(item, nodes.Service):
            found[item.name.text] = [function.name.text for function in item.functions]
        elif isinstance(item, nodes.Const | nodes.Typedef):
            found[item.name.text] = []
    return found


def lines(report: Report) -> list[int]:
    return [diagnostic.span.position.line for diagnostic in report if diagnostic.span is not None]


def test_members_around_a_broken_one_are_kept(read: Read) -> None:
    document, report = read(
        """struct A {
  1: i32 a
  2: i32 = 5
  3: i32 c
}
enum E { X, Y = "no", Z }
service S {
  void f()
  void g(1: = 3, 2: i32 b)
  void h()
}"""
    )
    assert outline(document) == {"A": ["a", "c"], "E": ["X", "Z"], "S": ["f", "g", "h"]}
    assert lines(report) == [3, 6, 9]


def test_definitions_around_a_broken_one_are_kept(read: Read) -> None:
    document, report = read(
        """struct A {}
struct B ( { 1: i32 a }
typedef C
const i32 = 5
struct D {}"""
    )
    assert outline(document) == {"A": [], "D": []}
    assert lines(report) == [2, 4]
    assert "B" in document.unparsed_names


def test_a_missing_bracket_does_not_affect_the_next_definition(read: Read) -> None:
    document, report = read(
        """struct A {
  1: i32 a

struct B {
  1: i32 b
}
service S {
  void f(1: i32 a
  void g()

enum E {
  X
"""
    )
    assert outline(document) == {"A": ["a"], "B": ["b"], "S": ["f", "g"], "E": ["X"]}
    assert {diagnostic.name for diagnostic in report} == {"syntax.unclosed"}
    assert lines(report) == [4, 9, 11, 12]


def test_a_missing_bracket_of_a_value_ends_with_the_field(read: Read) -> None:
    document, report = read("struct A {\n 1: list<i32> a = [1, 2\n 2: i32 b\n}\nstruct B {}")
    assert outline(document) == {"A": ["b"], "B": []}
    assert lines(report) == [3]


@pytest.mark.parametrize(
    "text",
    [
        "strcut A { 1: i32 a }",
        "struct A: { 1: i32 a }",
        "struct A extends B { 1: i32 a }",
        "message A { 1: i32 a }",
        "struct A { 1 i32 a }",
        "struct A { 1 = i32 a }",
        "@x.Y{z = 1} struct A { 1: i32 a }",
        "struct A { @x.Y 1: i32 a }",
        "struct A { ;1: i32 a }",
        "struct A { $1: i32 a }",
        "struct A { 1: list<i32 a }",
        "}struct A { 1: i32 a }",
        "struct A { 1: i32 a",
    ],
)
def test_common_mistakes_are_repaired(text: str, read: Read) -> None:
    document, report = read(text)
    assert outline(document) == {"A": ["a"]}
    assert report.errors == 1


def test_a_mistyped_clause_is_repaired(read: Read) -> None:
    document, report = read("service A extend B { void f() throw (1: X x) }\nenum E { X: 1 }")
    service = document.items[0]
    assert isinstance(service, nodes.Service)
    assert service.extends is not None
    assert outline(document)["E"] == ["X"]
    assert report.errors == 2


def test_nodes_with_errors_are_known_to_be_incomplete(read: Read) -> None:
    document, _ = read("struct A { 1: i32 }\nstruct B { 1: i32 b }")
    a, b = document.items
    assert document.is_broken(a)
    assert not document.is_broken(b)


def test_a_line_has_at_most_one_error(read: Read) -> None:
    _, report = read("struct A { 1: i32 , 2: , 3: i32 } struct { } enum ;")
    assert report.errors == 1


def test_parsing_stops_after_too_many_errors(read: Read) -> None:
    _, report = read("".join(f"struct A{number} {{ {number} }}\n" for number in range(100)))
    assert report.errors == 21
    assert list(report)[-1].name == "syntax.many"


def test_an_unclosed_comment_is_the_only_error(read: Read) -> None:
    document, report = read("struct A {\n 1: i32 a\n /* oops\n}")
    assert [diagnostic.name for diagnostic in report] == ["syntax.comment.unclosed"]
    assert outline(document) == {"A": ["a"]}


@pytest.mark.parametrize(
    "text",
    [
        "const i32 A = " + "[" * 5000,
        "typedef " + "list<" * 5000 + "i32" + ">" * 5000 + " A",
        "const i32 A = " + "{1: " * 5000 + "1" + "}" * 5000,
        "struct A {} (" * 3000,
        "struct A {\n" * 3000,
        "{" * 5000,
        "'\n" * 5000,
        "@a{" * 5000,
    ],
    ids=lambda text: text[:20],
)
def test_deep_nesting_is_an_error(text: str, read: Read) -> None:
    document, report = read(text + "\nstruct Z {}\n")
    assert 1 <= report.errors <= 21
    assert document.source.text
