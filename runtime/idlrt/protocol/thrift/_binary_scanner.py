"""Incremental scanner that finds the end of an unframed message of the binary protocol.

The scanner keeps its position in an explicit stack, so that a peer that sends byte by byte costs no more than one that
sends everything at once.
"""

from __future__ import annotations

import struct

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization._binary_layout import FIXED_SIZES, MINIMUM_SIZES
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import over_limit, public_error, too_deep, too_long, unknown_type
from idlrt.serialization.types import TypeId

__all__ = ["BinaryScanner"]

_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_list = struct.Struct(">BI").unpack_from
_unpack_map = struct.Struct(">BBI").unpack_from

# Entries of the stack, innermost last: a struct, with the number of containers around it within its outer struct; or
# values of alternating types, with the number that is left.
_STRUCT, _VALUES = 0, 1

_HEADS: dict[int, int] = {TypeId.STRING: 4, TypeId.LIST: 5, TypeId.SET: 5, TypeId.MAP: 6}


class BinaryScanner:
    """Finds the end of one message without a length prefix, including its header (strict or old).

    It accepts every message that a reader with the same limits accepts. A reader knows the nesting of containers from
    the IDL; here `max_depth` limits it, separately within each struct.

    Args:
        limits: `max_message` limits the size of a message; the others apply as in a reader.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._offset = 0
        self._has_head = False
        self._stack: list[tuple[int, tuple[int, ...], int]] = [(_STRUCT, (), 0)]
        self._structs = 1
        self._containers = 0

    def scan(self, buffer: bytes | bytearray) -> int | None:
        if not self._has_head and not self._scan_head(buffer):
            return None
        while self._stack:
            what, types, count = self._stack[-1]
            if what == _STRUCT:
                is_passed = self._scan_fields(buffer, count)
            else:
                is_passed = self._scan_element(buffer, types, count)
            if not is_passed:
                return None
        return self._offset if len(buffer) >= self._offset else None

    def _move(self, offset: int) -> None:
        if offset > self._limits.max_message:
            raise public_error(too_long(self._limits.max_message), "message")
        self._offset = offset

    def _scan_head(self, buffer: bytes | bytearray) -> bool:
        if len(buffer) < 8:
            return False
        (first,) = _unpack_u32(buffer, 0)
        if first & 0x80000000:
            if first & 0xFFFFFF00 != 0x80010000:
                what = f"unsupported version {first & 0xFFFFFF00:#x}, the binary protocol has 0x80010000"
                raise RemoteProtocolError(f"cannot read message: {what}")
            _check_kind(first & 0xFF)
            (length,) = _unpack_u32(buffer, 4)
            end = 8 + length + 4
        else:
            length = first
            end = 4 + length + 1 + 4
        if length > self._limits.max_string:
            raise public_error(over_limit(0, length, "max_string", self._limits.max_string), "method name")
        self._move(end)
        self._has_head = True
        return True

    def _scan_fields(self, buffer: bytes | bytearray, containers: int) -> bool:
        """Skip fields of a struct, up to its end or to a nested value. Returns `False` if bytes are missing."""
        offset, available = self._offset, len(buffer)
        while offset < available:
            type = buffer[offset]
            if type == TypeId.STOP:
                self._move(offset + 1)
                self._stack.pop()
                self._structs -= 1
                self._containers = containers
                return True
            size = FIXED_SIZES.get(type)
            if size is None:
                self._move(offset)
                return self._scan_value(buffer, type, offset + 3)
            offset += 3 + size
        self._move(offset)
        return False

    def _scan_element(self, buffer: bytes | bytearray, types: tuple[int, ...], count: int) -> bool:
        """Skip or enter one element. Returns `False` if bytes are missing."""
        if count == 0:
            self._stack.pop()
            self._containers -= 1
            return True
        position = len(self._stack) - 1
        if not self._scan_value(buffer, types[0], self._offset):
            return False
        # Keys and values of a map alternate: `types` is rotated.
        self._stack[position] = (_VALUES, types[1:] + types[:1], count - 1)
        return True

    def _scan_value(self, buffer: bytes | bytearray, type: int, offset: int) -> bool:
        """Skip or enter the value at `offset`. Returns `False` without a change if its first bytes are missing."""
        size = FIXED_SIZES.get(type)
        if size is not None:
            self._move(offset + size)
            return True
        if type == TypeId.STRUCT:
            self._move(offset)
            if self._structs > self._limits.max_depth:
                raise public_error(too_deep(offset, self._limits.max_depth), "message")
            self._stack.append((_STRUCT, (), self._containers))
            self._structs += 1
            self._containers = 0
            return True
        head = _HEADS.get(type)
        if head is None:
            raise public_error(unknown_type(offset, type), "message")
        if offset + head > len(buffer):
            return False
        if type == TypeId.STRING:
            (length,) = _unpack_u32(buffer, offset)
            if length > self._limits.max_string:
                raise public_error(over_limit(offset, length, "max_string", self._limits.max_string), "string")
            self._move(offset + 4 + length)
            return True
        types: tuple[int, ...]
        if type == TypeId.MAP:
            key, value, length = _unpack_map(buffer, offset)
            types = (key, value)
        else:
            element, length = _unpack_list(buffer, offset)
            types = (element,)
        self._enter_container(types, length, offset + head)
        return True

    def _enter_container(self, types: tuple[int, ...], length: int, offset: int) -> None:
        if length > self._limits.max_container:
            raise public_error(
                over_limit(self._offset, length, "max_container", self._limits.max_container), "container"
            )
        self._move(offset)
        if length == 0:
            return
        for type in types:
            if type not in MINIMUM_SIZES:
                raise public_error(unknown_type(offset, type), "message")
        if all(type in FIXED_SIZES for type in types):
            self._move(offset + length * sum(FIXED_SIZES[type] for type in types))
            return
        if self._containers > self._limits.max_depth:
            raise public_error(too_deep(offset, self._limits.max_depth), "message")
        self._containers += 1
        self._stack.append((_VALUES, types, length * len(types)))


def _check_kind(number: int) -> None:
    if number not in MessageType._value2member_map_:
        raise RemoteProtocolError(f"cannot read message: unknown message type {number}")
