"""One IDL file in memory, and places in it.

A place is a pair of character offsets; lines and columns are worked out only when somebody wants to
read them, because most spans are never shown.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from pathlib import Path

import msgspec

__all__ = ["Position", "SourceFile", "Span"]


class Position(msgspec.Struct, frozen=True, order=True):
    """A place as people count: line and column start at 1, columns are characters."""

    line: int
    column: int


class SourceFile:
    """The text of one IDL file.

    Attributes:
        path: where it was read from; the identity of the file (resolved, absolute).
        name: how messages call it, usually relative to where the command was run.
        text: decoded text, without a byte order mark, with line ends as in the file.
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
        """Line and column of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of line `number` (from 1), without its line end; empty past the last line."""
        starts = self._line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")


class Span(msgspec.Struct, frozen=True):
    """A stretch of one file: character offsets, `end` exclusive."""

    file: SourceFile
    start: int
    end: int

    @property
    def position(self) -> Position:
        """Where the span starts."""
        return self.file.position(self.start)

    @property
    def text(self) -> str:
        """What stands there."""
        return self.file.text[self.start : self.end]

    def __str__(self) -> str:
        place = self.position
        return f"{self.file.name}:{place.line}:{place.column}"
