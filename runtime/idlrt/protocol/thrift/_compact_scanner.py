"""Incremental scanner that finds the end of an unframed message of the compact protocol.

The scanner keeps its position in an explicit stack. When bytes are missing, it rereads only the few bytes of the
element header in which they end.
"""

from __future__ import annotations

from typing import Final

from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization._compact_layout import MINIMUM_SIZES, PROTOCOL_ID, TYPES, VERSION
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import (
    DecodeError,
    out_of_range,
    over_limit,
    over_long,
    public_error,
    too_deep,
    too_long,
    unknown_type,
)
from idlrt.serialization.types import TypeId

__all__ = ["CompactScanner", "not_compact", "not_compact_version"]

_BOOL, _STRING, _STRUCT, _MAP = int(TypeId.BOOL), int(TypeId.STRING), int(TypeId.STRUCT), int(TypeId.MAP)
_LISTS: Final = (int(TypeId.LIST), int(TypeId.SET))
_FIXED: Final = {_BOOL: 1, int(TypeId.I8): 1, int(TypeId.DOUBLE): 8, int(TypeId.UUID): 16}
_VARINTS: Final = (int(TypeId.I16), int(TypeId.I32), int(TypeId.I64))


def not_compact(offset: int, found: int) -> str:
    """Return the text of the error for a message that does not start with the compact protocol's id."""
    return f"unexpected byte {found:#04x} at offset {offset}, compact messages start with {PROTOCOL_ID:#04x}"


def not_compact_version(offset: int, found: int) -> str:
    """Return the text of the error for an unsupported version of the compact protocol."""
    return f"unsupported version {found} at offset {offset}, the compact protocol has {VERSION}"


class _More(Exception):
    """More bytes are needed."""


class _Struct:
    """An unfinished struct, with the number of containers around it within its outer struct."""

    __slots__ = ("containers",)

    def __init__(self, containers: int) -> None:
        self.containers = containers


class _Values:
    """An unfinished container: alternating types, index of the current one, and number of values left."""

    __slots__ = ("count", "turn", "types")

    def __init__(self, types: tuple[int, ...], count: int) -> None:
        self.types = types
        self.turn = 0
        self.count = count


