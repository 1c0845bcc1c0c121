"""Read primitives of the compact protocol; `_walk_primitives.Input` documents them.

A number that is too large for its field is an error here, because no writer writes one. Apache's C++ and Java libraries
silently truncate it to the field's bits, Apache's Python library returns it as it is.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import struct
import uuid
from typing import Final

from idlrt.serialization import _compact_layout as layout
from idlrt.serialization._compact_layout import TRUE, TYPES, unzigzag
from idlrt.serialization._walk_primitives import Input
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import bad_text, out_of_range, over_limit, over_long, too_short
from idlrt.serialization.options import TextErrors, text_errors_of
from idlrt.serialization.types import TypeId

__all__ = ["CompactInput"]

_unpack_double: Final = struct.Struct("<d").unpack_from

_END = (0, 0)
_FIXED: Final[dict[int, int]] = {TypeId.I8: 1, TypeId.DOUBLE: 8, TypeId.UUID: 16}
_BOOL, _STRING = TypeId.BOOL, TypeId.STRING


class CompactInput(Input):
    """Read primitives, an `Input` of `_walk_primitives`."""

    PROTOCOL = "compact"
    MINIMUM = layout.MINIMUM_SIZES
    FIELD_HEAD = 1
    CLOSES_FIELDS = False

    __slots__ = (
        "_bool",
        "_data",
        "_last",
        "_max_string",
        "_text_errors",
        "budget",
        "depth",
        "end",
        "offset",
        "received",
    )

    def __init__(self, data: bytes, start: int, limits: Limits) -> None:
        self._data = data
        self._max_string = limits.max_string
        self._text_errors: TextErrors = text_errors_of(limits)
        self._last = 0  # id of the previous field of this struct; the next id is sent as the difference
        self._bool = False  # the value of a boolean field, which its head has
        self.offset = start
        self.end = len(data)
        self.depth = limits.max_depth + 1

    def _take(self, size: int) -> int:
        """Consume `size` bytes; return their start."""
        offset = self.offset
        if size > self.end - offset:
            raise too_short(offset, size, self.end)
        self.offset = offset + size
        return offset

    def read_byte(self) -> int:
        """Read one byte."""
        offset = self.offset
        if offset >= self.end:
            raise too_short(offset, 1, self.end)
        self.offset = offset + 1
        return self._data[offset]

    def read_varint(self, most: int) -> int:
        """Read a varint of at most `most` bytes."""
        start = self.offset
        number = self.read_byte()
        if number < 0x80:
            return number
        number &= 0x7F
        shift = 7
        for _ in range(most - 1):
            byte = self.read_byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        raise over_long(start, most)

    def read_u32(self) -> int:
        """Read an unsigned number of 32 bits."""
        start = self.offset
        number = self.read_varint(5)
        if number >> 32:
            raise out_of_range(start, number, "32 bits")
        return number

    def _size(self) -> int:
        start = self.offset
        number = self.read_varint(5)
        if number >> 31:
            raise out_of_range(start, number, "i32")
        return number

    def begin_struct(self) -> int:
        last, self._last = self._last, 0
        return last

    def field(self) -> tuple[int, int]:
        offset = self.offset
        if offset >= self.end:
            raise too_short(offset, 1, self.end)
        byte = self._data[offset]
        code = byte & 0x0F
        if not code:  # whatever the other bits are, as in Apache's readers
            return _END
        self.offset = offset + 1
        if byte > 0x0F:
            id = self._last + (byte >> 4)
            if id > 0x7FFF:
                raise out_of_range(offset, id, "i16")
        else:
            id = self.read_i16()
        self._last = id
        if code < 3:
            self._bool = code == TRUE
        return TYPES[code], id

    def end_field(self) -> None:
        pass

    def end_struct(self, state: int) -> None:
        self.offset += 1
        self._last = state

    def list_head(self) -> tuple[int, int]:
        byte = self.read_byte()
        length = byte >> 4
        if length == 15:
            length = self._size()
        return TYPES[byte & 0x0F], length

    def end_list(self) -> None:
        pass

    def map_head(self) -> tuple[int, int, int]:
        length = self._size()
        if not length:
            return 0, 0, 0
        byte = self.read_byte()
        return TYPES[byte >> 4], TYPES[byte & 0x0F], length

    def end_map(self) -> None:
        pass

    def read_field_bool(self) -> bool:
        return self._bool

    def read_bool(self) -> bool:
        return self.read_byte() == TRUE

    def read_i8(self) -> int:
        number = self.read_byte()
        return number if number < 128 else number - 256

    def read_i16(self) -> int:
        start = self.offset
        number = self.read_varint(5)
        if number > 0xFFFF:
            raise out_of_range(start, unzigzag(number), "i16")
        return (number >> 1) ^ -(number & 1)

    def read_i32(self) -> int:
        start = self.offset
        if start < self.end and (number := self._data[start]) < 0x80:  # one byte: most numbers
            self.offset = start + 1
            return (number >> 1) ^ -(number & 1)
        number = self.read_varint(5)
        if number > 0xFFFFFFFF:
            raise out_of_range(start, unzigzag(number), "i32")
        return (number >> 1) ^ -(number & 1)

    def read_i64(self) -> int:
        start = self.offset
        if start < self.end and (number := self._data[start]) < 0x80:
            self.offset = start + 1
            return (number >> 1) ^ -(number & 1)
        number = self.read_varint(10)
        if number > 0xFFFFFFFFFFFFFFFF:
            raise out_of_range(start, unzigzag(number), "i64")
        return (number >> 1) ^ -(number & 1)

    def read_double(self) -> float:
        (number,) = _unpack_double(self._data, self._take(8))
        return float(number)

    def read_uuid(self) -> uuid.UUID:
        offset = self._take(16)
        return uuid.UUID(bytes=self._data[offset : offset + 16])

    def read_binary(self) -> bytes:
        start = self.offset
        if start < self.end and (length := self._data[start]) < 0x80:
            start = self.offset = start + 1
        else:
            length = self._size()
            start = self.offset
        if length > self._max_string:
            raise over_limit(start, length, "max_string", self._max_string)
        end = start + length
        if end > self.end:
            raise too_short(start, length, self.end)
        self.offset = end
        return self._data[start:end]

    def read_string(self) -> str:
        data = self.read_binary()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            if self._text_errors != "strict":
                return data.decode(errors=self._text_errors)
            raise bad_text(self.offset - len(data), error) from None

    def skip(self, type: int, is_field: bool) -> None:
        if type == _BOOL:
            if not is_field:
                self._take(1)
        elif type == _STRING:
            length = self._size()
            if length > self._max_string:
                raise over_limit(self.offset, length, "max_string", self._max_string)
            self._take(length)
        elif type in _FIXED:
            self._take(_FIXED[type])
        else:
            self.read_varint(10)

    def passed_field(self, start: int) -> bytes:
        # The value of a boolean is in the head.
        return bytes(self._data[start : self.offset]) or (b"\1" if self._bool else b"\2")
