"""Extents of heads and chunked bodies in the bytes of a connection.

The parser (llhttp) validates and decodes messages, but reports neither where heads and bodies end, nor how many bytes
are not content: chunk sizes, extensions, line breaks and trailer fields. They are found here before parsing, so that
limits are exact and do not depend on how the bytes arrive, and nothing behind the last request is parsed.

Source: RFC 9112, sections 2.1 and 7.1
"""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_OVERHEAD", "ChunkScanner", "HeadScanner"]

MAX_OVERHEAD: Final = 4096
"""Bytes of one message that are not content, in addition to as many as its chunks have."""

_DIGITS: Final = frozenset(b"0123456789abcdefABCDEF")
_END_OF_LINE: Final = b"\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
# Line breaks in front of a request, which clients may send (RFC 9112, section 2.2), in bytes.
_MAX_BLANK: Final = 64


class HeadScanner:
    """Finds the end of a head: the first empty line after its first byte. (llhttp refuses bare line feeds.)

    Args:
        limit: largest size in bytes, with the empty line.

    Attributes:
        size: bytes that have been scanned, without line breaks in front of the head.
        is_complete: whether the end has been found.
        is_over_limit: whether the head is larger than the limit.
    """

    __slots__ = ("_blank", "_last", "_limit", "is_complete", "is_over_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blank = 0
        # The last three bytes at most.
        self._last = b""
        self.size = 0
        self.is_complete = False
        self.is_over_limit = False

    def scan(self, data: bytes, at: int) -> int:
        """Return the end of the bytes that belong to the head; those beyond the limit do not.

        Args:
            data: received bytes.
            at: place of the first one that has not been scanned.
        """
        size, last = self.size, self._last
        if not size and data[at] in _END_OF_LINE:
            self._blank += 1
            self.is_over_limit = self._blank > _MAX_BLANK
            return at + 1
        end = 0
        if last and (found := (last + data[at : at + 3]).find(_END_OF_HEAD)) >= 0:
            end = at + found + 4 - len(last)  # it began in earlier data
        elif (found := data.find(_END_OF_HEAD, at)) >= 0:
            end = found + 4
        is_complete = end > 0
        if not is_complete:
            end = len(data)
        if size + end - at > self._limit:
            self.is_over_limit = True
            return at + self._limit - size
        self.is_complete = is_complete
        self.size = size + end - at
        if not is_complete:
            self._last = (last + data[max(at, end - 3) : end])[-3:]
        return end


class ChunkScanner:
    """Follows the chunks of one message.

    Attributes:
        is_complete: whether the message has ended.
        is_malformed: whether a line is invalid.
        is_over_limit: whether the overhead exceeds its limit.
    """

    __slots__ = (
        "_content",
        "_in_trailer",
        "_left",
        "_line",
        "_overhead",
        "is_complete",
        "is_malformed",
        "is_over_limit",
    )

    def __init__(self) -> None:
        # Bytes of the current chunk, with its line break, that have not arrived.
        self._left = 0
        self._line = b""
        self._in_trailer = False
        self._content = self._overhead = 0
        self.is_complete = False
        self.is_malformed = False
        self.is_over_limit = False

    def scan(self, data: bytes, at: int) -> int:
        """Return the end of the bytes that belong to the message, or that show that it is refused.

        Args:
            data: received bytes.
            at: place of the first one that has not been scanned.
        """
        size = len(data)
        while at < size and not (self.is_complete or self.is_malformed or self.is_over_limit):
            if self._left:
                taken = min(self._left, size - at)
                self._left -= taken
                at += taken
            else:
                at = self._scan_line(data, at)
        return at

    def _scan_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        is_whole = end > 0
        end = end or len(data)
        allowed = at + MAX_OVERHEAD + self._content - self._overhead
        if end > allowed:
            self.is_over_limit = True
            return allowed
        self._overhead += end - at
        self._line += data[at:end]
        if is_whole:
            line, self._line = self._line, b""
            self._end_line(line)
        return end

    def _end_line(self, line: bytes) -> None:
        if line[-2:] != _END_OF_LINE:
            self.is_malformed = True
        elif self._in_trailer:
            self.is_complete = line == _END_OF_LINE
        else:
            digits = line[:-2].partition(b";")[0]
            if not digits or not _DIGITS.issuperset(digits):
                self.is_malformed = True
            elif chunk := int(digits, 16):
                self._left = chunk + 2
                self._content += chunk
                self._overhead += 2
            else:
                self._in_trailer = True
