"""Passing over values without reading them, and the errors of reading.

`skip` works on a message that is all there. `BinaryScanner` finds the end of a message that is still
arriving and has no length in front: it keeps its place in a stack of its own, so that a peer that sends
byte by byte costs no more than one that sends all at once.
"""

from __future__ import annotations

import struct

from idlrt.errors import RemoteProtocolError
from idlrt.wire._binary_layout import MINIMUM_SIZES
from idlrt.wire.protocol import Limits
from idlrt.wire.types import MessageKind, TypeId

__all__ = ["BinaryScanner", "missing", "over_limit", "skip", "too_deep", "too_short", "unknown_type", "wrong_elements"]

_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_list = struct.Struct(">BI").unpack_from
_unpack_map = struct.Struct(">BBI").unpack_from

_FIXED = {
    number: size
    for number, size in MINIMUM_SIZES.items()
    if number not in (TypeId.STRING, TypeId.STRUCT, TypeId.MAP, TypeId.SET, TypeId.LIST)
}


def too_short(offset: int, wanted: int, end: int, label: str) -> RemoteProtocolError:
    """The message ends within a value."""
    left = max(end - offset, 0)
    return RemoteProtocolError(f"cannot read {label}: it needs {wanted} bytes at offset {offset}, {left} are left")


def over_limit(offset: int, value: int, limit: str, most: int, label: str) -> RemoteProtocolError:
    """A length is more than this side accepts."""
    return RemoteProtocolError(f"cannot read {label}: {value} at offset {offset} is over the limit {limit}={most}")


def too_deep(offset: int, label: str, most: int) -> RemoteProtocolError:
    """Values are nested deeper than this side accepts."""
    return RemoteProtocolError(f"cannot read {label}: nesting at offset {offset} is over the limit max_depth={most}")


def missing(offset: int, label: str, name: str) -> RemoteProtocolError:
    """A required field did not come."""
    what = f"its required field {name!r} is missing (it ends at offset {offset})"
    return RemoteProtocolError(f"cannot read {label}: {what}")


def wrong_elements(
    offset: int, got: int, wanted: int, label: str, got2: int = 0, wanted2: int = 0
) -> RemoteProtocolError:
    """A container holds values of another type than the IDL says."""
    got_text = _name(got) if not wanted2 else f"{_name(got)} and {_name(got2)}"
    wanted_text = _name(wanted) if not wanted2 else f"{_name(wanted)} and {_name(wanted2)}"
    what = f"its elements at offset {offset} are {got_text}, not {wanted_text}"
    return RemoteProtocolError(f"cannot read {label}: {what}")


def unknown_type(offset: int, number: int) -> RemoteProtocolError:
    """A type number that the protocol does not have."""
    return RemoteProtocolError(f"cannot read the message: there is no type {number} (at offset {offset})")


def _name(number: int) -> str:
    return TypeId(number).name.lower() if number in MINIMUM_SIZES else f"type {number}"


def skip(data: bytes, offset: int, end: int, type: int, depth: int, max_depth: int) -> int:
    """The offset after a value of `type` that starts at `offset`.

    Args:
        end: where the message ends; `data` may go on (see `_binary_reader.PADDING`).
        depth: how many structs may still nest; containers count too, because nothing else bounds them.
    """
    size = _FIXED.get(type)
    if size is not None:
        return offset + size
    if type == TypeId.STRING:
        (length,) = _unpack_u32(data, offset)
        if offset + 4 + length > end:
            raise too_short(offset + 4, length, end, "an unknown field")
        return int(offset + 4 + length)
    if depth < (1 if type == TypeId.STRUCT else 0):
        raise too_deep(offset, "an unknown field", max_depth)
    if type == TypeId.STRUCT:
        while number := data[offset]:
            offset = skip(data, offset + 3, end, number, depth - 1, max_depth)
            if offset > end:
                break
        return offset + 1
    if type in (TypeId.LIST, TypeId.SET):
        element, length = _unpack_list(data, offset)
        return _skip_elements(data, offset + 5, end, (element,), length, depth, max_depth)
    if type == TypeId.MAP:
        key, value, length = _unpack_map(data, offset)
        return _skip_elements(data, offset + 6, end, (key, value), length, depth, max_depth)
    raise unknown_type(offset, type)


def _skip_elements(
    data: bytes, offset: int, end: int, types: tuple[int, ...], length: int, depth: int, max_depth: int
) -> int:
    if length == 0:
        return offset
    minimum = 0
    for type in types:
        if type not in MINIMUM_SIZES:
            raise unknown_type(offset, type)
        minimum += MINIMUM_SIZES[type]
    if length * minimum > end - offset:
        raise too_short(offset, length * minimum, end, "an unknown field")
    if all(type in _FIXED for type in types):
        return offset + length * minimum
    for _ in range(length):
        for type in types:
            offset = skip(data, offset, end, type, depth - 1, max_depth)
    return offset


