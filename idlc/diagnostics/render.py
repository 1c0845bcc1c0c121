"""Rendering of diagnostics as text: position, source line, and carets under the span, in the style of rustc.

    error[field.id.duplicate]: field id 1 is used twice
     --> user.thrift:4:3
      |
    3 |   1: i64 id
      |   - first used here
    4 |   1: string name
      |   ^ used again here
      |
      = help: the next free id is 3

To keep carets aligned, tabs become spaces, wide characters count as two columns, and control characters are replaced.
Long lines are cropped around the spans.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

from idlc.diagnostics.diagnostic import Diagnostic
from idlc.diagnostics.report import Report
from idlc.source import SourceFile, Span
from idlc.text import plural

__all__ = ["render", "render_short", "summary"]

_TAB = 4
_WIDEST_LINE = 120
_CONTEXT = 40  # characters of a cropped line that are kept before a span
_RESET = "\x1b[0m"
_COLORS = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "note": "\x1b[1;32m",
    "frame": "\x1b[1;34m",
    "message": "\x1b[1m",
    "help": "\x1b[1;36m",
}


def render(diagnostics: Diagnostic | Iterable[Diagnostic], *, color: bool = False) -> str:
    """Return diagnostics with source snippets, separated by blank lines.

    The text ends with a line end; it is empty if there are no diagnostics.
    """
    if isinstance(diagnostics, Diagnostic):
        diagnostics = (diagnostics,)
    return "\n".join(_Renderer(diagnostic, color).text() for diagnostic in diagnostics)


def render_short(diagnostics: Diagnostic | Iterable[Diagnostic]) -> str:
    """Return one line for each diagnostic, in the format of GCC: `file:line:column: error: message [name]`."""
    if isinstance(diagnostics, Diagnostic):
        diagnostics = (diagnostics,)
    return "".join(
        f"{f'{diagnostic.span}: ' if diagnostic.span is not None else ''}"
        f"{diagnostic.severity}: {_one_line(diagnostic.message)} [{diagnostic.name}]\n"
        for diagnostic in diagnostics
    )


def summary(report: Report) -> str:
    """Return the number of diagnostics of each severity, as `1 error, 2 warnings`; empty if there are none."""
    counts = (("error", report.errors), ("warning", report.warnings), ("note", report.notes))
    return ", ".join(plural(count, word) for word, count in counts if count)


class _Mark(msgspec.Struct):
    """Underlined characters of a line, and the text beside them."""

    line: int
    first: int
    last: int
    text: str
    is_primary: bool


class _Renderer:
    def __init__(self, diagnostic: Diagnostic, color: bool) -> None:
        self._diagnostic = diagnostic
        self._color = color
        self._lines: list[str] = []

    def text(self) -> str:
        found = self._diagnostic
        head = self._paint(found.severity, f"{found.severity}[{found.name}]")
        self._lines.append(head + self._paint("message", f": {_one_line(found.message)}"))
        groups = self._groups()
        numbers = [mark.line for _, marks in groups for mark in marks]
        self._gutter = len(str(max(numbers, default=0)))
        for index, (span, marks) in enumerate(groups):
            self._snippet(span, marks, is_first=index == 0)
        pad = " " * (self._gutter + 1) if groups else "  "
        if groups and (found.help or not groups):
            self._lines.append(pad + self._paint("frame", "|"))
        for index, line in enumerate(found.help.splitlines()):
            start = self._paint("frame", "= ") + self._paint("help", "help: ") if index == 0 else "        "
            self._lines.append(f"{pad}{start}{_printable(line)}")
        return "\n".join(self._lines) + "\n"

    def _groups(self) -> list[tuple[Span, list[_Mark]]]:
        """Return the underlined spans of each file; the file of the diagnostic comes first."""
        found = self._diagnostic
        if found.span is None:
            return []
        groups: dict[object, tuple[Span, list[_Mark]]] = {}
        spans = [(found.span, found.note, True), *((label.span, label.text, False) for label in found.labels)]
        for span, text, is_primary in spans:
            group = groups.setdefault(span.file.path, (span, []))
            group[1].extend(_marks(span, text, is_primary))
        return list(groups.values())

    def _snippet(self, span: Span, marks: list[_Mark], *, is_first: bool) -> None:
        pad = " " * self._gutter
        arrow = "-->" if is_first else ":::"
        bar = f"{pad} {self._paint('frame', '|')}"
        self._lines.append(f"{pad}{self._paint('frame', arrow)} {span}")
        self._lines.append(bar)
        previous: int | None = None
        for line in sorted({mark.line for mark in marks}):
            if previous is not None and line > previous + 2:
                self._lines.append(self._paint("frame", "..."))
            elif previous is not None and line == previous + 2:
                self._source_line(span.file, previous + 1, [])
            self._source_line(span.file, line, [mark for mark in marks if mark.line == line])
            previous = line

    def _source_line(self, file: SourceFile, number: int, marks: list[_Mark]) -> None:
        text, marks = _crop(file.line(number), marks)
        gutter = self._paint("frame", f"{number:>{self._gutter}} |")
        self._lines.append(f"{gutter} {_printable(text)}".rstrip())
        bar = f"{' ' * self._gutter} {self._paint('frame', '|')}"
        for mark in sorted(marks, key=lambda mark: not mark.is_primary):
            before = _width(_printable(text[: mark.first]))
            width = max(1, _width(_printable(text[: mark.last])) - before)
            drawing = ("^" if mark.is_primary else "-") * width
            if mark.text:
                drawing += f" {_one_line(mark.text)}"
            style = self._diagnostic.severity if mark.is_primary else "frame"
            self._lines.append(f"{bar} {' ' * before}{self._paint(style, drawing)}")

    def _paint(self, style: str, text: str) -> str:
        return f"{_COLORS[style]}{text}{_RESET}" if self._color else text


def _marks(span: Span, text: str, is_primary: bool) -> Iterator[_Mark]:
    """Yield the mark of a span within a line; of a multi-line span, the marks of its first and its last line."""
    file = span.file
    length = len(file.text)
    start_offset = min(max(span.start, 0), length)
    start = file.position(start_offset)
    end = file.position(min(max(span.end, start_offset), length))
    if end.line > start.line and end.column == 1:  # the span ends with the previous line
        end = file.position(min(max(span.end - 1, start_offset), length))
    if end.line == start.line:
        yield _Mark(start.line, start.column - 1, end.column - 1, text, is_primary)
        return
    yield _Mark(start.line, start.column - 1, len(file.line(start.line)), "", is_primary)
    last = file.line(end.line)
    indent = len(last) - len(last.lstrip())
    yield _Mark(end.line, min(indent, end.column - 1), end.column - 1, text, is_primary)


def _crop(text: str, marks: list[_Mark]) -> tuple[str, list[_Mark]]:
    """Crop a long line around its marks."""
    if len(text) <= _WIDEST_LINE or not marks:
        return text[:_WIDEST_LINE], marks
    first = min(mark.first for mark in marks)
    start = max(0, first - _CONTEXT)
    end = min(len(text), max(start + _WIDEST_LINE, min(first + _WIDEST_LINE, max(mark.last for mark in marks) + 8)))
    head = "..." if start > 0 else ""
    tail = "..." if end < len(text) else ""
    shift = len(head) - start
    limit = len(head) + end - start
    moved = [
        msgspec.structs.replace(mark, first=min(mark.first + shift, limit), last=min(mark.last + shift, limit))
        for mark in marks
    ]
    return f"{head}{text[start:end]}{tail}", moved


def _printable(text: str) -> str:
    """Replace tabs and control characters, so that the text is as wide as `_width` computes."""
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    column = 0
    for character in text:
        if character == "\t":
            piece = " " * (_TAB - column % _TAB)
        elif unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            piece = "\N{REPLACEMENT CHARACTER}"
        else:
            piece = character
        shown.append(piece)
        column += _width(piece)
    return "".join(shown)


def _width(text: str) -> int:
    """Return the width of a text in terminal columns (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _one_line(text: str) -> str:
    return _printable(" ".join(text.splitlines()) if "\n" in text or "\r" in text else text)
