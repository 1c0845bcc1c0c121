"""Descriptions of Thrift types.

`Type[T]` is generic in the Python type of its values, so type checkers reject a table that does not match the signature
that it describes.

Values in key position (the key of a map, the element of a set) must be hashable: `frozen_list_of` is a `tuple`,
`frozen_set_of` a `frozenset`, `frozen_map_of` a `FrozenMap`. Their encoding is the same.
"""

from __future__ import annotations

import enum as _enum
import uuid
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast

from idlrt.spec.frozen import FrozenMap

__all__ = [
    "BINARY",
    "BOOL",
    "DOUBLE",
    "I8",
    "I16",
    "I32",
    "I64",
    "STRING",
    "UUID",
    "VOID",
    "BaseType",
    "EnumType",
    "ListType",
    "MapType",
    "SetType",
    "StructType",
    "Type",
    "VoidType",
    "enum",
    "frozen_list_of",
    "frozen_map_of",
    "frozen_set_of",
    "list_of",
    "map_of",
    "set_of",
    "struct",
]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E", bound=_enum.IntEnum)


class Type(Generic[T]):
    """A type whose values are `T` in Python.

    Attributes:
        converters: cache of the codecs that serializations compiled for the type; unset until the first one.
    """

    __slots__ = ("converters",)

    converters: dict[Any, Any]


class VoidType(Type[None]):
    """Result type of methods that return nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "void"


class BaseType(Type[T]):
    """A scalar type; `name` is its Thrift keyword."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class EnumType(Type[T]):
    """An enum type: `i32` on the wire, `cls(number)` in Python."""

    __slots__ = ("cls",)

    def __init__(self, cls: type[T]) -> None:
        self.cls = cls

    def __repr__(self) -> str:
        return self.cls.__name__


class ListType(Type[T]):
    """A list type; a `tuple` in Python if `is_frozen`."""

    __slots__ = ("element", "is_frozen")

    def __init__(self, element: Type[Any], *, is_frozen: bool = False) -> None:
        self.element = element
        self.is_frozen = is_frozen

    def __repr__(self) -> str:
        return f"list<{self.element!r}>"


class SetType(Type[T]):
    """A set type; a `frozenset` in Python if `is_frozen`."""

    __slots__ = ("element", "is_frozen")

    def __init__(self, element: Type[Any], *, is_frozen: bool = False) -> None:
        self.element = element
        self.is_frozen = is_frozen

    def __repr__(self) -> str:
        return f"set<{self.element!r}>"


class MapType(Type[T]):
    """A map type; a `FrozenMap` in Python if `is_frozen`."""

    __slots__ = ("is_frozen", "key", "value")

    def __init__(self, key: Type[Any], value: Type[Any], *, is_frozen: bool = False) -> None:
        self.key = key
        self.value = value
        self.is_frozen = is_frozen

    def __repr__(self) -> str:
        return f"map<{self.key!r}, {self.value!r}>"


class StructType(Type[T]):
    """A struct, union or exception type, given as a class or as a function that returns it later."""

    __slots__ = ("_class",)

    def __init__(self, cls: type[T] | Callable[[], type[T]]) -> None:
        self._class = cls

    @property
    def cls(self) -> type[T]:
        """The class. For recursive types, the function that returns it is called on first use."""
        if not isinstance(self._class, type):
            self._class = self._class()
        return cast("type[T]", self._class)

    def __repr__(self) -> str:
        return self.cls.__name__


BOOL: Final[Type[bool]] = BaseType("bool")
I8: Final[Type[int]] = BaseType("i8")
I16: Final[Type[int]] = BaseType("i16")
I32: Final[Type[int]] = BaseType("i32")
I64: Final[Type[int]] = BaseType("i64")
DOUBLE: Final[Type[float]] = BaseType("double")
STRING: Final[Type[str]] = BaseType("string")
BINARY: Final[Type[bytes]] = BaseType("binary")
UUID: Final[Type[uuid.UUID]] = BaseType("uuid")
VOID: Final[Type[None]] = VoidType()


def list_of(element: Type[T]) -> Type[list[T]]:
    """Return the type `list<element>`: a `list`."""
    return ListType(element)


def set_of(element: Type[T]) -> Type[set[T]]:
    """Return the type `set<element>`: a `set`."""
    return SetType(element)


def map_of(key: Type[K], value: Type[V]) -> Type[dict[K, V]]:
    """Return the type `map<key, value>`: a `dict`."""
    return MapType(key, value)


def frozen_list_of(element: Type[T]) -> Type[tuple[T, ...]]:
    """Return the type `list<element>` in key position: a `tuple`."""
    return ListType(element, is_frozen=True)


def frozen_set_of(element: Type[T]) -> Type[frozenset[T]]:
    """Return the type `set<element>` in key position: a `frozenset`."""
    return SetType(element, is_frozen=True)


def frozen_map_of(key: Type[K], value: Type[V]) -> Type[FrozenMap[K, V]]:
    """Return the type `map<key, value>` in key position: a `FrozenMap`."""
    return MapType(key, value, is_frozen=True)


def enum(cls: type[E]) -> Type[E]:
    """Return the type of an enum class."""
    return EnumType(cls)


def struct(cls: type[T] | Callable[[], type[T]]) -> Type[T]:
    """Return the type of a struct, union or exception class.

    Args:
        cls: the class, or a function that returns it if it is not defined yet.
    """
    return cast("Type[T]", StructType(cls))