# What a scanner still has to pass, innermost last: a struct, with how many containers are around it within
# the struct around it; or values of the types that take turns, with how many are left.
_STRUCT, _VALUES = 0, 1

_HEADS: dict[int, int] = {TypeId.STRING: 4, TypeId.LIST: 5, TypeId.SET: 5, TypeId.MAP: 6}


class BinaryScanner:
    """Finds the end of one message without a length in front, head included (strict or old).

    It passes whatever a reader with the same limits reads. A reader knows from the IDL how deep containers
    nest; here `max_depth` bounds them, anew within each struct.

    Args:
        limits: `max_message` bounds how much is waited for; the others hold as in a reader.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._offset = 0
        self._has_head = False
        self._stack: list[tuple[int, tuple[int, ...], int]] = [(_STRUCT, (), 0)]
        self._structs = 1
        self._containers = 0

    def scan(self, buffer: bytes | bytearray) -> int | None:
        """See `MessageScanner.scan`."""
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

    def _move(self, offset: int, label: str) -> None:
        if offset > self._limits.max_message:
            raise over_limit(self._offset, offset, "max_message", self._limits.max_message, label)
        self._offset = offset

    def _scan_head(self, buffer: bytes | bytearray) -> bool:
        if len(buffer) < 8:
            return False
        (first,) = _unpack_u32(buffer, 0)
        if first & 0x80000000:
            if first & 0xFFFFFF00 != 0x80010000:
                start = bytes(buffer[:4]).hex()
                raise RemoteProtocolError(
                    f"cannot read the message: it starts with {start}, which is no version of the binary protocol"
                )
            _check_kind(first & 0xFF)
            (length,) = _unpack_u32(buffer, 4)
            end = 8 + length + 4
        else:
            length = first
            end = 4 + length + 1 + 4
        if length > self._limits.max_string:
            raise over_limit(0, length, "max_string", self._limits.max_string, "the method's name")
        self._move(end, "the message's head")
        self._has_head = True
        return True

    def _scan_fields(self, buffer: bytes | bytearray, containers: int) -> bool:
        """Pass fields of a struct, to its end or to one that has to be entered. False if bytes are missing."""
        offset, available = self._offset, len(buffer)
        while offset < available:
            type = buffer[offset]
            if type == TypeId.STOP:
                self._move(offset + 1, "a struct")
                self._stack.pop()
                self._structs -= 1
                self._containers = containers
                return True
            size = _FIXED.get(type)
            if size is None:
                self._move(offset, "a field")
                return self._scan_value(buffer, type, offset + 3)
            offset += 3 + size
        self._move(offset, "a struct")
        return False

    def _scan_element(self, buffer: bytes | bytearray, types: tuple[int, ...], count: int) -> bool:
        """Pass or enter one element. False if bytes are missing."""
        if count == 0:
            self._stack.pop()
            self._containers -= 1
            return True
        position = len(self._stack) - 1
        if not self._scan_value(buffer, types[0], self._offset):
            return False
        # A map's key and value take turns: `types` is rotated.
        self._stack[position] = (_VALUES, types[1:] + types[:1], count - 1)
        return True

    def _scan_value(self, buffer: bytes | bytearray, type: int, offset: int) -> bool:
        """Pass or enter the value at `offset`. False, and nothing has changed, if its head is not there yet."""
        size = _FIXED.get(type)
        if size is not None:
            self._move(offset + size, "a value")
            return True
        if type == TypeId.STRUCT:
            self._move(offset, "a struct")
            if self._structs > self._limits.max_depth:
                raise too_deep(offset, "the message", self._limits.max_depth)
            self._stack.append((_STRUCT, (), self._containers))
            self._structs += 1
            self._containers = 0
            return True
        head = _HEADS.get(type)
        if head is None:
            raise unknown_type(offset, type)
        if offset + head > len(buffer):
            return False
        if type == TypeId.STRING:
            (length,) = _unpack_u32(buffer, offset)
            if length > self._limits.max_string:
                raise over_limit(offset, length, "max_string", self._limits.max_string, "a string")
            self._move(offset + 4 + length, "a string")
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
            raise over_limit(self._offset, length, "max_container", self._limits.max_container, "a container")
        self._move(offset, "a container")
        if length == 0:
            return
        for type in types:
            if type not in MINIMUM_SIZES:
                raise unknown_type(offset, type)
        if all(type in _FIXED for type in types):
            self._move(offset + length * sum(_FIXED[type] for type in types), "a container")
            return
        if self._containers > self._limits.max_depth:
            raise too_deep(offset, "the message", self._limits.max_depth)
        self._containers += 1
        self._stack.append((_VALUES, types, length * len(types)))


def _check_kind(number: int) -> None:
    if number not in MessageKind._value2member_map_:
        raise RemoteProtocolError(f"cannot read the message: there is no kind of message {number}")
