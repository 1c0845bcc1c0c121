"""Memory of decoded values: one cost table for both backends, and the budget of a message.

A reader starts with the budget of its message and charges what it is about to make. Both backends charge the same
amounts at the same places, so they refuse the same inputs with the same text. To be cheap, charges are few: one for
the message's own bytes (which covers the bytes of all text), one at the head of each container before it is made, and
one at the end of each struct. Amounts are bytes, rounded up from what CPython takes.

    message     its own bytes, once
    record      56 + 8 a field, and `FIELD` for each field that came
    struct      the size of its objects + 16 (the garbage collector's head), and `FIELD` for each field that came
    list        72 + (8 + ELEMENT) a member; a frozen one 16 + 8 a member more, because it is copied
    set         232 + (100 + ELEMENT) a member
    map         80 + (100 + ELEMENT of the key + ELEMENT of the value) a pair; a frozen one 144 + 100 a pair more
    ELEMENT     0 for booleans, enums, structs and containers; 32 a number, 56 a text, 112 a uuid
    enum        `UNKNOWN_MEMBER` for a number without a name

Fields that are skipped cost nothing.

Whether a message can reach its budget is known from its size: the memory of a value has an upper bound for each of its
bytes on the wire (`Costs`). Pure readers count only for messages that can.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from idlrt.serialization._binary_layout import type_id
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import EXPANSION_FLOOR
from idlrt.spec import BaseType, EnumType, Field, ListType, MapType, SetType, StructType, Type

__all__ = [
    "FIELD",
    "UNKNOWN_MEMBER",
    "Costs",
    "budget_of",
    "container_cost",
    "costs_of_class",
    "costs_of_record",
    "member_cost",
    "record_cost",
    "struct_cost",
]

FIELD: Final = 56
UNKNOWN_MEMBER: Final = 344

_GC_HEAD: Final = 16
_ELEMENT: Final = {"bool": 0, "string": 56, "binary": 56, "uuid": 112}
_NUMBER: Final = 32


def budget_of(limits: Limits, received: int) -> int:
    """Return the memory budget of a message, in bytes.

    Args:
        received: bytes of the message as they arrived, compressed ones where it was compressed.
    """
    return min(limits.max_decoded, EXPANSION_FLOOR + limits.max_expansion * received)


def struct_cost(cls: Any) -> int:
    """Return the cost of an object of a generated class, without its values."""
    size: int = cls.__basicsize__
    return size + _GC_HEAD


def record_cost(fields: Sequence[Field[Any]]) -> int:
    """Return the cost of the tuple of a record, without its values."""
    return 56 + 8 * len(fields)


def container_cost(type: ListType[Any] | SetType[Any] | MapType[Any]) -> int:
    """Return the cost of an empty container."""
    match type:
        case ListType():
            return 88 if type.is_frozen else 72
        case SetType():
            return 232
        case MapType():
            return 224 if type.is_frozen else 80


def member_cost(type: ListType[Any] | SetType[Any] | MapType[Any]) -> int:
    """Return the cost of an element or pair of a container: its slot, and the fixed part of the element."""
    match type:
        case ListType():
            return (16 if type.is_frozen else 8) + _element_cost(type.element)
        case SetType():
            return 100 + _element_cost(type.element)
        case MapType():
            return _pair_cost(type) + _element_cost(type.key) + _element_cost(type.value)


def _pair_cost(type: MapType[Any]) -> int:
    return 200 if type.is_frozen else 100


def _element_cost(type: Type[Any]) -> int:
    return _ELEMENT.get(type.name, _NUMBER) if isinstance(type, BaseType) else 0


class Costs(msgspec.Struct, frozen=True):
    """Upper bound of the cost of messages of a type.

    Attributes:
        root: of the outermost value.
        per_byte: of everything in it, for each byte of the message.
    """

    root: int
    per_byte: int

    def bound(self, size: int) -> int:
        """Return the maximum cost of a message of `size` bytes."""
        return self.root + self.per_byte * size


def costs_of_class(cls: Any, minimum: dict[int, int], head: int) -> Costs:
    """Return the bound of a generated class.

    Args:
        minimum: type → bytes that an element of it takes at least, as the protocol has it.
        head: bytes that the head of a field takes at least.
    """
    return _costs(struct_cost(cls), cls.__thrift_fields__, minimum, head)


def costs_of_record(fields: Sequence[Field[Any]], minimum: dict[int, int], head: int) -> Costs:
    """Return the bound of a record."""
    return _costs(record_cost(fields), fields, minimum, head)


def _costs(root: int, fields: Sequence[Field[Any]], minimum: dict[int, int], head: int) -> Costs:
    """Walk all types that a field table refers to, and find the highest cost per byte on the wire.

    Each cost is divided by bytes that nothing else is divided by: that of a value with its place in a container by
    the bytes which a value takes at least, that of a field by those of its head.
    """
    most = FIELD / head
    seen: set[Any] = set()
    # A type, and what a place for it costs.
    coming: list[tuple[Type[Any], int]] = [(field.type, 0) for field in fields]
    while coming:
        type, place = coming.pop()
        size = minimum[type_id(type)]
        match type:
            case StructType():
                table: tuple[Field[Any], ...] = type.cls.__thrift_fields__
                required = sum(field.is_required for field in table)
                cost, size = place + struct_cost(type.cls) + FIELD * required, 1 + head * required
                if type.cls not in seen:
                    seen.add(type.cls)
                    coming += [(field.type, 0) for field in table]
            case ListType() | SetType():
                cost = place + container_cost(type)
                coming.append((type.element, member_cost(type) - _element_cost(type.element)))
            case MapType():
                cost = place + container_cost(type)
                coming += [(type.key, _pair_cost(type)), (type.value, 0)]
            case EnumType():
                cost = place + UNKNOWN_MEMBER
            case _:
                cost = place + _element_cost(type)
        most = max(most, cost / size)
    return Costs(root, 1 + math.ceil(most))  # the message's own bytes
