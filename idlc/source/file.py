"""IDL source files in memory, and spans in them.

A span is a pair of character offsets. Lines and columns are computed on demand, because most spans are never shown.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from pathlib import Path

import msgspec

__all__ = ["Position", "SourceFile", "Span"]


class Position(msgspec.Struct, frozen=True, order=True):
    """Line and column, both counted from 1; columns are characters."""

    line: int
    column: int


class SourceFile:
    """The text of one IDL file.

    Attributes:
        path: resolved, absolute path, which identifies the file.
        name: file name in messages, usually relative to the working directory.
        text: decoded text, without a byte order mark, with the line ends of the file.
    """

    def __init__(self, path: Path, text: str, *, name: str | None = None) -> None:
        self.path = path
        self.name = name if name is not None else str(path)
        self.text = text

    def __repr__(self) -> str:
        return f"SourceFile({self.name!r})"

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        position = self.text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = self.text.find("\n", position + 1)
        return starts

    def position(self, offset: int) -> Position:
        """Return the line and column of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """Return line `number` (from 1) without its line end; empty past the last line."""
        starts = self._line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")


class Span(msgspec.Struct, frozen=True):
    """Range of characters in a file: offsets, with `end` exclusive."""

    file: SourceFile
    start: int
    end: int

    @property
    def position(self) -> Position:
        """Position of the start."""
        return self.file.position(self.start)

    @property
    def text(self) -> str:
        """Text of the span."""
        return self.file.text[self.start : self.end]

    def __str__(self) -> str:
        place = self.position
        return f"{self.file.name}:{place.line}:{place.column}"
