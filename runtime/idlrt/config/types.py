"""Types of settings as text, for the list of keys and for error messages about values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, cast

import msgspec
from msgspec.inspect import (
    DictType,
    Field,
    ListType,
    LiteralType,
    Metadata,
    SetType,
    StructType,
    UnionType,
    VarTupleType,
)

__all__ = ["description", "error_text", "fields_of", "invalid_value", "type_text"]

_NAMES: Final = {
    "FloatType": "number",
    "IntType": "integer",
    "BoolType": "boolean",
    "StrType": "string",
    "NoneType": "null",
    "AnyType": "any",
}
_LIMITS: Final = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))

# What an error message expects, by the name of the type.
_EXPECTED: Final = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "string": "a string",
    "any": "a value",
    "list": "a list",
    "table": "a table",
}

# Messages of msgspec, and what its types are called here.
_BOUND: Final = re.compile(r"Expected `(?:int|float)` (>=|<=|>|<) (\S+)")
_TYPE: Final = re.compile(r"Expected `([\w |]+)`(?:, got `(\w+)`)?")
_CHOICE: Final = re.compile(r"Invalid enum value ('.*')", re.DOTALL)
_WORDS: Final = {">=": "at least", "<=": "at most", ">": "greater than", "<": "less than"}
_KINDS: Final = {
    "array": "a list",
    "bool": "a boolean",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "a table",
    "str": "a string",
}


@cache
def fields_of(settings: type[msgspec.Struct]) -> dict[str, Field]:
    """Return the fields of a settings struct by name, with their types."""
    info = msgspec.inspect.type_info(settings)
    assert isinstance(info, StructType)
    return {field.name: field for field in info.fields}


def description(field: Field) -> str:
    """Return the description of a field; empty if its type has none."""
    text: str = _metadata(field.type, "extra_json_schema").get("description", "")
    return text


def _metadata(type: Any, name: str) -> dict[str, Any]:
    """Return what `msgspec.Meta` adds to a type: `extra_json_schema` or `extra`."""
    found: object = getattr(type, name) if isinstance(type, Metadata) else None
    return cast("dict[str, Any]", found or {})


def type_text(type: Any) -> str:
    """Return the type of a value with its unit and range, as in `integer, 0 to 100` or `seconds, > 0, optional`.

    `extra={"type": ...}` of a type's `msgspec.Meta` replaces its text.
    """
    if isinstance(type, Metadata):
        own: str | None = _metadata(type, "extra").get("type")
        return own if own is not None else type_text(type.type)
    if isinstance(type, UnionType):
        texts = [type_text(each) for each in type.types]
        present = [text for text in texts if text != _NAMES["NoneType"]]
        return _either(present) + (", optional" if len(present) < len(texts) else "")
    if isinstance(type, LiteralType):
        return _either([json.dumps(value) for value in type.values])
    if isinstance(type, ListType | VarTupleType | SetType):
        return _of("list", type_text(type.item_type))
    if isinstance(type, DictType):
        return _of("table", type_text(type.value_type))
    name: str = type.__class__.__name__
    text: str = _NAMES.get(name, name.removesuffix("Type").lower())
    limits = {key: f"{value:g}" for key, _ in _LIMITS if (value := getattr(type, key, None)) is not None}
    if limits.keys() == {"ge", "le"}:
        return f"{text}, {limits['ge']} to {limits['le']}"
    bounds = " and ".join(f"{sign} {limits[key]}" for key, sign in _LIMITS if key in limits)
    return f"{text}, {bounds}" if bounds else text


def _either(texts: Sequence[str]) -> str:
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _of(kind: str, element: str) -> str:
    if element == _NAMES["AnyType"]:
        return kind
    return f"{kind} of {element}s" if element in _EXPECTED else f"{kind} of {element}"


def invalid_value(error: str, value: object, field: Field) -> str:
    """Return what is wrong with the value of a field.

    Args:
        error: message of msgspec, without the place.
    """
    text = type_text(field.type)
    is_time = text.startswith("seconds")
    if _TYPE.fullmatch(error) or _CHOICE.fullmatch(error):
        return f"expected {'a number of seconds' if is_time else _expected(text)}, got {value!r}"
    unit = " seconds" if is_time and _BOUND.fullmatch(error) else ""
    return f"{error_text(error)}{unit}, got {value!r}"


def _expected(text: str) -> str:
    """Return the type of a value for an error message, without its range."""
    if text.startswith('"'):
        return text.removesuffix(", optional")
    plain = text.partition(", ")[0]
    return _EXPECTED.get(plain, f"a {plain}" if plain.startswith(("list", "table")) else plain)


def error_text(error: str) -> str:
    """Return a message of msgspec, without the place, with the names of types that `type_text` uses."""
    if match := _BOUND.fullmatch(error):
        bound = float(match[2])
        return f"must be {_WORDS[match[1]]} {int(bound) if bound.is_integer() else bound}"
    if match := _TYPE.fullmatch(error):
        expected = " or ".join(_KINDS.get(each, each) for each in match[1].split(" | "))
        return f"expected {expected}" + (f", got {_KINDS.get(match[2], match[2])}" if match[2] else "")
    return f"{error[:1].lower()}{error[1:]}"
