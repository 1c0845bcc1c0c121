"""Lines break exactly where `black` breaks them.

Black takes milliseconds for every example, so few are tried here; `WRAP_EXAMPLES=2000` looks harder.
"""

from __future__ import annotations

import ast
import os

import black
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idlc.codegen.python.statements import parse, wrap
from idlc.codegen.python.values import quoted
from idlc.codegen.python.wrap import WIDTH, flat

some_examples = settings(
    max_examples=int(os.environ.get("WRAP_EXAMPLES", "15")), suppress_health_check=[HealthCheck.too_slow]
)


def as_black_has_it(text: str) -> str:
    return black.format_str(text, mode=black.Mode())


def assert_wrapped(statement: str, before: str = "", after: str = "", *, one_each: bool = False) -> None:
    """Assert that `wrap` changes layout only, and that black would not change it again."""
    text = before + wrap(statement + "\n", one_each=one_each) + after
    assert text == as_black_has_it(text)
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(before + statement + "\n" + after))


def call(function: str, *items: str) -> str:
    return f"{function}({', '.join(items)})"


def display(brackets: str, *items: str) -> str:
    comma = "," if brackets == "()" and len(items) == 1 else ""
    return f"{brackets[0]}{', '.join(items)}{comma}{brackets[1]}"


NAMES = st.text("bcghjk", min_size=1, max_size=75)
TYPES: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(["rpc.I32", "rpc.STRING"]),
    st.builds(lambda name: call("rpc.struct", f"lambda: {name}"), NAMES),
    st.builds(lambda name: call("rpc.enum", f"_shared.{name}"), NAMES),
)
ATOMS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.text("abc xyz.", max_size=40).map(lambda text: f'"{text}"'),
    NAMES.map(lambda name: f"_shared.{name}"),
)


def nested(atoms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        several = st.lists(inner, max_size=4)
        return st.one_of(
            st.builds(lambda items: display("[]", *items), several),
            st.builds(lambda items: display("{}", *items) if items else "set()", several),
            st.builds(
                lambda pairs: display("{}", *[f"{key}: {value}" for key, value in pairs]),
                st.lists(st.tuples(atoms, inner), max_size=4),
            ),
            st.builds(
                lambda name, pairs: call(name, *[f"{key}={value}" for key, value in pairs]),
                NAMES,
                st.lists(st.tuples(NAMES, inner), max_size=4),
            ),
        )

    return st.recursive(atoms, deeper, max_leaves=12)


VALUES = nested(ATOMS)


def type_expressions() -> st.SearchStrategy[str]:
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
def test_constants(name: str, annotation: str, value: str) -> None:
    assert_wrapped(f"{name}: Final[{annotation}] = {value}")


@some_examples
@given(NAMES, ANNOTATIONS, VALUES, st.booleans())
def test_fields_with_a_default_factory(name: str, annotation: str, value: str, is_renamed: bool) -> None:
    renamed = [f'name="{name}"'] if is_renamed else []
    default = " = " + call("rpc.field", f"default_factory=lambda: {value}", *renamed)
    assert_wrapped(f"    {name}: {annotation}{default}", before="class A:\n")


@some_examples
@given(NAMES, ANNOTATIONS, st.booleans())
def test_fields_without_a_default(name: str, annotation: str, is_renamed: bool) -> None:
    default = " = " + call("rpc.field", f'name="{name}"') if is_renamed else ""
    assert_wrapped(f"    {name}: {annotation}{default}", before="class A:\n")


@some_examples
@given(NAMES, ANNOTATIONS, st.booleans())
def test_fields_that_may_be_none(name: str, annotation: str, is_renamed: bool) -> None:
    default = call("rpc.field", "default=None", f'name="{name}"') if is_renamed else "None"
    assert_wrapped(f"    {name}: {annotation} | None = {default}", before="class A:\n")


@some_examples
@given(NAMES, ANNOTATIONS, ATOMS)
def test_fields_with_a_plain_default(name: str, annotation: str, value: str) -> None:
    assert_wrapped(f"    {name}: {annotation} = {value}", before="class A:\n")


@some_examples
@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_tables(entries: list[str]) -> None:
    table = "\n".join(["    __thrift_fields__ = (", *[f"        {entry}," for entry in entries], "    )"])
    assert_wrapped(table, before="class A:\n", one_each=True)
    assert (wrap(table + "\n", one_each=True).count("\n") > 1) >= (len(entries) > 1)


@some_examples
@given(NAMES, st.lists(ENTRIES, max_size=4), st.lists(ENTRIES, max_size=3), type_expressions())
def test_descriptions_of_methods(name: str, entries: list[str], throws: list[str], result: str) -> None:
    items: list[str] = [f"Service.{name}", *entries, f"result={result}"]
    if throws:
        items.append(f"throws={display('()', *throws)}")
    assert_wrapped(f"_{name.upper()}: Final = {call('rpc.method', *items)}")
    assert_wrapped("\n".join([f"_{name.upper()}: Final = rpc.method(", *[f"    {item}," for item in items], ")"]))


PARAMETERS = st.lists(
    st.tuples(NAMES, ANNOTATIONS, st.sampled_from(["", " | None = None", " = 1", ' = "a b"'])), max_size=4
).map(
    lambda found: [
        f"{name}: {annotation}{rest}" for name, annotation, rest in sorted(found, key=lambda one: " = " in one[2])
    ]
)


@some_examples
@given(NAMES, PARAMETERS, ANNOTATIONS, st.sampled_from(["", " ..."]), st.sampled_from(["def", "async def"]))
def test_signatures(name: str, parameters: list[str], result: str, back: str, word: str) -> None:
    head = f"    {word} {call(name, 'self', *parameters)} -> {result}:{back}"
    after = "" if back else "        return 1\n"
    assert_wrapped(head, before="class A:\n", after=after)


@some_examples
@given(NAMES, st.lists(NAMES, max_size=6))
def test_calls_of_clients(constant: str, names: list[str]) -> None:
    body = f"        return {call('await self._call', f'_{constant}', *names)}"
    assert_wrapped(body, before="class A:\n    async def f(self):\n")


@some_examples
@given(st.lists(NAMES, max_size=8))
def test_lists_of_exports(names: list[str]) -> None:
    assert_wrapped(f"__all__ = {display('[]', *map(quoted, names))}")
    assert_wrapped("\n".join(["__all__ = [", *[f"    {quoted(name)}," for name in names], "]"]))


@some_examples
@given(NAMES, st.sampled_from(["rpc.Struct, kw_only=True", "rpc.DeclaredError", "rpc.Enum", "_shared.Base, Protocol"]))
def test_heads_of_classes(name: str, bases: str) -> None:
    assert_wrapped(f"class {name}({bases}):", after="    pass\n")


@some_examples
@given(NAMES, ANNOTATIONS)
def test_typedefs(name: str, annotation: str) -> None:
    assert_wrapped(f"{name}: TypeAlias = {annotation}")


@some_examples
@given(st.text("abc \\\"'", max_size=120))
def test_decorators(text: str) -> None:
    assert_wrapped(call("@rpc.deprecated", quoted(text)), after="class A:\n    pass\n")


@some_examples
@given(NAMES, st.lists(NAMES, min_size=1, max_size=5))
def test_imports(module: str, names: list[str]) -> None:
    assert_wrapped(f"from .{module} import {', '.join(names)}")
    assert_wrapped(f"    from .{module} import {', '.join(names)}", before="if 1:\n")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("x = (\n    1,\n)", "x = (1,)"),
        ("x = (\n    1,\n    2,\n)", "x = (1, 2)"),
        ("x = [\n    1,\n]", "x = [1]"),
        ("x = {\n}", "x = {}"),
        ("f(\n)", "f()"),
        ("f(\n    1,\n)", "f(1)"),
        ("f(\n    a=[\n        1,\n    ],\n    b=(\n        2,\n    ),\n)", "f(a=[1], b=(2,))"),
        ("f(\n\n    1\n)\ng(\n    2,\n)", "f(1)\ng(2)"),
        ("    f(\n        1,\n    )", "    f(1)"),
    ],
)
def test_what_fits_is_put_on_one_line(block: str, expected: str) -> None:
    assert wrap(block + "\n") == expected + "\n"


def test_a_line_as_wide_as_allowed_is_not_broken() -> None:
    name = "x" * (WIDTH - len("a = f()"))
    assert wrap(f"a = f({name})\n") == f"a = f({name})\n"
    assert wrap(f"a = f({name}x)\n").count("\n") == 3


@pytest.mark.parametrize("text", ["(", "f(]", "f(x", "f(x))", "a, b", "f(,)", 'x = "('])
def test_text_that_is_no_statement_stays_as_it_is(text: str) -> None:
    text += " " + "x" * WIDTH + "\n"
    assert wrap(text) == text


@some_examples
@given(VALUES)
def test_parsing_loses_nothing(value: str) -> None:
    assert flat(parse(value)) == value
