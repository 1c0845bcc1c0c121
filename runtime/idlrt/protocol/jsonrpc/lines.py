"""Splitting of a stream into lines, which end with LF or CRLF and have a maximum length."""

from __future__ import annotations

from idlrt.errors import RemoteProtocolError

__all__ = ["LineBuffer"]

_BLANK = b" \t\r"


class LineBuffer:
    """Buffer that returns complete lines. Empty lines are skipped.

    Args:
        max_message: maximum size of a line in bytes, without its LF or CRLF.
    """

    __slots__ = ("_max_message", "_rest")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        # Received part of the incomplete line.
        self._rest = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether no part of an unfinished line has arrived."""
        return not self._rest

    def feed(self, data: bytes, lines: list[bytes]) -> None:
        """Append the lines that `data` completes to `lines`.

        Raises:
            RemoteProtocolError: a line is too long; the lines before it are in `lines`.
        """
        if not data:
            return
        pieces = data.split(b"\n")
        rest = pieces.pop()
        for piece in pieces:
            if self._rest:
                self._add(piece)
                piece = bytes(self._rest)
                self._rest = bytearray()
            else:
                self._check(piece)
            line = piece.strip(_BLANK)
            if line:
                lines.append(line)
        if rest:
            self._add(rest)

    def take_rest(self) -> bytes:
        """Remove and return the received part of an unfinished line."""
        rest = bytes(self._rest)
        self._rest = bytearray()
        return rest.strip(_BLANK)

    def _add(self, piece: bytes) -> None:
        self._rest += piece
        self._check(self._rest)

    def _check(self, line: bytes | bytearray) -> None:
        """Check the length of a line, whose last byte may be the CR of its line break."""
        if len(line) > self._max_message and len(line) - line.endswith(b"\r") > self._max_message:
            raise RemoteProtocolError(f"the line exceeds max_message={self._max_message}")
