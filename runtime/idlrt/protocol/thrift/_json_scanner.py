"""Incremental scanner that finds the end of an unframed message of Thrift's JSON: the bracket that closes its first.

It looks at brackets and strings only, and keeps the number of open brackets, so nesting needs no limit here; the reader
has one.
"""

from __future__ import annotations

import re
from typing import Final

from idlrt.serialization.base import Limits
from idlrt.serialization.errors import DecodeError, public_error, too_long, unexpected

__all__ = ["JsonScanner"]

_START: Final = re.compile(rb"[ \t\r\n]*+")
_BRACKET: Final = re.compile(rb'["\[\]{}]')
_IN_STRING: Final = re.compile(rb'["\\]')


class JsonScanner:
    """Finds the end of one message without a length prefix, including its header. White space may precede it.

    Args:
        limits: `max_message` limits the size of a message.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_message
        self._offset = 0
        self._open = 0
        self._is_in_string = False

    def scan(self, buffer: bytes | bytearray) -> int | None:
        try:
            end = self._scan(buffer)
            if self._offset > self._most:
                raise too_long(self._most)
        except DecodeError as error:
            raise public_error(error, "message") from None
        return end

    def _scan(self, buffer: bytes | bytearray) -> int | None:
        size = len(buffer)
        if not self._open:
            found = _START.match(buffer, self._offset)
            self._offset = self._offset if found is None else found.end()
            if self._offset >= size:
                return None
            if buffer[self._offset] != 0x5B:
                # Only one byte, so that the message does not depend on packet boundaries.
                start = bytes(buffer[self._offset : self._offset + 1]).decode(errors="replace")
                raise unexpected(self._offset, "'['", repr(start))
        while True:
            found = (_IN_STRING if self._is_in_string else _BRACKET).search(buffer, self._offset)
            if found is None:
                self._offset = size
                return None
            byte = found[0]
            if byte == b"\\":
                if found.end() >= size:  # the escaped character has not arrived yet
                    self._offset = found.start()
                    return None
                self._offset = found.end() + 1
                continue
            self._offset = found.end()
            if byte == b'"':
                self._is_in_string = not self._is_in_string
            elif byte in b"[{":
                self._open += 1
            else:
                self._open -= 1
                if not self._open:
                    return self._offset
