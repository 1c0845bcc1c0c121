from __future__ import annotations

from collections.abc import Callable

import pytest

from idlc.syntax import Document, nodes
from idlc.syntax.comments import clean

Read = Callable[[str], Document]


def docs(document: Document) -> dict[str, str]:
    """Return the docs of all declarations by name."""
    found: dict[str, str] = {}

    def note(node: nodes.Definition | nodes.EnumMember | nodes.Field | nodes.Function) -> None:
        if node.start in document.docs:
            found[node.name.text] = document.docs[node.start]

    for item in document.items:
        if isinstance(item, nodes.Include | nodes.ForeignInclude | nodes.Namespace):
            continue
        note(item)
        if isinstance(item, nodes.Struct):
            for field in item.fields:
                note(field)
        elif isinstance(item, nodes.Enum):
            for member in item.members:
                note(member)
        elif isinstance(item, nodes.Service):
            for function in item.functions:
                note(function)
                for argument in function.arguments:
                    note(argument)
    return found


def test_doc_comments_belong_to_the_next_declaration(read_well: Read) -> None:
    document = read_well(
        """
        /** about A */
        struct A {
          /** about a */ 1: i32 a
          /// about b,
          /// in two lines
          2: required i32 b
          // not about c
          3: i32 c
          /** about d */
          // whatever stands between
          4: i32 d
        }
        /** about E */
        enum E { /** about X */ X, /** about Y */ Y = 2 }
        service S {
          /** about f */
          oneway void f(/** about g */ 1: i32 g)
        }
        """
    )
    assert docs(document) == {
        "A": "about A",
        "a": "about a",
        "b": "about b,\nin two lines",
        "d": "about d",
        "E": "about E",
        "X": "about X",
        "Y": "about Y",
        "f": "about f",
        "g": "about g",
    }


def test_trailing_doc_comments_belong_to_the_previous_declaration(read_well: Read) -> None:
    document = read_well(
        """
        struct A { ///< about A
          1: i32 a, ///< about a
          2: i32 b /**< about b */
          3: i32 c; 4: i32 d ///< about d
          /** before */
          5: i32 e ///< after
        }
        enum E {
          X, ///< about X
          Y
        } ///< about E
        service S {
          void f(1: i32 g, ///< about g
                 2: i32 h) ///< about f
        }
        ///< about nothing
        """
    )
    assert docs(document) == {
        "A": "about A",
        "a": "about a",
        "b": "about b",
        "d": "about d",
        "e": "before\nafter",
        "X": "about X",
        "E": "about E",
        "g": "about g",
        "f": "about f",
    }


@pytest.mark.parametrize(
    "comment", ["/***/", "/*****/", "/*** ruler ***/", "/** **/", "//// four", "/* plain */", "# x"]
)
def test_other_comments_are_not_docs(comment: str, read_well: Read) -> None:
    document = read_well(f"{comment}\nstruct A {{}}")
    assert document.docs == {}
    assert [kept.text for kept in document.comments] == [comment]


@pytest.mark.parametrize(
    ("text", "doc", "of_a"),
    [
        ("/** head */\nnamespace py x\nstruct A {}", "head", None),
        ("/** head */\ninclude 'x'\n/** a */ struct A {}", "head", "a"),
        ("/** head */\n\n/** a */\nstruct A {}", "head", "a"),
        ("/** a */\nstruct A {}", None, "a"),
        ("/** head */", "head", None),
        ("// no doc\nnamespace py x", None, None),
    ],
)
def test_the_first_doc_comment_documents_the_file_if_it_cannot_document_a_definition(
    text: str, doc: str | None, of_a: str | None, read_well: Read
) -> None:
    document = read_well(text)
    assert document.doc == doc
    assert docs(document).get("A") == of_a


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/** one line */", "one line"),
        ("/**\n * stars\n *\n *   keep inner margins\n */", "stars\n\n  keep inner margins"),
        ("/** first\n  * second\n  */", "first\nsecond"),
        ("/**\n  no stars\n    indented\n  end\n*/", "no stars\n  indented\nend"),
        ("/**\r\n * windows\r\n * lines\r\n */", "windows\nlines"),
        ("/** trailing blanks   \n * here\t */", "trailing blanks\nhere"),
        ("///one\n   /// two", "one\n two"),
        ("/// one\n///   two\n///", "one\n  two"),
        ("///< after", "after"),
        ("/**< after */", "after"),
        ("/** * list\n * * item */", "* list\n* item"),
    ],
)
def test_markers_and_margins_are_removed(comment: str, expected: str) -> None:
    assert clean(comment) == expected


def test_all_comments_are_kept_with_their_positions(read_well: Read) -> None:
    text = "# a\nstruct A { // b\n 1: i32 a /* c */ } /** d */"
    document = read_well(text)
    assert [comment.text for comment in document.comments] == ["# a", "// b", "/* c */", "/** d */"]
    assert all(text[comment.start : comment.end] == comment.text for comment in document.comments)
