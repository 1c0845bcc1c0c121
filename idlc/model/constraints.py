"""Constraints of values: which ones a type has, and what their values look like.

Names and meaning are those of CloudWeGo's thrift-gen-validator. Constraints of elements are constraints of the element
type behind `elem.`, `key.` or `value.`. The runtime checks the same (`idlrt.serialization.constraints`); a test
compares both.

Source: https://github.com/cloudwego/thrift-gen-validator
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from idlc.model.program import UNKNOWN, BaseType, Enum, ListType, MapType, Reference, SetType, Type, resolve

__all__ = ["ALL_CONSTRAINTS", "constraint_names", "is_enforced", "is_expression", "problem_of"]

_Accepts: TypeAlias = Callable[[str], bool]
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EXPRESSION: Final = re.compile(r"\$[A-Za-z_]\w*|@[a-z_]+\(.*\)", re.DOTALL)
_CONSTRUCT: Final = re.compile(r"\\(.)|\(\?(?:[=<>(#]|P=)|\[:", re.DOTALL)
"""Escapes, and constructs of regular expressions that Python and Go do not share: the meaning is that of Go."""


def _is_flag(text: str) -> bool:
    return text in ("", "true", "false")


def _is_boolean(text: str) -> bool:
    return text in ("true", "false")


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_size(text: str) -> bool:
    return _is_integer(text) and int(text) >= 0


def _is_text(text: str) -> bool:
    return True


def _is_pattern(text: str) -> bool:
    for found in _CONSTRUCT.finditer(text):
        if found[1] is None or found[1] in "123456789":
            return False
    with warnings.catch_warnings(action="ignore"):  # about sets that future versions may read differently
        try:
            re.compile(text.replace(r"\z", r"\Z"))
        except (re.error, OverflowError, RecursionError):
            return False
    return True


def _is_member(enum: Enum) -> _Accepts:
    names = {member.name for member in enum.members}
    return lambda text: text.rpartition(".")[2] in names or _is_integer(text)


_EXPECTED: Final[Mapping[_Accepts, str]] = {
    _is_flag: '"true" or "false"',
    _is_boolean: '"true" or "false"',
    _is_integer: "an integer",
    _is_number: "a number",
    _is_size: "a size, such as 10",
    _is_pattern: "a regular expression, without lookaround and references to groups",
}

_ANY: Final[Mapping[str, _Accepts]] = {"not_nil": _is_flag, "skip": _is_flag}
_BOOL: Final[Mapping[str, _Accepts]] = {"const": _is_boolean, **_ANY}
_SIZES: Final[Mapping[str, _Accepts]] = {"min_size": _is_size, "max_size": _is_size, **_ANY}
_TEXT: Final[Mapping[str, _Accepts]] = {
    **dict.fromkeys(("const", "prefix", "suffix", "contains", "not_contains", "in", "not_in"), _is_text),
    "min_rune_size": _is_size,
    "max_rune_size": _is_size,
    "pattern": _is_pattern,
    **_SIZES,
}
_ENUM: Final = ("const", "in", "not_in")
_MAP: Final[Mapping[str, _Accepts]] = {"no_sparse": _is_flag, **_SIZES}

_NUMERIC: Final = ("const", "lt", "le", "gt", "ge", "in", "not_in")
_INTEGERS: Final[Mapping[str, _Accepts]] = {**dict.fromkeys(_NUMERIC, _is_integer), **_ANY}
_DOUBLE: Final[Mapping[str, _Accepts]] = {**dict.fromkeys(_NUMERIC, _is_number), **_ANY}

ALL_CONSTRAINTS: Final = tuple(dict.fromkeys([*_TEXT, *_INTEGERS, "defined_only", *_MAP]))
"""Names of all constraints, without prefixes."""


def is_expression(value: str) -> bool:
    """Return whether a value refers to other fields or calls functions (`$other`, `@len($)`), so is no literal."""
    return _EXPRESSION.fullmatch(value) is not None


def is_enforced(name: str, value: str, type: Type) -> bool:
    """Return whether the runtime can check a constraint.

    Args:
        name: without `vt.`.
    """
    is_literal = name.rpartition(".")[2] == "pattern" or not is_expression(value)
    return is_literal and not problem_of(name, value, type)[0]


def constraint_names(type: Type) -> list[str]:
    """Return the constraints of a type, without those of its elements."""
    return list(_of(resolve(type)))


def problem_of(name: str, value: str, type: Type) -> tuple[str, str]:
    """Return what is wrong with a constraint: the kind (`type`, `value`) and, of a value, what is expected.

    Both are empty if it is valid.

    Args:
        name: without `vt.`.
    """
    type = resolve(type)
    part, dot, rest = name.partition(".")
    if dot:
        element = _element(type, part)
        return ("type", "") if element is None else problem_of(rest, value, element)
    if type == UNKNOWN:
        return "", ""
    accepts = _of(type).get(name)
    if accepts is None:
        return "type", ""
    if accepts(value) or (is_expression(value) and name != "pattern"):
        return "", ""
    return "value", _EXPECTED.get(accepts, "a member of the enum, or a number")


def _element(type: Type, part: str) -> Type | None:
    match type:
        case ListType() | SetType() if part == "elem":
            return type.element
        case MapType() if part == "key":
            return type.key
        case MapType() if part == "value":
            return type.value
        case _:
            return UNKNOWN if type == UNKNOWN else None


def _of(type: Type) -> Mapping[str, _Accepts]:
    match type:
        case BaseType(name="bool"):
            return _BOOL
        case BaseType(name="i8" | "i16" | "i32" | "i64"):
            return _INTEGERS
        case BaseType(name="double"):
            return _DOUBLE
        case BaseType(name="string" | "binary"):
            return _TEXT
        case ListType() | SetType():
            return _SIZES
        case MapType():
            return _MAP
        case Reference() if isinstance(type.target, Enum):
            return {**dict.fromkeys(_ENUM, _is_member(type.target)), "defined_only": _is_flag, **_ANY}
        case _:
            return _ANY
