"""Layout of Thrift's JSON: names of types, and separators.

A struct is `{"1":{"i64":5},"2":{"str":"x"}}`, a list or set `["i64",2,5,6]`, a map `["str","i64",1,{"a":5}]`.
Keys of maps are any values, so with a struct as key it is no JSON that other parsers read; numbers are quoted there.

Source: Apache's implementations (`TJSONProtocol`); there is no other specification.
"""

from __future__ import annotations

import enum
from typing import Final

from idlrt.serialization.types import TypeId

__all__ = ["AFTER", "BEFORE", "IS_KEY", "MINIMUM_SIZES", "NAMES", "TYPES", "VERSION", "Context"]

VERSION: Final = 1

NAMES: Final[dict[int, bytes]] = {
    TypeId.BOOL: b"tf",
    TypeId.I8: b"i8",
    TypeId.I16: b"i16",
    TypeId.I32: b"i32",
    TypeId.I64: b"i64",
    TypeId.DOUBLE: b"dbl",
    TypeId.STRING: b"str",
    TypeId.STRUCT: b"rec",
    TypeId.LIST: b"lst",
    TypeId.SET: b"set",
    TypeId.MAP: b"map",
    TypeId.UUID: b"uid",
}
"""Name by `TypeId`."""

TYPES: Final = {name: int(type) for type, name in NAMES.items()}
"""`TypeId` by name."""

MINIMUM_SIZES: Final[dict[int, int]] = dict.fromkeys(map(int, NAMES), 2)
"""Minimum size of an element in bytes: its separator and one more."""


class Context(enum.IntEnum):
    """Position within a JSON container."""

    VALUE = 0  # of a field
    ELEMENT = 1
    FIRST_KEY = 2
    PAIR_VALUE = 3
    KEY = 4


BEFORE: Final = (b"", b",", b"", b":", b",")
"""Separator before the value, by context."""

AFTER: Final = (Context.VALUE, Context.ELEMENT, Context.PAIR_VALUE, Context.KEY, Context.PAIR_VALUE)
"""Next context after the value, by context."""

IS_KEY: Final = (False, False, True, False, True)
"""Whether numbers are quoted, by context."""
