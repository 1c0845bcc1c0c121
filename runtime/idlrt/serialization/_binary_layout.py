"""Layout of types in the binary protocol: type number, `struct` format, minimum size.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

from typing import Any

from idlrt.serialization.types import TypeId
from idlrt.spec import BaseType, EnumType, ListType, MapType, SetType, StructType, Type

__all__ = ["FIXED_SIZES", "FORMATS", "MINIMUM_SIZES", "format_of", "type_id"]

FORMATS = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "double": "d"}
"""`struct` format characters of fixed-size types; `bool` is handled separately."""

MINIMUM_SIZES: dict[int, int] = {
    TypeId.BOOL: 1,
    TypeId.I8: 1,
    TypeId.DOUBLE: 8,
    TypeId.I16: 2,
    TypeId.I32: 4,
    TypeId.I64: 8,
    TypeId.STRING: 4,
    TypeId.STRUCT: 1,
    TypeId.MAP: 6,
    TypeId.SET: 5,
    TypeId.LIST: 5,
    TypeId.UUID: 16,
}
"""Minimum size of a value of each type in bytes: it bounds the length that a container may announce."""

FIXED_SIZES: dict[int, int] = {
    number: size
    for number, size in MINIMUM_SIZES.items()
    if number not in (TypeId.STRING, TypeId.STRUCT, TypeId.MAP, TypeId.SET, TypeId.LIST)
}
"""Sizes of fixed-size types in bytes."""

_BASE = {
    "bool": TypeId.BOOL,
    "i8": TypeId.I8,
    "i16": TypeId.I16,
    "i32": TypeId.I32,
    "i64": TypeId.I64,
    "double": TypeId.DOUBLE,
    "string": TypeId.STRING,
    "binary": TypeId.STRING,
    "uuid": TypeId.UUID,
}


def type_id(type: Type[Any]) -> int:
    """Return the type number of `type` on the wire."""
    match type:
        case BaseType():
            return int(_BASE[type.name])
        case EnumType():
            return int(TypeId.I32)
        case ListType():
            return int(TypeId.LIST)
        case SetType():
            return int(TypeId.SET)
        case MapType():
            return int(TypeId.MAP)
        case StructType():
            return int(TypeId.STRUCT)
        case _:
            raise TypeError(f"{type!r} has no place on the wire")


def format_of(type: Type[Any]) -> str | None:
    """Return the `struct` format of a fixed-size type, else `None`."""
    return FORMATS.get(type.name) if isinstance(type, BaseType) else None
