"""Constraints of values: which ones a type has, and what their values look like.

Names and meaning are those of CloudWeGo's thrift-gen-validator. Constraints of elements are constraints of the element
type behind `elem.`, `key.` or `value.`.

Source: https://github.com/cloudwego/thrift-gen-validator
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from idlc.model.program import UNKNOWN, BaseType, Enum, ListType, MapType, Reference, SetType, Type, resolve

__all__ = ["ALL_CONSTRAINTS", "constraint_names", "is_expression", "problem_of"]

_Accepts: TypeAlias = Callable[[str], bool]
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")

_EXPRESSION: Final = re.compile(r"\$\w*|@\w+\(.*\)", re.DOTALL)


def _is_boolean(text: str) -> bool:
    return text.lower() in ("true", "false")


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _is_text(text: str) -> bool:
    return True


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


_EXPECTED: Final[Mapping[_Accepts, str]] = {
    _is_boolean: '"true" or "false"',
    _is_integer: "an integer",
    _is_number: "a number",
    _is_size: "a size, such as 10",
    _is_pattern: "a regular expression",
}

_ANY: Final[Mapping[str, _Accepts]] = {"not_nil": _is_boolean}
_BOOL: Final[Mapping[str, _Accepts]] = {"const": _is_boolean, **_ANY}
_SIZES: Final[Mapping[str, _Accepts]] = {"min_size": _is_size, "max_size": _is_size}
_TEXT: Final[Mapping[str, _Accepts]] = {
    **dict.fromkeys(("const", "prefix", "suffix", "contains", "not_contains", "in", "not_in"), _is_text),
    **_SIZES,
    "min_rune_size": _is_size,
    "max_rune_size": _is_size,
    "pattern": _is_pattern,
    **_ANY,
}
_ENUM: Final[Mapping[str, _Accepts]] = {
    "const": _is_text,
    "in": _is_text,
    "not_in": _is_text,
    "defined_only": _is_boolean,
    **_ANY,
}
_MAP: Final[Mapping[str, _Accepts]] = {**_SIZES, "no_sparse": _is_boolean, **_ANY}
_STRUCT: Final[Mapping[str, _Accepts]] = {"skip": _is_boolean, **_ANY}

_NUMERIC: Final = ("const", "lt", "le", "gt", "ge", "in", "not_in")
_INTEGER: Final[Mapping[str, _Accepts]] = {**dict.fromkeys(_NUMERIC, _is_integer), **_ANY}
_DOUBLE: Final[Mapping[str, _Accepts]] = {**dict.fromkeys(_NUMERIC, _is_number), **_ANY}

ALL_CONSTRAINTS: Final = tuple(dict.fromkeys([*_TEXT, *_INTEGER, *_ENUM, *_MAP, *_STRUCT]))
"""Names of all constraints, without prefixes."""


def is_expression(value: str) -> bool:
    """Return whether a value refers to other fields or calls functions (`$other`, `@len($)`), so is no literal."""
    return _EXPRESSION.fullmatch(value) is not None


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
    return ("", "") if is_expression(value) or accepts(value) else ("value", _EXPECTED[accepts])


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
            return _INTEGER
        case BaseType(name="double"):
            return _DOUBLE
        case BaseType(name="string" | "binary"):
            return _TEXT
        case ListType() | SetType():
            return {**_SIZES, **_ANY}
        case MapType():
            return _MAP
        case Reference() if isinstance(type.target, Enum):
            return _ENUM
        case Reference():
            return _STRUCT
        case _:
            return _ANY
