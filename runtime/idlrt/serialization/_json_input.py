"""Read primitives of Thrift's JSON; `_walk_primitives.Input` documents them.

White space may stand between any two tokens. Numbers are as long as their types need, not longer: what Python
makes of a million digits takes hours.

Source: Apache's implementations (`TJSONProtocol`); RFC 8259 for tokens
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from idlrt.serialization import _json_layout as layout
from idlrt.serialization._json_layout import AFTER, BEFORE, IS_KEY, TYPES, Context
from idlrt.serialization._json_text import (
    MOST_OF_REAL,
    OTHER_STRING,
    binary_of,
    double_of,
    kind_of,
    string_end,
    text_of,
    uuid_of,
)
from idlrt.serialization._walk_primitives import Input
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import out_of_range, too_short, unexpected
from idlrt.serialization.options import TextErrors, text_errors_of

__all__ = ["JsonInput"]

_QUOTE, _CLOSED = ord('"'), ord("}")
_END = (0, 0)

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_NUMBER: Final = re.compile(rb"[-+.0-9eE]*+")
_WHOLE: Final = re.compile(rb"-?[0-9]++")

# A 64-bit integer has 19 digits and a sign.
_MOST_OF_WHOLE = 20


class JsonInput(Input):
    """Read primitives, an `Input` of `_walk_primitives`."""

    PROTOCOL = "json"
    MINIMUM = layout.MINIMUM_SIZES
    FIELD_HEAD = 8
    CLOSES_FIELDS = True

    __slots__ = (
        "_around",
        "_context",
        "_data",
        "_is_first",
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
        self._context = Context.VALUE
        self._around: list[Context] = []  # what goes on after the containers that are being read
        self._is_first = True  # whether no field of this struct has come
        self.offset = start
        self.end = len(data)
        self.depth = limits.max_depth + 1

    # Tokens.

    def _next(self) -> int:
        """Return the next byte that is not white space, without consuming it."""
        offset = self.offset
        if offset < self.end and (byte := self._data[offset]) > 0x20:
            return byte
        found = _SPACE.match(self._data, offset)
        if found is not None:
            offset = self.offset = found.end()
        if offset >= self.end:
            raise too_short(offset, 1, self.end)
        return self._data[offset]

    def _found(self) -> str:
        """Return what is at the current position, for an error."""
        return kind_of(self._data[self.offset])

    def expect(self, token: bytes) -> None:
        """Consume one byte, which must be `token`."""
        if self._next() != token[0]:
            raise unexpected(self.offset, repr(token.decode()), self._found())
        self.offset += 1

    def _begin(self) -> bool:
        """Start a value: consume the separator. Return whether it is a key."""
        context = self._context
        if BEFORE[context]:
            self.expect(BEFORE[context])
        self._context = AFTER[context]
        return IS_KEY[context]

    def _string(self) -> tuple[int, bytes, bool]:
        """Consume a string; return the start of its content, the content, and whether it has escapes."""
        if self._next() != _QUOTE:
            raise unexpected(self.offset, "a string", self._found())
        start = self.offset + 1
        self.offset, has_escapes = string_end(self._data, self.offset)
        return start, self._data[start : self.offset - 1], has_escapes

    def _number(self, most: int, type: str) -> tuple[int, bytes]:
        """Consume a number; return its start and its text."""
        self._next()
        start = self.offset
        found = _NUMBER.match(self._data, start)
        end = start if found is None else found.end()
        if end == start:
            raise unexpected(start, type, self._found())
        if end >= self.end:
            raise too_short(end, 1, self.end)
        if end - start > most:
            raise out_of_range(start, self._data[start : min(end, start + 50)].decode(), type)
        self.offset = end
        return start, self._data[start:end]

    def whole(self, bits: int, type: str) -> int:
        """Consume a signed integer of `bits` bits."""
        start, token = self._number(_MOST_OF_WHOLE, type)
        if not _WHOLE.fullmatch(token):
            raise unexpected(start, type, repr(token.decode()))
        number = int(token)
        if not -(1 << bits - 1) <= number < 1 << bits - 1:
            raise out_of_range(start, number, type)
        return number

    def _value(self, bits: int, type: str) -> int:
        if not self._begin():
            return self.whole(bits, type)
        self.expect(b'"')
        number = self.whole(bits, type)
        self.expect(b'"')
        return number

    def _type(self) -> int:
        start, name, _ = self._string()
        type = TYPES.get(name)
        if type is None:
            raise unexpected(start - 1, "the name of a type", OTHER_STRING)
        return type

    def _size(self) -> int:
        number = self.whole(32, "i32")
        if number < 0:
            raise unexpected(self.offset, "a size", str(number))
        return number

    # Structure.

    def begin_struct(self) -> int:
        self._begin()
        self.expect(b"{")
        self._is_first = True
        return self._context

    def field(self) -> tuple[int, int]:
        if self._next() == _CLOSED:
            return _END
        if not self._is_first:
            self.expect(b",")
        self._is_first = False
        self.expect(b'"')
        id = self.whole(16, "i16")
        self.expect(b'"')
        self.expect(b":")
        self.expect(b"{")
        type = self._type()
        self.expect(b":")
        self._context = Context.VALUE
        return type, id

    def end_field(self) -> None:
        self.expect(b"}")

    def end_struct(self, state: int) -> None:
        self.offset += 1
        self._context = Context(state)
        self._is_first = False

    def list_head(self) -> tuple[int, int]:
        self._begin()
        self.expect(b"[")
        element = self._type()
        self.expect(b",")
        length = self._size()
        self._around.append(self._context)
        self._context = Context.ELEMENT
        return element, length

    def end_list(self) -> None:
        self.expect(b"]")
        self._context = self._around.pop()

    def map_head(self) -> tuple[int, int, int]:
        self._begin()
        self.expect(b"[")
        key = self._type()
        self.expect(b",")
        value = self._type()
        self.expect(b",")
        length = self._size()
        self.expect(b",")
        self.expect(b"{")
        self._around.append(self._context)
        self._context = Context.FIRST_KEY
        return key, value, length

    def end_map(self) -> None:
        self.expect(b"}")
        self.expect(b"]")
        self._context = self._around.pop()

    # Scalars.

    def read_bool(self) -> bool:
        return self._value(64, "tf") != 0

    read_field_bool = read_bool

    def read_i8(self) -> int:
        return self._value(8, "i8")

    def read_i16(self) -> int:
        return self._value(16, "i16")

    def read_i32(self) -> int:
        return self._value(32, "i32")

    def read_i64(self) -> int:
        return self._value(64, "i64")

    def read_double(self) -> float:
        is_quoted = self._begin() or self._next() == _QUOTE
        if is_quoted:
            start, token, _ = self._string()
        else:
            start, token = self._number(MOST_OF_REAL, "double")
        return double_of(token, start, is_quoted)

    def read_string(self) -> str:
        self._begin()
        return self.text()

    def text(self) -> str:
        """Consume a string; return its value."""
        start, data, has_escapes = self._string()
        return text_of(data, has_escapes, start, self._max_string, self._text_errors)

    def read_binary(self) -> bytes:
        self._begin()
        start, data, has_escapes = self._string()
        return binary_of(data, has_escapes, start, self._max_string)

    def read_uuid(self) -> uuid.UUID:
        self._begin()
        start, data, has_escapes = self._string()
        return uuid_of(data, has_escapes, start)

    def skip(self, type: int, is_field: bool) -> None:
        if self._begin() or self._next() == _QUOTE:
            self._string()
        else:
            self._number(MOST_OF_REAL, "a number")

    def passed_field(self, start: int) -> bytes:
        return bytes(self._data[start : self.offset])
