"""Cut a stream into lines, which end with LF or CRLF and have a maximum length."""

from __future__ import annotations

from idlrt.errors import RemoteProtocolError

__all__ = ["LineBuffer"]

_BLANK = b" \t\r"


class LineBuffer:
    """Collects bytes until a line is complete. Empty lines are skipped.

    Args:
        max_message: bytes of a line, without its LF.
    """

    __slots__ = ("_max_message", "_parts", "_size")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        # The beginning of the line that is not complete: pieces are joined once, so cutting costs nothing.
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether no part of an unfinished line has arrived."""
        return not self._parts

    def feed(self, data: bytes, lines: list[bytes]) -> None:
        """Add the lines that `data` completes to `lines`.

        Raises:
            RemoteProtocolError: a line is too long; the lines before it are in `lines`.
        """
        if not data:
            return
        pieces = data.split(b"\n")
        rest = pieces.pop()
        for piece in pieces:
            size = self._size + len(piece)
            if size > self._max_message:
                raise self._too_long()
            if self._parts:
                self._parts.append(piece)
                piece = b"".join(self._parts)
                self._parts.clear()
                self._size = 0
            line = piece.strip(_BLANK)
            if line:
                lines.append(line)
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > self._max_message:
                raise self._too_long()

    def take_rest(self) -> bytes:
        """Return what has arrived of an unfinished line, and forget it."""
        rest = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return rest.strip(_BLANK)

    def _too_long(self) -> RemoteProtocolError:
        return RemoteProtocolError(f"a line has more than {self._max_message} bytes, the limit max_message")
