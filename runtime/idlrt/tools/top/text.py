"""Text in cells of a terminal: width, shortening and padding."""

from __future__ import annotations

import unicodedata

from idlrt.printable import printable

__all__ = ["fit", "shorten", "width"]


def width(text: str) -> int:
    """Return the number of cells that a text takes."""
    return len(text) if text.isascii() else sum(_cells(each) for each in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def shorten(text: str, cells: int, *, keep_end: bool = False) -> str:
    """Return a printable text in at most `cells` cells, with an ellipsis for what is left out.

    Args:
        keep_end: leave out the beginning rather than the end.
    """
    text = printable(text)
    if width(text) <= cells:
        return text
    if cells <= 0:
        return ""
    kept = ""
    left = cells - 1
    for each in reversed(text) if keep_end else text:
        left -= _cells(each)
        if left < 0:
            break
        kept += each
    return f"…{kept[::-1]}" if keep_end else f"{kept}…"


def fit(text: str, cells: int, *, is_right: bool = False, keep_end: bool = False) -> str:
    """Return a text in exactly `cells` cells."""
    text = shorten(text, cells, keep_end=keep_end)
    blank = " " * max(cells - width(text), 0)
    return f"{blank}{text}" if is_right else f"{text}{blank}"
