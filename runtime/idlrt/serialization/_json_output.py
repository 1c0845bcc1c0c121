"""Write primitives of Thrift's JSON; `_walk_primitives.Output` documents them.

It is what Apache's Python library writes, byte for byte, except where that is no JSON: control characters are
escaped, and numbers that are not finite are quoted, both as Apache's C++ and Java libraries have it.

Source: Apache's implementations (`TJSONProtocol`)
"""

from __future__ import annotations

import math
import struct
import uuid
from base64 import b64encode
from operator import index
from typing import Any, Final

import msgspec

from idlrt.serialization._json_layout import AFTER, BEFORE, IS_KEY, NAMES, Context
from idlrt.serialization._walk_primitives import Output, bytes_of
from idlrt.serialization.base import Limits
from idlrt.serialization.options import WriteErrors, write_errors_of
from idlrt.serialization.types import TypeId

__all__ = ["JsonOutput", "quoted"]

_double: Final = struct.Struct("d")
_BOOL = NAMES[TypeId.BOOL]
_NOT_FINITE: Final = {math.inf: b'"Infinity"', -math.inf: b'"-Infinity"'}


def quoted(text: str, errors: WriteErrors = "strict") -> bytes:
    """Return a JSON string.

    Args:
        errors: with `surrogateescape`, lone surrogates that stand for bytes (PEP 383) are written as those bytes.

    Raises:
        ValueError: it cannot be written as UTF-8.
        TypeError: it is no `str`.
    """
    plain = text if text.__class__ is str else str.__str__(text)
    try:
        return msgspec.json.encode(plain)
    except UnicodeEncodeError:
        if errors != "surrogateescape":
            raise
    # Latin-1 has a character for each byte, and what JSON escapes is ASCII.
    as_bytes = plain.encode(errors="surrogateescape").decode("latin-1")
    return msgspec.json.encode(as_bytes).decode().encode("latin-1")


class JsonOutput(Output):
    """Write primitives, an `Output` of `_walk_primitives`."""

    PROTOCOL = "json"
    CLOSES_FIELDS = True

    __slots__ = ("_around", "_context", "_data", "_is_first", "_text_errors", "depth")

    def __init__(self, limits: Limits) -> None:
        self._data = bytearray()
        self._text_errors: WriteErrors = write_errors_of(limits)
        self._context = Context.VALUE
        self._around: list[Context] = []
        self._is_first = True
        self.depth = limits.max_depth + 1

    def taken(self) -> bytes:
        return bytes(self._data)

    def _begin(self) -> bool:
        context = self._context
        self._data += BEFORE[context]
        self._context = AFTER[context]
        return IS_KEY[context]

    def _number(self, text: bytes) -> None:
        self._data += b'"%b"' % text if self._begin() else text

    # Structure.

    def begin_struct(self) -> int:
        self._begin()
        self._data += b"{"
        self._is_first = True
        return self._context

    def _head(self, name: bytes, id: int) -> None:
        self._data += b'"%d":{"%b":' % (id, name) if self._is_first else b',"%d":{"%b":' % (id, name)
        self._is_first = False
        self._context = Context.VALUE

    def field(self, type: int, id: int) -> None:
        self._head(NAMES[type], id)

    def write_field_bool(self, id: int, value: Any) -> None:
        self._head(_BOOL, id)
        self._data += b"1" if value else b"0"

    def end_field(self) -> None:
        self._data += b"}"

    def end_struct(self, state: int) -> None:
        self._data += b"}"
        self._context = Context(state)
        self._is_first = False

    def begin_list(self, element: int, length: int) -> None:
        self._begin()
        self._data += b'["%b",%d' % (NAMES[element], length)
        self._around.append(self._context)
        self._context = Context.ELEMENT

    def end_list(self) -> None:
        self._data += b"]"
        self._context = self._around.pop()

    def begin_map(self, key: int, value: int, length: int) -> None:
        self._begin()
        self._data += b'["%b","%b",%d,{' % (NAMES[key], NAMES[value], length)
        self._around.append(self._context)
        self._context = Context.FIRST_KEY

    def end_map(self) -> None:
        self._data += b"}]"
        self._context = self._around.pop()

    # Scalars.

    def _whole(self, value: Any, most: int) -> None:
        number = index(value)
        if not -most <= number < most:
            raise OverflowError("a number does not fit its type")
        self._number(b"%d" % number)

    def write_bool(self, value: Any) -> None:
        self._number(b"1" if value else b"0")

    def write_i8(self, value: Any) -> None:
        self._whole(value, 1 << 7)

    def write_i16(self, value: Any) -> None:
        self._whole(value, 1 << 15)

    def write_i32(self, value: Any) -> None:
        self._whole(value, 1 << 31)

    def write_i64(self, value: Any) -> None:
        self._whole(value, 1 << 63)

    def write_double(self, value: Any) -> None:
        # Packing takes whatever stands for a number, and no text.
        (number,) = _double.unpack(_double.pack(value))
        if math.isfinite(number):
            self._number(b"%.17g" % number)
        else:
            self._begin()
            self._data += _NOT_FINITE.get(number, b'"NaN"')

    def write_string(self, value: Any) -> None:
        text = quoted(value, self._text_errors)
        self._begin()
        self._data += text

    def write_binary(self, value: Any) -> None:
        data = b64encode(value if value.__class__ is bytes else bytes_of(value))
        self._begin()
        self._data += b'"%b"' % data

    def write_uuid(self, value: Any) -> None:
        self._begin()
        self._data += b'"%b"' % str(uuid.UUID(bytes=value.bytes)).encode()

    def write_passed(self, data: bytes) -> None:
        self._data += data
