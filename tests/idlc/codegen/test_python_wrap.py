"""Lines break exactly where `black` breaks them.

Black takes milliseconds for every example, so few are tried here; `WRAP_EXAMPLES=2000` looks harder.
"""

from __future__ import annotations

import os

import black
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idlc.codegen.python import wrap
from idlc.codegen.python.wrap import Node, Pair, annotated, call, class_head, definition, display, lines, subscript

some_examples = settings(
    max_examples=int(os.environ.get("WRAP_EXAMPLES", "15")), suppress_health_check=[HealthCheck.too_slow]
)


def as_black_has_it(text: str) -> str:
    return black.format_str(text, mode=black.Mode())


def assert_stable(found: list[str], before: str = "", after: str = "") -> None:
    text = before + "\n".join(found) + "\n" + after
    assert text == as_black_has_it(text)


NAMES = st.text("bcghjk", min_size=1, max_size=75)
TYPES: st.SearchStrategy[Node] = st.one_of(
    st.sampled_from(["rpc.I32", "rpc.STRING"]),
    st.builds(lambda name: call("rpc.struct", f"lambda: {name}"), NAMES),
    st.builds(lambda name: call("rpc.enum", f"_shared.{name}"), NAMES),
)
ATOMS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.text("abc xyz.", max_size=40).map(lambda text: f'"{text}"'),
    NAMES.map(lambda name: f"_shared.{name}"),
)


