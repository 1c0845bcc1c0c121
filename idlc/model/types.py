"""What a type is, once every name in it has been found.

A type is a base type, a container, or a reference to a declaration. A reference to a typedef stays a
reference (targets print the short name); `resolve` looks through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from idlc.model.declarations import Enum, Struct, Typedef

__all__ = ["BASE_TYPES", "UNKNOWN", "BaseType", "ListType", "MapType", "Reference", "SetType", "Type", "resolve"]


class BaseType(msgspec.Struct, frozen=True):
    """One of Thrift's scalar types.

    Attributes:
        name: `bool`, `i8`, `i16`, `i32`, `i64`, `double`, `string`, `binary`, `uuid`
            (`byte` is read as `i8`).
    """

    name: str

    def __str__(self) -> str:
        return self.name


class ListType(msgspec.Struct, frozen=True):
    """`list<element>`."""

    element: Type

    def __str__(self) -> str:
        return f"list<{self.element}>"


class SetType(msgspec.Struct, frozen=True):
    """`set<element>`."""

    element: Type

    def __str__(self) -> str:
        return f"set<{self.element}>"


class MapType(msgspec.Struct, frozen=True):
    """`map<key, value>`."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"map<{self.key}, {self.value}>"


class Reference(msgspec.Struct, frozen=True):
    """A named type: a typedef, an enum, or a struct, union or exception."""

    target: Typedef | Enum | Struct

    def __str__(self) -> str:
        return self.target.name


Type: TypeAlias = BaseType | ListType | SetType | MapType | Reference

UNKNOWN = BaseType("unknown")
"""Stands where a type could not be found. It fits everything, so that one mistake is reported once."""

BASE_TYPES = {
    name: BaseType(name) for name in ("bool", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid")
}


def resolve(type: Type) -> Type:
    """Look through typedefs: what the type is on the wire. Never returns a reference to a typedef."""
    from idlc.model.declarations import Typedef

    while isinstance(type, Reference) and isinstance(type.target, Typedef):
        type = type.target.type
    return type
