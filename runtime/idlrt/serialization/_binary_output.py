"""Write primitives of the binary protocol, for values without a field table.

Everything else is written by functions that are compiled (`_binary_writer`).

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

import struct
from typing import Any

from idlrt.serialization._walk_primitives import Output, bytes_of
from idlrt.serialization.base import Limits
from idlrt.serialization.types import TypeId

__all__ = ["BinaryOutput"]

_BOOL = int(TypeId.BOOL)


class BinaryOutput(Output):
    """Write primitives, an `Output` of `_walk_primitives`."""

    PROTOCOL = "binary"
    CLOSES_FIELDS = False

    __slots__ = ("_data", "depth")

    def __init__(self, limits: Limits) -> None:
        self._data = bytearray()
        self.depth = limits.max_depth + 1

    def taken(self) -> bytes:
        return bytes(self._data)

    def _pack(self, format: str, *values: Any) -> None:
        self._data += struct.pack(format, *values)

    def begin_struct(self) -> int:
        return 0

    def field(self, type: int, id: int) -> None:
        self._pack(">bh", type, id)

    def write_field_bool(self, id: int, value: Any) -> None:
        self.field(_BOOL, id)
        self.write_bool(value)

    def end_field(self) -> None:
        pass

    def end_struct(self, state: int) -> None:
        self._data.append(0)

    def begin_list(self, element: int, length: int) -> None:
        self._pack(">BI", element, length)

    def end_list(self) -> None:
        pass

    def begin_map(self, key: int, value: int, length: int) -> None:
        self._pack(">BBI", key, value, length)

    def end_map(self) -> None:
        pass

    def write_bool(self, value: Any) -> None:
        self._data.append(1 if value else 0)

    def write_i8(self, value: Any) -> None:
        self._pack(">b", value)

    def write_i16(self, value: Any) -> None:
        self._pack(">h", value)

    def write_i32(self, value: Any) -> None:
        self._pack(">i", value)

    def write_i64(self, value: Any) -> None:
        self._pack(">q", value)

    def write_double(self, value: Any) -> None:
        self._pack(">d", value)

    def write_uuid(self, value: Any) -> None:
        self._data += value.bytes

    def write_binary(self, value: Any) -> None:
        data = bytes_of(value)
        self._pack(">I", len(data))
        self._data += data

    def write_string(self, value: Any) -> None:
        self.write_binary(value.encode())

    def write_passed(self, data: bytes) -> None:
        self._data += data
