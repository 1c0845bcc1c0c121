"""Tree that the reader builds and the writer lays out: elements, and groups of elements in brackets.

An element is a definition, a field, an enum member, a function, a value or an annotation. Its parts are texts with the
final spacing, and groups, which are either written flat or expanded: one element per line. Whatever can be written flat
has its text in `flat`, so that most lines need no layout.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from idlc.syntax.nodes import Comment

__all__ = ["Element", "Group", "Leading"]

Leading: TypeAlias = tuple[Comment, bool]
"""Comment on its own line, and whether a blank line precedes it."""


class Element(msgspec.Struct):
    """Element of a group or of the file.

    Attributes:
        parts: texts and groups. A line end in a text follows a `//` comment at an unusual place.
        flat: the element in one line; `None` if it must be expanded.
        raw: source text that is written as it is, instead of the parts.
        leading: comments above the element.
        trailing: comments after the element, on the same line.
        blank_before: whether a blank line precedes the element (that is, the last of its comments above).
        start: offset of the first token.
        end: offset of the end of the last token, including a separator.
        is_unusual: whether a doc comment is at a place where formatting might change which declaration it documents.
    """

    parts: list[str | Group]
    flat: str | None
    raw: str | None = None
    leading: list[Leading] = []
    trailing: list[Comment] = []
    blank_before: bool = False
    start: int = 0
    end: int = 0
    is_unusual: bool = False

    def append(self, text: str) -> None:
        """Add text at the end of the element."""
        self.parts.append(text)
        self.flat = None if self.flat is None or "\n" in text else self.flat + text


class Group(msgspec.Struct):
    """Elements in brackets.

    Attributes:
        is_body: whether the group is the body of a definition, which is always expanded.
        separator: text after each element if the group is expanded. In a body, it is that of the first element.
        elements: elements, in order.
        flat: the group in one line; `None` if it must be expanded.
        after_opener: comments after the opening bracket, on the same line.
        before_closer: comments above the closing bracket.
        is_filled: whether an expanded group has as many elements per line as fit: it contains numbers only.
    """

    opener: str
    closer: str
    is_body: bool
    separator: str = ","
    elements: list[Element] = []
    flat: str | None = None
    after_opener: list[Comment] = []
    before_closer: list[Leading] = []
    is_filled: bool = False
