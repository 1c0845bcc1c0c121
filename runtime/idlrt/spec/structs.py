"""What generated enums, structs and unions are made of.

Structs are `msgspec.Struct`s: construction, equality, repr, JSON, MessagePack and JSON Schema run in C.
The Thrift side is one table, `__thrift_fields__`, that `idlrt.wire` compiles into a codec on first use.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import msgspec

# At run time too: msgspec evaluates these annotations when it reads or writes JSON.
from idlrt.spec.fields import Field
from idlrt.spec.frozen import value_hash

__all__ = ["Enum", "FrozenStruct", "Struct", "Union", "which"]

_I32_MIN, _I32_MAX = -(2**31), 2**31 - 1


class Enum(enum.IntEnum):
    """An open enum: a number without a name is kept, printed and written back as it came.

    `Color(7)` for a number that `Color` does not name is a member-like value: it is a `Color`, equals 7,
    has the name `UNKNOWN_7`, and is not one of `list(Color)`.
    """

    @classmethod
    def _missing_(cls, value: object) -> Enum | None:
        if not isinstance(value, int) or not _I32_MIN <= value <= _I32_MAX:
            return None
        # Not kept in the class: a peer could otherwise grow it without end.
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}" if value >= 0 else f"UNKNOWN_MINUS_{-value}"
        unknown._value_ = value
        return unknown

    @property
    def is_known(self) -> bool:
        """Whether the IDL names this number."""
        return self._value_ in type(self)._value2member_map_


# `eq_default=False` tells type checkers that the `__hash__` below is inherited; at run time msgspec compares by value.
@dataclass_transform(eq_default=False, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct):
    """The base of generated structs. Compared and hashed by value."""

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()

    def __hash__(self) -> int:
        return _hash_of_fields(self)


@dataclass_transform(eq_default=False, frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenStruct(msgspec.Struct, frozen=True):
    """The base of generated structs that cannot change once they are made (`python.immutable` in the IDL)."""

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()

    def __hash__(self) -> int:
        return _hash_of_fields(self)


@dataclass_transform(eq_default=False, field_specifiers=(msgspec.field,))
class Union(msgspec.Struct):
    """The base of generated unions: exactly one field is set, the others are `None`.

    Made with another number of fields it raises `TypeError`. A value that a newer peer sent with a field
    that this side does not know has no field set: `which` answers `None` for it, and it cannot be written.
    Works with `match`:
    `case Payment(card=Card(number=number)): ...`.
    """

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()
    __thrift_default__: ClassVar[tuple[str, Callable[[], Any]] | None] = None

    def __post_init__(self) -> None:
        names = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(names) == 1:
            return
        if not names and self.__thrift_default__ is not None:
            name, make = self.__thrift_default__
            setattr(self, name, make())
            return
        given = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise TypeError(f"{type(self).__name__} is a union: exactly one field must be set, not {given}")

    def __hash__(self) -> int:
        return _hash_of_fields(self)


def which(union: Union) -> str | None:
    """The name of the field that is set in a union; `None` if only a newer peer knows it."""
    return next((name for name in union.__struct_fields__ if getattr(union, name) is not None), None)


def _hash_of_fields(value: msgspec.Struct) -> int:
    return hash((type(value), *[value_hash(getattr(value, name)) for name in value.__struct_fields__]))
