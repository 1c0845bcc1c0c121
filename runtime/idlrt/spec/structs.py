"""Base classes of generated enums, structs and unions.

Structs are `msgspec.Struct`s: construction, equality, repr, JSON, MessagePack and JSON Schema are implemented in C. For
Thrift there is one table, `__thrift_fields__`, which `idlrt.serialization` compiles into a codec on first use.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import msgspec

# Imported at run time too, because msgspec evaluates these annotations when it reads or writes JSON.
from idlrt.spec.annotations import NO_ANNOTATIONS
from idlrt.spec.fields import Field
from idlrt.spec.frozen import value_hash
from idlrt.spec.sensitive import mask_fields
from idlrt.spec.unknown import PreservesUnknown, set_unknown, unknown_ids, unknown_of

__all__ = ["Enum", "FrozenStruct", "Struct", "Union", "empty_union", "name_of", "which"]

_I32_MIN, _I32_MAX = -(2**31), 2**31 - 1


class Enum(enum.IntEnum):
    """Base of generated enums. They are open: unknown numbers are preserved and written back unchanged.

    `Color(7)` for an undeclared number is an instance of `Color` that equals 7, has the name `UNKNOWN_7`, and is not in
    `list(Color)`.

    Attributes:
        __thrift_name__: name in the IDL, if it differs from the name in Python.
        __thrift_members__: name in Python → name in the IDL, of members where these differ.
        __thrift_annotations__: annotations of the enum.
        __thrift_member_annotations__: name in Python → annotations, of members that have some.
    """

    __thrift_name__: ClassVar[str] = ""
    __thrift_members__: ClassVar[Mapping[str, str]] = {}
    __thrift_annotations__: ClassVar[Mapping[str, str | tuple[str, ...]]] = NO_ANNOTATIONS
    __thrift_member_annotations__: ClassVar[Mapping[str, Mapping[str, str | tuple[str, ...]]]] = {}

    @classmethod
    def _missing_(cls, value: object) -> Enum | None:
        if not isinstance(value, int) or not _I32_MIN <= value <= _I32_MAX:
            return None
        # Not cached in the class: otherwise a peer could make it grow without bound.
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}" if value >= 0 else f"UNKNOWN_MINUS_{-value}"
        unknown._value_ = value
        return unknown

    @property
    def is_known(self) -> bool:
        """Whether the IDL declares this number."""
        return self._value_ in type(self)._value2member_map_


# `eq_default=False` tells type checkers that the `__hash__` below is inherited; at run time msgspec compares by value.
@dataclass_transform(eq_default=False, field_specifiers=(msgspec.field,))
class Struct(PreservesUnknown, msgspec.Struct):
    """Base of generated structs. Compared and hashed by value."""

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()
    __thrift_name__: ClassVar[str] = ""
    __thrift_annotations__: ClassVar[Mapping[str, str | tuple[str, ...]]] = NO_ANNOTATIONS

    def __init_subclass__(cls) -> None:
        mask_fields(cls)

    def __hash__(self) -> int:
        return _hash_of_fields(self)


@dataclass_transform(eq_default=False, frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenStruct(PreservesUnknown, msgspec.Struct, frozen=True):
    """Base of generated immutable structs (`python.immutable` in the IDL)."""

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()
    __thrift_name__: ClassVar[str] = ""
    __thrift_annotations__: ClassVar[Mapping[str, str | tuple[str, ...]]] = NO_ANNOTATIONS

    def __init_subclass__(cls) -> None:
        mask_fields(cls)

    def __hash__(self) -> int:
        return _hash_of_fields(self)


@dataclass_transform(eq_default=False, field_specifiers=(msgspec.field,))
class Union(PreservesUnknown, msgspec.Struct):
    """Base of generated unions: exactly one field is set, the others are `None`.

    The constructor raises `TypeError` for any other number of fields. If a newer peer sends a union with a field that
    is unknown here, no field is set: `which` returns `None`, and `repr` shows `<unknown field 7>`. The unknown field is
    written back until another one is set. Unions work with `match`: `case Payment(card=Card(number=number)): ...`.
    """

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()
    __thrift_name__: ClassVar[str] = ""
    __thrift_annotations__: ClassVar[Mapping[str, str | tuple[str, ...]]] = NO_ANNOTATIONS
    __thrift_default__: ClassVar[tuple[str, Callable[[], Any]] | None] = None

    def __init_subclass__(cls) -> None:
        mask_fields(cls)

    def __post_init__(self) -> None:
        names = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(names) == 1:
            return
        if not names and self.__thrift_default__ is not None:
            name, make = self.__thrift_default__
            setattr(self, name, make())
            return
        given = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise TypeError(f"{type(self).__name__} is a union: exactly one field must be set, got {given}")

    def __hash__(self) -> int:
        of_fields = _hash_of_fields(self)
        return of_fields if which(self) is not None else hash((of_fields, unknown_of(self)))

    if not TYPE_CHECKING:

        def __eq__(self, other: object) -> bool:
            # Unlike a struct, a union may consist of an unknown field only; such unions are distinct keys of a map.
            is_equal = super().__eq__(other)
            if is_equal is not True or which(self) is not None:
                return is_equal
            return unknown_of(self) == unknown_of(other)

        def __repr__(self) -> str:
            ids = unknown_ids(self) if which(self) is None else ()
            if not ids:
                return super().__repr__()
            return f"{type(self).__name__}({', '.join(f'<unknown field {id}>' for id in ids)})"

        def __reduce__(self) -> tuple[Any, ...]:
            encoded = unknown_of(self)
            if encoded is None or which(self) is not None:
                return super().__reduce__()
            return empty_union, (type(self), encoded)


def name_of(cls: type[Any]) -> str:
    """Return the name in the IDL of a generated class, which messages and documents have."""
    return getattr(cls, "__thrift_name__", "") or cls.__name__


def which(union: Union) -> str | None:
    """Return the name of the field that is set in a union; `None` if the field is unknown here."""
    return next((name for name in union.__struct_fields__ if getattr(union, name) is not None), None)


def empty_union(cls: type[Any], encoded: bytes = b"") -> Any:
    """Return a union whose field is unknown here.

    Args:
        encoded: encoded unknown fields, see `idlrt.spec.unknown`.
    """
    union = object.__new__(cls)
    for name in cls.__struct_fields__:
        setattr(union, name, None)
    if encoded:
        set_unknown(union, encoded)
    return union


def _hash_of_fields(value: msgspec.Struct) -> int:
    return hash((type(value), *[value_hash(getattr(value, name)) for name in value.__struct_fields__]))
