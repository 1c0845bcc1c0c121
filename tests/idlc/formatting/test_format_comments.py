"""Comments survive, at the places where readers expect them."""

from __future__ import annotations

from textwrap import dedent

import pytest
from formatted_idl import formatted, meaning


def style(text: str) -> str:
    return formatted(dedent(text))


def test_comments_above_and_behind_stay_with_their_element() -> None:
    text = """\
        // Of the file.

        /** Of the struct. */
        struct S { // behind the brace
          # above
          1: i32 a, // behind

          /// Documents b.
          2: i32 b, ///< Also documents b.
          // below
        } // end of S

        // last
        """
    assert style(text) == dedent(text)
    untidy = text.replace("  // below", "// below").replace("b,", "b").replace(" // behind\n", "   // behind\n\n")
    assert style(untidy) == dedent(text)


def test_comments_before_a_comma_or_a_brace_move_behind_it() -> None:
    assert style("struct S // one\n{ 1: i32 a // two\n , 2: i32 b /* three */; }") == (
        "struct S { // one\n  1: i32 a, // two\n  2: i32 b /* three */,\n}\n"
    )
    assert style("typedef i32 A // one\n;") == "typedef i32 A // one\n"


def test_comments_within_elements_stay_there() -> None:
    assert style("const /* a */ list</* b */i32> C /* c */ = /* d */ [/* e */ 1 /* f */]") == (
        "const /* a */ list< /* b */i32> C /* c */ = /* d */ [/* e */ 1 /* f */]\n"
    )
    assert style("service S { void /* a */ f(/* none */) /* b */ throws (1: E e) // c\n (d), }") == (
        "service S {\n  void /* a */ f(/* none */) /* b */ throws (1: E e) // c\n      (d),\n}\n"
    )


def test_doc_comments_of_members_have_lines_and_those_of_arguments_do_not() -> None:
    assert style("union U { /** Left. */ 1: i32 a, /** Right. */ 2: i32 b }") == (
        "union U {\n  /** Left. */\n  1: i32 a,\n  /** Right. */\n  2: i32 b,\n}\n"
    )
    line = "service S {\n  void f(/** What. */ 1: i32 a, /** Why. */ 2: i32 b),\n}\n"
    assert style(line) == line


def test_lists_with_comments_are_broken() -> None:
    assert style("service S { void f(1: i32 a, // one\n 2: i32 b), }") == (
        "service S {\n  void f(\n    1: i32 a, // one\n    2: i32 b,\n  ),\n}\n"
    )
    assert style("const list<i32> L = [ // numbers\n 1, 2\n // more\n ]") == (
        "const list<i32> L = [ // numbers\n  1,\n  2,\n  // more\n]\n"
    )


def test_block_comments_are_indented_with_their_lines() -> None:
    text = """\
        struct S {
        /**
        * Stars
          *   keep their margin.

        */
              1: i32 a,
              /* Others
                   move. */
              2: i32 b
        }
        """
    assert style(text) == dedent("""\
        struct S {
          /**
           * Stars
           *   keep their margin.

           */
          1: i32 a,
          /* Others
               move. */
          2: i32 b,
        }
        """)


def test_tabs_within_block_comments_keep_their_widths() -> None:
    text = "struct S {\n/** a\n  b\tc\n\td */\n1: i32 a,\n}"
    assert style(text) == "struct S {\n  /** a\n  b\tc\n\td */\n  1: i32 a,\n}\n"


def test_trailing_white_space_of_comments_is_removed() -> None:
    assert style("// a  \n/* b \t\n c */\ntypedef i32 D // e \r\n") == "// a\n/* b\n c */\ntypedef i32 D // e\n"


@pytest.mark.parametrize(
    "text",
    [
        "struct S { 1: i32 a /// not of b\n, 2: i32 b }",
        "struct S /// of nothing\n{ 1: i32 a }",
        "struct S\n{ ///< of nothing\n 1: i32 a }",
        "const map<string, string> M = {'a': 'b' /**< of M */, 'c': 'a text that makes the line too long'}",
        "struct S { 1: i32 a\n, ///< of nothing\n 2: i32 b }",
        "struct A {} /** of nothing */; struct B {}",
        "struct A {} struct /**< of A */ B { 1: i32 b }",
        "struct A {\n1: i32 a } ///< of A,\n/// and also this\nstruct B {}",
        "struct A {\n1: i32 a } /// of B,\n/// and also this\nstruct B {}",
        "/// of S\n\n/// only this\nstruct S { 1: i32 a, ///< of a\n /// and this\n 2: i32 b }",
        "/** of the file */ /** of A */ struct A {}",
    ],
)
def test_doc_comments_keep_their_owners(text: str) -> None:
    assert meaning(formatted(text, width=60)) == meaning(text)


def test_definitions_stay_if_formatting_would_change_the_owner_of_a_doc_comment() -> None:
    kept = "struct S {1:i32 a /// not of b\n,2:i32 b}"
    assert style(f"typedef  i32  A\n{kept}\ntypedef  i32  B") == f"typedef i32 A\n{kept}\ntypedef i32 B\n"


def test_definitions_with_a_comment_of_several_lines_within_a_member_stay() -> None:
    kept = "struct S {1:i32 /* a\n type */ a}"
    assert style(f"{kept};typedef  i32  A") == f"{kept};\ntypedef i32 A\n"


def test_regions_without_formatting() -> None:
    text = """\
        typedef i32 A

        // idlc:format off
        const list<i32> MATRIX = [1,0,
                                  0,1];
        typedef   i32   B
        // idlc:format on
        struct S {
          1: i32 a,
          // idlc:format off
          2:  i32   bb,
          33: i32   c   // c
          // idlc: format on
          4: i32 d,
        }

        enum E {
          /* idlc: format off */
          A   = 1
          BBB = 2
        }

        # idlc:format off
        typedef   i32   C

        // the end
        """
    assert style(text) == dedent(text)
    assert style(text.replace("typedef i32 A", "typedef  i32  A").replace("4: i32 d,", "4:i32 d")) == dedent(text)
