"""Documentation in stubs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from idlrt.openapi.docs import DocReader, split_sentence
from idlrt.spec import VOID, Method


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ("One", "Two.")),
        ("One\nsentence. And\nmore.", ("One sentence", "And\nmore.")),
        ("One.\n\nTwo.", ("One", "Two.")),
        ("no end\n\nrest", ("no end", "rest")),
        ("Version 1.5 of it. Next.", ("Version 1.5 of it", "Next.")),
        ("Some, e.g. This. Next.", ("Some, e.g. This", "Next.")),
        ("Is it? Yes.", ("Is it?", "Yes.")),
        ("", ("", "")),
    ],
)
def test_first_sentence(text: str, expected: tuple[str, str]) -> None:
    assert split_sentence(text) == expected


def test_sections_of_functions(compiled: Callable[[str], Any]) -> None:
    module = compiled("""
        /** Why. */
        exception E {}
        service S {
          /**
           * Do it. Twice.
           *
           * Args: none of these.
           */
          void f(1: i32 x) throws (1: E e) (idempotent = "true", rpc.timeout = "3")
        }
    """)
    doc = DocReader().of_method(module.SClient.__thrift_service__.methods["f"])
    assert (doc.summary, doc.description) == ("Do it", "Twice.\n\nArgs: none of these.")


def test_arguments_and_exceptions(compiled: Callable[[str], Any]) -> None:
    module = compiled("""
        exception E {}
        exception F {}
        service S {
          /** Do it. */
          void f(
            1: i32 from ///< Where: here.
            2: i32 y
          ) throws (
            1: E e ///< How.
            2: F f
          )
        }
    """)
    doc = DocReader().of_method(module.SClient.__thrift_service__.methods["f"])
    assert doc.arguments == {"from_": "Where: here."}
    assert doc.raises == {"E": "How.", "F": ""}


def test_functions_without_comments_have_none(compiled: Callable[[str], Any]) -> None:
    module = compiled('exception E {}\nservice S { i32 f() throws (1: E e) (idempotent = "true") }')
    doc = DocReader().of_method(module.SClient.__thrift_service__.methods["f"])
    assert (doc.summary, doc.description) == ("", "")


def test_fields_members_and_classes(compiled: Callable[[str], Any]) -> None:
    module = compiled("""
        /** A record. */
        struct R {
          /** The first. */
          1: required i32 a
          2: list<i32> b = []  ///< The second.
          3: i32 c
        }
        enum E { A ///< One.
        }
    """)
    reader = DocReader()
    assert reader.of_class(module.R) == "A record."
    assert reader.of_class(module.E) == ""
    assert reader.of_attributes(module.R) == {"a": "The first.", "b": "The second."}
    assert reader.of_attributes(module.E) == {"A": "One."}


def test_no_source_no_documentation_of_fields() -> None:
    namespace: dict[str, Any] = {"__name__": "a_module_without_source"}
    exec('class R:\n    a: int\n    "The first."', namespace)
    reader = DocReader()
    assert reader.of_attributes(namespace["R"]) == {}
    assert reader.of_method(Method("f", result=VOID)).summary == ""
