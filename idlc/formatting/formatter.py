"""Formatting of a file: read, lay out, and join the lines.

Definitions with a body of several lines are surrounded by blank lines, and so are the headers as a whole.

Formatting must not change which declaration a doc comment documents. Comments at usual places keep their owners by
construction. Definitions with doc comments at other places are parsed before and after, and left as they are if an
owner would change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from idlc.diagnostics import Report
from idlc.formatting.comments import is_switch
from idlc.formatting.reader import Reader
from idlc.formatting.stream import TokenStream
from idlc.formatting.tree import Element, Group
from idlc.formatting.writer import Writer
from idlc.source import SourceFile
from idlc.syntax import parse
from idlc.syntax.grammar import grammar

__all__ = ["DEFAULT_WIDTH", "MIN_WIDTH", "format_source"]

DEFAULT_WIDTH = 100
"""Columns that a line should not exceed, unless another width is given."""
MIN_WIDTH = 20
"""Smallest width that is allowed."""

_HEADERS = ("include", "cpp_include", "hs_include", "namespace")


def format_source(source: SourceFile, report: Report, *, width: int = DEFAULT_WIDTH) -> str:
    """Return the text of a file in the one style; the syntax tree stays the same.

    Definitions with syntax errors are left as they are, and the errors are reported. The file itself is not written.

    Args:
        width: columns that a line should not exceed; at least `MIN_WIDTH`. Names, types, literals and comments are
            never broken.

    Raises:
        ValueError: the width is too small.
    """
    if width < MIN_WIDTH:
        raise ValueError(f"width: must be at least {MIN_WIDTH}, got {width}")
    reader = Reader(TokenStream(source))
    reader.read()
    if reader.has_errors:
        parse(source, report)
    writer = Writer(source.text, width)
    last: Element | None = None
    for item in reader.items:
        _keep_owners(item, source.text, width)
        if last is not None and _is_separate(last, item, source.text):
            _separate(item)
        is_first = writer.comments(item.leading, 0, is_first=last is None)
        if item.blank_before and not is_first:
            writer.lines.append("")
        writer.element(item, 0, "")
        last = item
    writer.comments(reader.at_end, 0, is_first=last is None)
    return _joined(writer.lines, source.text)


def _joined(lines: Sequence[str], text: str) -> str:
    """Join lines with the line end that most lines of the file have."""
    line_end = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    return line_end.join([*lines, ""]) if lines else ""


def _is_separate(last: Element, item: Element, text: str) -> bool:
    """Return whether there must be a blank line between two items."""
    if last.raw is None and item.raw is None and _is_header(last) != _is_header(item):
        is_separate = True
    else:
        is_separate = _is_block(last) or _is_block(item)
    if item.leading and is_switch(item.leading[0][0], "on"):
        return False
    if not is_separate or not (last.trailing and item.leading):
        return is_separate
    # Consecutive lines with `///` are one doc comment.
    before, after = last.trailing[-1], item.leading[0][0]
    is_run = before.text.startswith("///") and after.text.startswith("///")
    return not is_run or text.count("\n", before.end, after.start) > 1


def _separate(item: Element) -> None:
    if item.leading:
        item.leading[0] = (item.leading[0][0], True)
    else:
        item.blank_before = True


def _is_header(item: Element) -> bool:
    return isinstance(item.parts[0], str) and item.parts[0].startswith(_HEADERS)


def _is_block(item: Element) -> bool:
    return item.raw is None and any(isinstance(part, Group) and part.is_body and not part.flat for part in item.parts)


def _keep_owners(item: Element, text: str, width: int) -> None:
    """Let an item be left as it is if formatting would change which declarations its doc comments document."""
    if not item.is_unusual or item.raw is not None:
        return
    trailing = [comment for comment in item.trailing if comment.start >= item.end]
    writer = Writer(text, width)
    writer.element(item, 0, "")
    before = text[item.start : trailing[-1].end if trailing else item.end]
    if _owners(before) != _owners("\n".join(writer.lines)):
        item.raw = text[item.start : item.end]
        item.trailing = trailing


def _owners(text: str) -> dict[int, str]:
    """Return the doc comments before tokens other than separators, by the positions of these tokens."""
    source = SourceFile(Path(), text)
    tokens, _ = grammar().lexer.scan(source, Report())
    starts = [token.start for token in tokens if token.text not in (",", ";")]
    docs = parse(source, Report()).docs
    return {position: docs[start] for position, start in enumerate(starts) if start in docs}
