"""Comments of the IDL become docstrings that say the same and that `black` leaves alone."""

from __future__ import annotations

import ast
import inspect
import os

import black
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idlc.codegen.python.docs import docstring, text_of


def in_class(doc: str) -> str:
    return f"class A:\n{doc}\n\n    x: int\n"


def said(doc: str) -> str:
    """Return the docstring that Python parses."""
    (node,) = ast.parse(in_class(doc)).body
    assert isinstance(node, ast.ClassDef)
    return ast.get_docstring(node, clean=False) or ""


@settings(max_examples=int(os.environ.get("WRAP_EXAMPLES", "60")), suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab \t\n\\\"'`ä\u3000\U0001f600\x00\x0b\x0c\x1c\x85\u2028", max_size=40))
def test_any_text_is_stable_and_comes_back(text: str) -> None:
    doc = docstring(text, 4)
    assert bool(doc) == (text_of(text) is not None)
    if not doc:
        assert not "".join(character for character in text if character.isprintable()).strip()
        return
    source = in_class(doc)
    assert black.format_str(source, mode=black.Mode()) == source
    assert said(doc).split() == "".join(c if c.isprintable() else " " for c in text).split()


@pytest.mark.parametrize(
    "text",
    [
        "Plain.",
        'Ends in a "quote"',
        '"Starts" with one',
        '"',
        '""',
        '"""',
        'in """ the middle',
        "a backslash \\",
        "two backslashes \\\\",
        r"\n is no line break, \x41 no letter, \N{BULLET} no bullet",
        'a quote after a backslash \\"',
        "Grüße, 世界, \N{GRINNING FACE}",
        "'single'",
        "r'raw'",
    ],
)
def test_one_line_is_said_as_it_is(text: str) -> None:
    doc = docstring(text, 4)
    assert "\n" not in doc
    assert said(doc).strip() == text
    assert black.format_str(in_class(doc), mode=black.Mode()) == in_class(doc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("First.\n\nSecond.", "First.\n\nSecond."),
        ("First.\n    code\n  more", "First.\n  code\nmore"),
        ("First.\n\tcode", "First.\ncode"),
        ("First.\n- a\n\t- b", "First.\n- a\n        - b"),
        ("\n\n  First.\n\n", "First."),
        ("First.   \nSecond.  ", "First.\nSecond."),
        ('First.\nLast "word"', 'First.\nLast "word"'),
        ("First.\nLast \\", "First.\nLast \\"),
    ],
)
def test_several_lines_keep_their_relative_indentation(text: str, expected: str) -> None:
    doc = docstring(text, 4)
    assert inspect.cleandoc(said(doc)) == expected
    assert black.format_str(in_class(doc), mode=black.Mode()) == in_class(doc)


def test_no_text_is_no_docstring() -> None:
    assert docstring("", 4) == ""
    assert docstring("  \n\t\n", 4) == ""
    assert text_of(None) is text_of("  \n\t\n\x00") is None


def test_text_has_no_blank_lines_around_it() -> None:
    assert text_of("\n\n  First.\n\n Second. \n\n") == "  First.\n\n Second."


def test_comments_reach_every_place_of_a_stub(generate) -> None:
    generated = generate(
        {
            "demo.thrift": r'''
            /** The "file": \o/ """ */
            namespace py demo

            /** An enum. */
            enum E {
              /** A member. */
              A = 1,
              B = 2, ///< Said behind.
            }
            /// A struct,
            ///   indented.
            struct S {
              /** A field that ends in "quotes" */
              1: i32 x
            }
            /** A union. */
            union U { 1: i32 x }
            /** An exception. */
            exception X { 1: i32 x }
            /** A typedef. */
            typedef i32 T
            /** A constant. */
            const i32 C = 1
            /** A service. */
            service V {
              /** A function. */
              i32 f(/** An argument. */ 1: i32 a) throws (/** When it breaks. */ 1: X x)
              /** Another. */
              oneway void g()
            }
            '''
        }
    )
    module = generated.module("demo.demo")
    assert module.__doc__.strip() == r'The "file": \o/ """'
    assert module.E.__doc__ == "An enum."
    assert inspect.getdoc(module.S) == "A struct,\nindented."
    assert module.U.__doc__ == "A union."
    assert module.X.__doc__ == "An exception."
    assert module.V.__doc__ == "A service."
    for each in (module.V.f, module.AsyncV.f, module.VClient.f, module.AsyncVClient.f):
        assert inspect.getdoc(each) == ("A function.\n\nArgs:\n    a: An argument.\n\nRaises:\n    X: When it breaks.")
    assert inspect.getdoc(module.VClient.g) == "Another.\n\nOneway: the server sends no response, not even an error."
    text = generated.text("demo/demo.py")
    for comment in ("A member.", "Said behind.", 'A field that ends in "quotes" ', "A typedef.", "A constant."):
        assert f'"""{comment}"""' in text
