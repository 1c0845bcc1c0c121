"""Types of settings in words: for the list of keys, and for error messages about values."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, cast

import msgspec
from msgspec.inspect import Field, Metadata, StructType

__all__ = ["description", "error_text", "fields_of", "invalid_value", "type_text"]

_NAMES: Final = {
    "FloatType": "number",
    "IntType": "whole number",
    "BoolType": "true or false",
    "StrType": "text",
    "NoneType": "nothing",
    "AnyType": "anything",
}
_BOUNDS: Final = (("ge", "from"), ("gt", "more than"), ("le", "to"), ("lt", "less than"))

# Messages of msgspec.
_BOUND: Final = re.compile(r"Expected `(?:int|float)` (>=|<=|>|<) (\S+)")
_TYPE: Final = re.compile(r"Expected `([\w |]+)`(?:, got `(\w+)`)?")
_CHOICE: Final = re.compile(r"Invalid enum value ('.*')", re.DOTALL)
_WORDS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_KINDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a table",
    "str": "text",
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
    """Return the values that a type allows: `whole number from 0 to 100`."""
    if isinstance(type, Metadata):
        own: str | None = _metadata(type, "extra").get("type")
        return own if own is not None else type_text(type.type)
    if isinstance(type, msgspec.inspect.UnionType):
        return " or ".join(type_text(each) for each in type.types)
    if isinstance(type, msgspec.inspect.LiteralType):
        return " or ".join(repr(value) for value in type.values)
    if isinstance(type, msgspec.inspect.ListType | msgspec.inspect.VarTupleType | msgspec.inspect.SetType):
        return f"list of {type_text(type.item_type)}"
    if isinstance(type, msgspec.inspect.DictType):
        return f"table of {type_text(type.value_type)}"
    name: str = type.__class__.__name__
    text: str = _NAMES.get(name, name.removesuffix("Type").lower())
    bounds = [f"{word} {value:g}" for key, word in _BOUNDS if (value := getattr(type, key, None)) is not None]
    return " ".join([text, *bounds])


def invalid_value(error: str, value: object, field: Field) -> str:
    """Return what is wrong with the value of a field.

    Args:
        error: message of msgspec, without the place.
    """
    if _TYPE.fullmatch(error) or _CHOICE.fullmatch(error):
        return f"expected {_with_article(type_text(field.type))}, got {value!r}"
    return f"{error_text(error)}, got {value!r}"


def error_text(error: str) -> str:
    """Return a message of msgspec, without the place, in the words of `type_text`."""
    if match := _BOUND.fullmatch(error):
        bound = float(match[2])
        return f"must be {_WORDS[match[1]]} {int(bound) if bound.is_integer() else bound}"
    if match := _TYPE.fullmatch(error):
        expected = " or ".join(_KINDS.get(each, each) for each in match[1].split(" | "))
        return f"expected {expected}" + (f", got {_KINDS.get(match[2], match[2])}" if match[2] else "")
    return f"{error[:1].lower()}{error[1:]}"


def _with_article(text: str) -> str:
    if text.startswith("seconds"):
        return f"a number of {text}"
    return f"a {text}" if text.startswith(("number", "whole", "list", "table")) else text
