"""Careful reader of the binary protocol: every step is validated, so that errors have a cause and an offset.

Only bytes that the fast reader has refused are read with this.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

import struct
import uuid
from typing import Final

from idlrt.serialization._binary_layout import MINIMUM_SIZES
from idlrt.serialization._walk_primitives import Input
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import bad_text, over_limit, too_short
from idlrt.serialization.options import TextErrors, text_errors_of
from idlrt.serialization.types import TypeId

__all__ = ["BinaryInput"]

_unpack_i16: Final = struct.Struct(">h").unpack_from
_unpack_i32: Final = struct.Struct(">i").unpack_from
_unpack_i64: Final = struct.Struct(">q").unpack_from
_unpack_u32: Final = struct.Struct(">I").unpack_from
_unpack_double: Final = struct.Struct(">d").unpack_from
_unpack_list: Final = struct.Struct(">BI").unpack_from
_unpack_map: Final = struct.Struct(">BBI").unpack_from

_END = (0, 0)


class BinaryInput(Input):
    """Read primitives, an `Input` of `_walk_primitives`."""

    PROTOCOL = "binary"
    MINIMUM = MINIMUM_SIZES
    FIELD_HEAD = 3
    CLOSES_FIELDS = False

    __slots__ = (
        "_data",
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

    def begin_struct(self) -> int:
        return 0

    def field(self) -> tuple[int, int]:
        offset = self._take(1)
        kind = self._data[offset]
        if kind == TypeId.STOP:
            self.offset = offset
            return _END
        (id,) = _unpack_i16(self._data, self._take(2))
        return kind, id

    def end_field(self) -> None:
        pass

    def end_struct(self, state: int) -> None:
        self.offset += 1

    def list_head(self) -> tuple[int, int]:
        kind, length = _unpack_list(self._data, self._take(5))
        return kind, length

    def end_list(self) -> None:
        pass

    def map_head(self) -> tuple[int, int, int]:
        key, value, length = _unpack_map(self._data, self._take(6))
        return key, value, length

    def end_map(self) -> None:
        pass

    def read_bool(self) -> bool:
        return self._data[self._take(1)] != 0

    read_field_bool = read_bool

    def read_i8(self) -> int:
        number = self._data[self._take(1)]
        return number if number < 128 else number - 256

    def read_i16(self) -> int:
        (number,) = _unpack_i16(self._data, self._take(2))
        return int(number)

    def read_i32(self) -> int:
        (number,) = _unpack_i32(self._data, self._take(4))
        return int(number)

    def read_i64(self) -> int:
        (number,) = _unpack_i64(self._data, self._take(8))
        return int(number)

    def read_double(self) -> float:
        (number,) = _unpack_double(self._data, self._take(8))
        return float(number)

    def read_uuid(self) -> uuid.UUID:
        offset = self._take(16)
        return uuid.UUID(bytes=self._data[offset : offset + 16])

    def read_binary(self) -> bytes:
        (length,) = _unpack_u32(self._data, self._take(4))
        if length > self._max_string:
            raise over_limit(self.offset, length, "max_string", self._max_string)
        offset = self._take(length)
        return self._data[offset : offset + length]

    def read_string(self) -> str:
        data = self.read_binary()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            if self._text_errors != "strict":
                return data.decode(errors=self._text_errors)
            raise bad_text(self.offset - len(data), error) from None

    def skip(self, type: int, is_field: bool) -> None:
        if type == TypeId.STRING:
            (length,) = _unpack_u32(self._data, self._take(4))
            if length > self._max_string:
                raise over_limit(self.offset, length, "max_string", self._max_string)
            self._take(length)
        else:
            self._take(MINIMUM_SIZES[type])

    def passed_field(self, start: int) -> bytes:
        return bytes(self._data[start : self.offset])
