"""Constraints of types and their values: the compiler accepts those that the runtime can check."""

from __future__ import annotations

from typing import Any

import pytest

from idlc.model import BASE_TYPES, ListType, MapType, Reference, SetType, Type
from idlc.model.constraints import ALL_CONSTRAINTS, constraint_names, is_enforced, is_expression, problem_of
from idlc.model.program import Enum, EnumMember, Struct
from idlrt import codegen as rpc
from idlrt.errors import ConfigurationError
from idlrt.serialization.constraints import constraints_of
from idlrt.spec import Method


class Color(rpc.Enum):
    RED = 1


class Point(rpc.Struct, kw_only=True):
    x: int | None = None

    __thrift_fields__ = (rpc.optional(1, "x", rpc.I32),)


def enum() -> Enum:
    made = Enum(name="Color", span=None, program=None)  # type: ignore[arg-type]
    made.members.append(EnumMember(name="RED", span=None, program=None, value=1, enum=made))  # type: ignore[arg-type]
    return made


POINT: Type = Reference(Struct(name="Point", span=None, program=None, kind="struct"))  # type: ignore[arg-type]
COLOR: Type = Reference(enum())
STRING, I32 = BASE_TYPES["string"], BASE_TYPES["i32"]

TYPES: list[tuple[Type, Any]] = [
    (BASE_TYPES["bool"], rpc.BOOL),
    (BASE_TYPES["i8"], rpc.I8),
    (BASE_TYPES["i64"], rpc.I64),
    (BASE_TYPES["double"], rpc.DOUBLE),
    (STRING, rpc.STRING),
    (BASE_TYPES["binary"], rpc.BINARY),
    (BASE_TYPES["uuid"], rpc.UUID),
    (COLOR, rpc.enum(Color)),
    (POINT, rpc.struct(Point)),
    (ListType(STRING), rpc.list_of(rpc.STRING)),
    (SetType(COLOR), rpc.set_of(rpc.enum(Color))),
    (ListType(POINT), rpc.list_of(rpc.struct(Point))),
    (MapType(STRING, I32), rpc.map_of(rpc.STRING, rpc.I32)),
    (ListType(ListType(I32)), rpc.list_of(rpc.list_of(rpc.I32))),
]
VALUES = [
    "", "true", "True", "false", "1", "-1", "+1", "1.5", "1.", ".5", "1e3", "0x1", " 1", "RED", "Color.RED", "BLUE",
    "$x", "$", "@", "@len($x)", "^a+$", "(", "(?=a)", "(?<n>a)", "(?P<n>a)", "(?:a)", r"\1", r"\\1", "[[:alpha:]]",
    r"a\z", "9" * 50, "some text",
]  # fmt: skip
NAMES = [
    *ALL_CONSTRAINTS,
    "nosuch",
    *(f"{part}.{name}" for part in ("elem", "key", "value") for name in ALL_CONSTRAINTS),
]


def is_checked(type: Any, name: str, value: str) -> bool:
    """Whether the runtime accepts a constraint."""
    argument = rpc.argument(1, "a", type, annotations={f"vt.{name}": value})
    try:
        constraints_of(Method("f", argument, result=rpc.VOID))
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize(("type", "described"), TYPES, ids=[str(type) for type, _ in TYPES])
def test_the_compiler_accepts_what_the_runtime_checks(type: Type, described: Any) -> None:
    different = [
        (name, value)
        for name in NAMES
        for value in VALUES
        # Elements are never nil in Python, so the runtime does not look at this one.
        if not name.endswith(".not_nil") and is_enforced(name, value, type) != is_checked(described, name, value)
    ]
    assert different == []


def test_elements_of_elements_have_constraints() -> None:
    type = ListType(MapType(STRING, ListType(I32)))
    assert problem_of("elem.value.elem.gt", "1", type) == ("", "")
    assert problem_of("elem.key.gt", "1", type) == ("type", "")
    assert problem_of("elem.value.elem.gt", "x", type) == ("value", "an integer")


def test_expressions_are_valid_but_not_enforced() -> None:
    for value in ("$other", "@len($x)"):
        assert is_expression(value)
        assert problem_of("gt", value, I32) == ("", "")
        assert not is_enforced("gt", value, I32)
    assert not is_expression("$")
    assert is_enforced("contains", "@", STRING)
    assert is_enforced("pattern", "$x", STRING)


def test_constraints_of_a_type() -> None:
    assert constraint_names(BASE_TYPES["bool"]) == ["const", "not_nil", "skip"]
    assert constraint_names(BASE_TYPES["uuid"]) == ["not_nil", "skip"]
    assert "defined_only" in constraint_names(COLOR)
