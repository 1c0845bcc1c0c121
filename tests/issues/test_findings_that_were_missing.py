"""IDL that cannot be meant: each is reported, once, where it is, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

import idlc

WRONG = {
    "a default that contains itself": (
        "struct Endpoint { 1: Endpoint next = {} }",
        (
            "error default.cycle: the default value of `next` contains itself; "
            "remove the default value, or set all fields in it"
        ),
    ),
    "defaults that contain one another": (
        "struct A { 1: B b = {} }\nstruct B { 1: list<A> many = [{}] }",
        (
            "error default.cycle: the default value of `b` contains itself through `many`; "
            "remove the default value, or set all fields in it"
        ),
    ),
    "a default of a map": (
        "struct A { 1: map<string, A> m = {'a': {}} }",
        (
            "error default.cycle: the default value of `m` contains itself; "
            "remove the default value, or set all fields in it"
        ),
    ),
    "a union without fields": (
        "union Nothing {}\nstruct S { 1: required Nothing n }",
        "warning union.empty: union `Nothing` has no fields, so it has no values; add a field, or make it a struct",
    ),
    "a namespace for python": (
        "namespace python a.b\nstruct S {}",
        (
            "warning namespace.scope: Apache Thrift has no language `python` and ignores this namespace; "
            "write `namespace py a.b`"
        ),
    ),
    "a number that becomes infinity": (
        "const double X = -1e999",
        (
            "error constant.range: `X` must be a double, but -1e999 is out of range; "
            "the maximum of a double is about 1.8e308"
        ),
    ),
    "such a number as a default": (
        "struct S { 1: double x = 1e999 }",
        (
            "error constant.range: `S.x` must be a double, but 1e999 is out of range; "
            "the maximum of a double is about 1.8e308"
        ),
    ),
    "a set of structs": (
        "struct S {}\nstruct T { 1: list<set<S>> s }",
        (
            "warning type.element: `S` is not portable as a set element; "
            "write `list<S>` for interoperability with other languages"
        ),
    ),
    "a set of doubles": (
        "typedef double D\nstruct T { 1: set<D> s }",
        (
            "warning type.element: `D` is not portable as a set element; "
            "write `list<D>` for interoperability with other languages"
        ),
    ),
    "required and optional": (
        "struct S { 1: optional required i32 a, 2: i32 b }",
        "error syntax.unexpected: a field must be either `required` or `optional`; write `optional i32 a`",
    ),
    "the other way round, with a default": (
        "struct S { 1: required optional i32 a = 5 }",
        "error syntax.unexpected: a field must be either `required` or `optional`; write `required i32 a`",
    ),
    "a package": (
        "package;\nstruct S {}",
        "error syntax.unexpected: `package` has no name; write `namespace * NAME` instead of `package NAME;`",
    ),
    "a character that nobody sees": (
        "struct S { 1:\u200b i32 a }",
        "error syntax.character: invisible character U+200B (zero width space); remove it",
    ),
    "several of them": (
        "struct S {}\u2060\u202e",
        (
            "error syntax.character: invisible characters U+2060 (word joiner), U+202E (right-to-left override); "
            "remove them"
        ),
    ),
    "a member that an enum does not have": (
        "enum Color { RED, GREEN }\nconst Color C = Color.PURPLE",
        "error constant.enum.undefined: enum `Color` has no member `PURPLE`; its members are `RED`, `GREEN`",
    ),
    "of very many": (
        f"enum E {{ {', '.join(f'M{number:02}' for number in range(15))} }}\nconst E C = E.XYZ",
        (
            "error constant.enum.undefined: enum `E` has no member `XYZ`; its members are "
            f"{', '.join(f'`M{number:02}`' for number in range(10))} and 5 more"
        ),
    ),
    "an include of nothing": (
        'include ""\nstruct S {}',
        "error include.empty: the path of an include is empty",
    ),
}
POLICY = idlc.Policy().with_options(["portability"])
RIGHT = [
    "struct Endpoint { 1: optional Endpoint next }",
    "struct Endpoint { 1: i32 value, 2: optional list<Endpoint> children = [] }",
    "struct A { 1: B b = {} }\nstruct B { 1: C c = {} }\nstruct C { 1: i32 n = 5 }",
    'struct Tree { 1: list<Tree> children = [{"children": []}] }',
    "const double X = 1e308",
    "enum E { A }\nstruct S { 1: set<E> e, 2: set<string> s, 3: set<binary> b }",
]


def found(folder: Path, text: str) -> list[str]:
    path = folder / "a.thrift"
    path.write_text(text, encoding="utf-8")
    result = idlc.compile(sources=(path,), output=folder / "gen", policy=POLICY, use_cache=False)
    return [
        f"{each.severity} {each.name}: {each.message}" + (f"; {each.help}" if each.help else "")
        for each in result.report
    ]


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_it_is_reported_once(tmp_path: Path, text: str, message: str) -> None:
    assert found(tmp_path, text) == [message]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_like_it_is_not_reported(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []
