"""Comments: which of them belong to the line of the previous token, and how they are indented."""

from __future__ import annotations

import re
from collections.abc import Sequence

from idlc.formatting.tree import Leading
from idlc.syntax.nodes import Comment

__all__ = ["comment_lines", "is_doc", "is_line", "is_owned_by_previous", "is_switch", "split", "width"]

_SWITCH = re.compile(r"(?://|#|/\*)\s*idlc:\s*format\s+(off|on)\b")
_TAB = 4


def is_line(comment: Comment) -> bool:
    """Return whether a comment extends to the end of its line."""
    return not comment.text.startswith("/*")


def is_doc(comment: Comment) -> bool:
    """Return whether a comment may be a doc comment."""
    return comment.text.startswith(("///", "/**"))


def is_owned_by_previous(comment: Comment) -> bool:
    """Return whether a comment is a doc comment of the declaration before it."""
    return comment.text.startswith(("///<", "/**<"))


def is_switch(comment: Comment, state: str) -> bool:
    """Return whether a comment switches formatting `"off"` or `"on"`."""
    found = _SWITCH.match(comment.text)
    return found is not None and found[1] == state


def split(text: str, comments: Sequence[Comment], start: int, end: int) -> tuple[int, list[Leading], bool]:
    """Divide the comments between two tokens into those on the line of the first one, and the others.

    A block comment that is followed by a token on the same line belongs to that token. So do the comments before it,
    unless a doc comment of the form `/**<` is among them.

    Args:
        start: end of the first token.
        end: start of the second token.

    Returns:
        The number of comments on the line of the first token; the others; and whether there is a blank line before the
        second token.
    """
    count = 0
    position = start
    for index, comment in enumerate(comments):
        if "\n" in text[position : comment.start]:
            break
        position = comment.end
        following = comments[index + 1].start if index + 1 < len(comments) else end
        if "\n" in text[position:following] or following == len(text) or is_owned_by_previous(comment):
            count = index + 1
    position = comments[count - 1].end if count else start
    others: list[Leading] = []
    for comment in comments[count:]:
        others.append((comment, text.count("\n", position, comment.start) > 1))
        position = comment.end
    return count, others, text.count("\n", position, end) > 1


def comment_lines(text: str, comment: Comment, column: int) -> list[str]:
    """Return the lines of a comment that is to be written at a column; the first line is not indented.

    If all lines of a block comment start with an asterisk, these are aligned. Otherwise the lines keep their positions
    relative to each other. They do not move at all if a line has tabs within it, whose widths would change.
    """
    if is_line(comment) or "\n" not in comment.text:
        return [comment.text.rstrip()]
    first, *lines = (line.rstrip() for line in comment.text.split("\n"))
    stripped = [line.lstrip() for line in lines]
    if all(line.startswith("*") for line in stripped if line):
        return [first, *(f"{' ' * (column + 1)}{line}" if line else "" for line in stripped)]
    if any("\t" in line for line in stripped):
        return [first, *lines]
    before = text[text.rfind("\n", 0, comment.start) + 1 : comment.start]
    lines = [line.expandtabs(_TAB) for line in lines]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    shift = max(column - width(before), -margin)
    return [first, *(_moved(line, shift) for line in lines)]


def width(text: str) -> int:
    """Return the number of columns of a text without line ends."""
    return len(text.expandtabs(_TAB))


def _moved(line: str, shift: int) -> str:
    if not line:
        return line
    return " " * shift + line if shift >= 0 else line[-shift:]
