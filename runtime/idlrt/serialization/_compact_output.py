"""Write primitives of the compact protocol; `_walk_primitives.Output` documents them.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import struct
from operator import index
from typing import Any, Final

from idlrt.serialization._compact_layout import CODES, TRUE, varint, zigzag
from idlrt.serialization._walk_primitives import Output, bytes_of
from idlrt.serialization.base import Limits
from idlrt.serialization.options import WriteErrors, write_errors_of

__all__ = ["CompactOutput"]

_pack_double: Final = struct.Struct("<d").pack
_FALSE: Final = 2


class CompactOutput(Output):
    """Write primitives, an `Output` of `_walk_primitives`."""

    PROTOCOL = "compact"
    CLOSES_FIELDS = False

    __slots__ = ("_data", "_last", "_text_errors", "depth")

    def __init__(self, limits: Limits) -> None:
        self._data = bytearray()
        self._text_errors: WriteErrors = write_errors_of(limits)
        self._last = 0
        self.depth = limits.max_depth + 1

    def taken(self) -> bytes:
        return bytes(self._data)

    def begin_struct(self) -> int:
        last, self._last = self._last, 0
        return last

    def _head(self, code: int, id: int) -> None:
        distance = id - self._last
        if 0 < distance <= 15:
            self._data.append(distance << 4 | code)
        else:
            self._data.append(code)
            self._varint(zigzag(id))
        self._last = id

    def field(self, type: int, id: int) -> None:
        self._head(CODES[type], id)

    def write_field_bool(self, id: int, value: Any) -> None:
        self._head(TRUE if value else _FALSE, id)

    def end_field(self) -> None:
        pass

    def end_struct(self, state: int) -> None:
        self._data.append(0)
        self._last = state

    def begin_list(self, element: int, length: int) -> None:
        if length < 15:
            self._data.append(length << 4 | CODES[element])
        else:
            self._data.append(0xF0 | CODES[element])
            self._varint(length)

    def end_list(self) -> None:
        pass

    def begin_map(self, key: int, value: int, length: int) -> None:
        self._varint(length)
        if length:
            self._data.append(CODES[key] << 4 | CODES[value])

    def end_map(self) -> None:
        pass

    def _varint(self, number: int) -> None:
        if number < 0x80:
            self._data.append(number)
        else:
            self._data += varint(number)

    def _whole(self, value: Any, most: int) -> None:
        number = value if value.__class__ is int else index(value)
        if not -most <= number < most:
            raise OverflowError("a number does not fit its type")
        number = number << 1 if number >= 0 else ~(number << 1)
        if number < 0x80:
            self._data.append(number)
        else:
            self._data += varint(number)

    def write_bool(self, value: Any) -> None:
        self._data.append(TRUE if value else _FALSE)

    def write_i8(self, value: Any) -> None:
        if not -0x80 <= index(value) <= 0x7F:
            raise OverflowError("a number does not fit its type")
        self._data.append(index(value) & 0xFF)

    def write_i16(self, value: Any) -> None:
        self._whole(value, 1 << 15)

    def write_i32(self, value: Any) -> None:
        self._whole(value, 1 << 31)

    def write_i64(self, value: Any) -> None:
        self._whole(value, 1 << 63)

    def write_double(self, value: Any) -> None:
        self._data += _pack_double(value)

    def write_uuid(self, value: Any) -> None:
        self._data += value.bytes

    def write_binary(self, value: Any) -> None:
        data = value if value.__class__ is bytes else bytes_of(value)
        self._varint(len(data))
        self._data += data

    def write_string(self, value: Any) -> None:
        data: bytes
        try:
            data = value.encode()
        except UnicodeEncodeError:
            data = value.encode("utf-8", self._text_errors)
        self._varint(len(data))
        self._data += data

    def write_passed(self, data: bytes) -> None:
        self._data += data