class CompactScanner:
    """Finds the end of one message without a length prefix, including its header.

    It accepts every message that a reader with the same limits accepts. A reader knows the nesting of containers from
    the IDL; here `max_depth` limits it, separately within each struct.

    Args:
        limits: `max_message` limits the size of a message; the others apply as in a reader.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._offset = 0
        self._has_head = False
        self._stack: list[_Struct | _Values] = [_Struct(0)]
        self._structs = 1
        self._containers = 0

    def scan(self, buffer: bytes | bytearray) -> int | None:
        try:
            if not self._has_head:
                self._scan_head(buffer)
            while self._stack:
                inner = self._stack[-1]
                if isinstance(inner, _Struct):
                    self._scan_field(buffer, inner)
                else:
                    self._scan_element(buffer, inner)
        except _More:
            return None
        except DecodeError as error:
            raise public_error(error, "message") from None
        return self._offset if len(buffer) >= self._offset else None

    def _move(self, offset: int) -> None:
        if offset > self._limits.max_message:
            raise too_long(self._limits.max_message)
        self._offset = offset

    def _varint(self, buffer: bytes | bytearray, offset: int, most: int) -> tuple[int, int]:
        """Return a number and the offset after it."""
        number = shift = 0
        for position in range(offset, min(offset + most, len(buffer))):
            byte = buffer[position]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, position + 1
            shift += 7
        if len(buffer) - offset >= most:
            raise over_long(offset, most)
        raise _More

    def _size(self, buffer: bytes | bytearray, offset: int) -> tuple[int, int]:
        number, end = self._varint(buffer, offset, 5)
        if number >> 31:
            raise out_of_range(offset, number, "i32")
        return number, end

    def _string(self, buffer: bytes | bytearray, offset: int) -> int:
        """Return the offset after a string."""
        length, offset = self._size(buffer, offset)
        if length > self._limits.max_string:
            raise over_limit(offset, length, "max_string", self._limits.max_string)
        return offset + length

    def _scan_head(self, buffer: bytes | bytearray) -> None:
        if len(buffer) > 0 and buffer[0] != PROTOCOL_ID:
            raise DecodeError(not_compact(0, buffer[0]))
        if len(buffer) < 2:
            raise _More
        byte = buffer[1]
        if byte & 0x1F != VERSION:
            raise DecodeError(not_compact_version(1, byte & 0x1F))
        if byte >> 5 not in MessageType._value2member_map_:
            raise DecodeError(f"unknown message type {byte >> 5} at offset 1")
        number, offset = self._varint(buffer, 2, 5)
        if number >> 32:
            raise out_of_range(2, number, "32 bits")
        self._move(self._string(buffer, offset))
        self._has_head = True

    def _scan_field(self, buffer: bytes | bytearray, inner: _Struct) -> None:
        """Skip one field or the end of a struct, or enter the value of the field."""
        offset = self._offset
        if offset >= len(buffer):
            self._move(offset)
            raise _More
        byte = buffer[offset]
        code = byte & 0x0F
        if not code:
            self._move(offset + 1)
            self._stack.pop()
            self._structs -= 1
            self._containers = inner.containers
            return
        offset += 1
        if byte < 0x10:
            _, offset = self._varint(buffer, offset, 5)
        type = TYPES[code]
        if type == _BOOL:
            self._move(offset)
        else:
            self._scan_value(buffer, type, offset)

    def _scan_element(self, buffer: bytes | bytearray, inner: _Values) -> None:
        """Skip or enter one element."""
        if not inner.count:
            self._stack.pop()
            self._containers -= 1
            return
        self._scan_value(buffer, inner.types[inner.turn], self._offset)
        inner.count -= 1
        inner.turn = (inner.turn + 1) % len(inner.types)

    def _scan_value(self, buffer: bytes | bytearray, type: int, offset: int) -> None:
        """Skip or enter the value at `offset`. Raises `_More` without a change if its first bytes are missing."""
        if type in _VARINTS:
            self._move(self._varint(buffer, offset, 10)[1])
        elif type in _FIXED:
            self._move(offset + _FIXED[type])
        elif type == _STRING:
            self._move(self._string(buffer, offset))
        elif type == _STRUCT:
            self._move(offset)
            if self._structs > self._limits.max_depth:
                raise too_deep(offset, self._limits.max_depth)
            self._stack.append(_Struct(self._containers))
            self._structs += 1
            self._containers = 0
        elif type == _MAP:
            length, offset = self._size(buffer, offset)
            if not length:
                self._move(offset)
                return
            if offset >= len(buffer):
                raise _More
            self._enter((TYPES[buffer[offset] >> 4], TYPES[buffer[offset] & 0x0F]), length, offset + 1)
        elif type in _LISTS:
            if offset >= len(buffer):
                raise _More
            byte = buffer[offset]
            length, offset = byte >> 4, offset + 1
            if length == 15:
                length, offset = self._size(buffer, offset)
            self._enter((TYPES[byte & 0x0F],), length, offset)
        else:
            raise unknown_type(offset, type)

    def _enter(self, types: tuple[int, ...], length: int, offset: int) -> None:
        if length > self._limits.max_container:
            raise over_limit(offset, length, "max_container", self._limits.max_container)
        self._move(offset)
        if not length:
            return
        for type in types:
            if type not in MINIMUM_SIZES:
                raise unknown_type(offset, type)
        if all(type in _FIXED for type in types):
            self._move(offset + length * sum(_FIXED[type] for type in types))
            return
        if self._containers > self._limits.max_depth:
            raise too_deep(offset, self._limits.max_depth)
        self._containers += 1
        self._stack.append(_Values(types, length * len(types)))
