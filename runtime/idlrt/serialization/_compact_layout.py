"""Type numbers of the compact protocol, varints and zigzag.

A number takes seven bits a byte, the lowest first; the high bit is set if more bytes follow. Signed numbers are
"zigzag" ones: 0, -1, 1, -2 are 0, 1, 2, 3. Five bytes hold 32 bits, ten hold 64.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Final

from idlrt.serialization.types import TypeId

__all__ = ["CODES", "MINIMUM_SIZES", "PROTOCOL_ID", "TRUE", "TYPES", "VERSION", "unzigzag", "varint", "zigzag"]

PROTOCOL_ID: Final = 0x82
VERSION: Final = 1

# As an element type both numbers of booleans stand for them; as the value of an element, 1 is true.
TRUE: Final = 1
_FALSE: Final = 2

CODES: Final[dict[int, int]] = {
    TypeId.BOOL: TRUE,
    TypeId.I8: 3,
    TypeId.I16: 4,
    TypeId.I32: 5,
    TypeId.I64: 6,
    TypeId.DOUBLE: 7,
    TypeId.STRING: 8,
    TypeId.LIST: 9,
    TypeId.SET: 10,
    TypeId.MAP: 11,
    TypeId.STRUCT: 12,
    TypeId.UUID: 13,
}
"""Compact type number by `TypeId`."""

_BY_CODE = {code: int(type) for type, code in CODES.items()} | {_FALSE: int(TypeId.BOOL)}

TYPES: Final = tuple(_BY_CODE.get(code, -code) for code in range(16))
"""`TypeId` by compact type number; minus the number if the type does not exist."""

MINIMUM_SIZES: Final[dict[int, int]] = dict.fromkeys(map(int, CODES), 1) | {TypeId.DOUBLE: 8, TypeId.UUID: 16}
"""Minimum size of an element of each type, in bytes."""


def zigzag(number: int) -> int:
    """Return the zigzag encoding of a signed number."""
    return number << 1 if number >= 0 else ~(number << 1)


def unzigzag(number: int) -> int:
    """Decode a zigzag number."""
    return (number >> 1) ^ -(number & 1)


def varint(number: int) -> bytes:
    """Return the varint of a number of 0 or more."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