def nested(atoms: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    def deeper(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(inner, max_size=4)
        return st.one_of(
            st.builds(lambda items: display("[]", *items), several),
            st.builds(lambda items: display("{}", *items) if items else "set()", several),
            st.builds(
                lambda pairs: display("{}", *[Pair(Pair(key, ": "), value) for key, value in pairs]),
                st.lists(st.tuples(atoms, inner), max_size=4),
            ),
            st.builds(
                lambda name, pairs: call(name, *[Pair(f"{key}=", value) for key, value in pairs]),
                NAMES,
                st.lists(st.tuples(NAMES, inner), max_size=4),
            ),
        )

    return st.recursive(atoms, deeper, max_leaves=12)


VALUES = nested(ATOMS)


def type_expressions() -> st.SearchStrategy[Node]:
    return st.recursive(
        TYPES,
        lambda inner: st.one_of(
            st.builds(lambda one: call("rpc.list_of", one), inner),
            st.builds(lambda one: call("rpc.frozen_set_of", one), inner),
            st.builds(lambda key, value: call("rpc.map_of", key, value), inner, inner),
        ),
        max_leaves=6,
    )


ENTRIES = st.builds(
    lambda number, name, type, attribute: call(
        "rpc.optional", str(number), f'"{name}"', type, *([f'attribute="{name}_"'] if attribute else [])
    ),
    st.integers(-5, 3000),
    NAMES,
    type_expressions(),
    st.booleans(),
)
ANNOTATIONS = st.recursive(
    st.one_of(st.sampled_from(["int", "str", "rpc.Uuid"]), NAMES.map(lambda name: f"_shared.{name}")),
    lambda inner: st.one_of(
        inner.map(lambda one: f"list[{one}]"),
        inner.map(lambda one: f"tuple[{one}, ...]"),
        st.tuples(inner, inner).map(lambda two: f"dict[{two[0]}, {two[1]}]"),
    ),
    max_leaves=5,
)


@some_examples
@given(NAMES, ANNOTATIONS, VALUES)
def test_constants(name: str, annotation: str, value: Node) -> None:
    assert_stable(annotated(name, f"Final[{annotation}]", value, 0))


@some_examples
@given(NAMES, ANNOTATIONS, VALUES, st.booleans())
def test_fields_with_a_default_factory(name: str, annotation: str, value: Node, is_renamed: bool) -> None:
    renamed = [f'name="{name}"'] if is_renamed else []
    default = call("rpc.field", Pair("default_factory=lambda: ", value), *renamed)
    assert_stable(annotated(name, annotation, default, 4), before="class A:\n")


@some_examples
@given(NAMES, ANNOTATIONS, st.booleans())
def test_fields_without_a_default(name: str, annotation: str, is_renamed: bool) -> None:
    default = call("rpc.field", f'name="{name}"') if is_renamed else None
    assert_stable(annotated(name, annotation, default, 4), before="class A:\n")


@some_examples
@given(NAMES, ANNOTATIONS, st.booleans())
def test_fields_that_may_be_none(name: str, annotation: str, is_renamed: bool) -> None:
    default = call("rpc.field", "default=None", f'name="{name}"') if is_renamed else "None"
    assert_stable(annotated(name, f"{annotation} | None", default, 4), before="class A:\n")


@some_examples
@given(NAMES, ANNOTATIONS, ATOMS)
def test_fields_with_a_plain_default(name: str, annotation: str, value: str) -> None:
    assert_stable(annotated(name, annotation, value, 4), before="class A:\n")


@some_examples
@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_tables(entries: list[Node]) -> None:
    table = display("()", *entries, always_breaks=len(entries) > 1)
    assert_stable(lines(table, 4, "__thrift_fields__ = "), before="class A:\n")


@some_examples
@given(NAMES, st.lists(ENTRIES, max_size=4), st.lists(ENTRIES, max_size=3), type_expressions())
def test_descriptions_of_methods(name: str, entries: list[Node], throws: list[Node], result: Node) -> None:
    items: list[Node] = [f"Service.{name}", *entries, Pair("result=", result)]
    if throws:
        items.append(Pair("throws=", display("()", *throws)))
    assert_stable(annotated(f"_{name.upper()}", "Final", call("rpc.method", *items), 0))


PARAMETERS = st.lists(
    st.tuples(NAMES, ANNOTATIONS, st.sampled_from(["", " | None = None", " = 1", ' = "a b"'])), max_size=4
).map(lambda found: [f"{name}: {annotation}{rest}" for name, annotation, rest in found])


@some_examples
@given(NAMES, PARAMETERS, ANNOTATIONS, st.sampled_from(["", " ..."]), st.sampled_from(["def", "async def"]))
def test_signatures(name: str, parameters: list[str], result: str, back: str, word: str) -> None:
    head = definition(f"{word} {name}(", ("self", *parameters), f") -> {result}:{back}")
    after = "" if back else "        return 1\n"
    assert_stable(lines(head, 4), before="class A:\n", after=after)


@some_examples
@given(NAMES, st.lists(NAMES, max_size=6))
def test_calls_of_clients(constant: str, names: list[str]) -> None:
    body = lines(call("await self._call", f"_{constant}", *names), 8, "return ")
    assert_stable(body, before="class A:\n    async def f(self):\n")


@some_examples
@given(st.lists(NAMES, max_size=8))
def test_lists_of_exports(names: list[str]) -> None:
    assert_stable(lines(display("[]", *[f'"{name}"' for name in names]), 0, "__all__ = "))


@some_examples
@given(NAMES, st.sampled_from(["rpc.Struct, kw_only=True", "rpc.DeclaredError", "rpc.Enum", "_shared.Base, Protocol"]))
def test_heads_of_classes(name: str, bases: str) -> None:
    assert_stable(class_head(name, bases), after="    pass\n")


@some_examples
@given(NAMES, ANNOTATIONS)
def test_typedefs(name: str, annotation: str) -> None:
    assert_stable(annotated(name, "TypeAlias", subscript(annotation), 0))


@some_examples
@given(st.text("abc \\\"'", max_size=120))
def test_decorators(text: str) -> None:
    from idlc.codegen.python.values import quoted

    assert_stable(lines(call("@rpc.deprecated", quoted(text))), after="class A:\n    pass\n")


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (display("()", "1"), "(1,)"),
        (display("()", "1", "2"), "(1, 2)"),
        (display("[]", "1"), "[1]"),
        (display("{}"), "{}"),
        (call("f"), "f()"),
        (call("f", Pair("a=", display("[]", "1"))), "f(a=[1])"),
    ],
)
def test_on_one_line(node: Node, expected: str) -> None:
    assert wrap.flat(node) == expected


def test_a_line_as_wide_as_allowed_is_not_broken() -> None:
    name = "x" * (wrap.WIDTH - len("a = f()"))
    assert lines(call("f", name), 0, "a = ") == [f"a = f({name})"]
    assert len(lines(call("f", name + "x"), 0, "a = ")) == 3
