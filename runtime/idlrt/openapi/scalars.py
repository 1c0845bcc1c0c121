"""Schemas of scalar types, as values and as names of the members of objects.

They describe what `idlrt.serialization.plain_json` reads and writes over HTTP.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from idlrt.serialization.text_scalars import BASE64_PATTERN, INTEGER_PATTERN, UUID_PATTERN
from idlrt.spec import BaseType

__all__ = ["BITS", "Schema", "integer_schema", "key_schema", "scalar_schema"]

Schema: TypeAlias = dict[str, Any]
"""A schema, or another object of the document."""

BITS: Final = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
_DOUBLE_PATTERN: Final = r"^(?:NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)$"
_NON_FINITE: Final = ("NaN", "Infinity", "-Infinity")


def scalar_schema(type: BaseType[Any], *, as_text: bool, is_input: bool) -> Schema:
    """Return the schema of a base type.

    Args:
        as_text: whether `i64` is written as text; then readers accept both.
        is_input: whether values are read, not written.
    """
    if type.name == "i64" and as_text:
        text: Schema = {"type": "string", "format": "int64", "pattern": INTEGER_PATTERN}
        return {"anyOf": [text, integer_schema("i64")]} if is_input else text
    if type.name in BITS:
        return integer_schema(type.name)
    if type.name == "bool":
        return {"type": "boolean"}
    if type.name == "double":
        return {"anyOf": [{"type": "number", "format": "double"}, {"type": "string", "enum": [*_NON_FINITE]}]}
    if type.name == "binary":
        return {"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN}
    if type.name == "uuid":
        return {"type": "string", "format": "uuid", "pattern": UUID_PATTERN}
    return {"type": "string"}


def integer_schema(name: str) -> Schema:
    """Return the schema of an integer type, with its range."""
    edge = 1 << BITS[name] - 1
    return {
        "type": "integer",
        "format": "int64" if name == "i64" else "int32",
        "minimum": -edge,
        "maximum": edge - 1,
    }


def key_schema(type: BaseType[Any]) -> Schema | None:
    """Return the schema of the names of an object's members; `None` if every text is a name.

    Args:
        type: key type of a map.
    """
    if type.name in BITS:
        return {"pattern": INTEGER_PATTERN}
    if type.name == "bool":
        return {"enum": ["false", "true"]}
    patterns = {"double": _DOUBLE_PATTERN, "binary": BASE64_PATTERN, "uuid": UUID_PATTERN}
    return {"pattern": patterns[type.name]} if type.name in patterns else None
