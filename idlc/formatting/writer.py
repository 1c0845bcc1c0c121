"""Writer: lays out the tree of a file in lines of a given width.

A group is written flat if it fits. Of the groups in a line that is too long, as few as possible are expanded: the ones
that are long or have several elements.

    Order order(
      1: Basket basket,
      2: Payment payment,
    ) throws (1: OutOfStock out_of_stock)

The elements of an expanded group are indented and followed by commas; in a body, by what follows the first element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import combinations

from idlc.formatting.comments import comment_lines, width
from idlc.formatting.tree import Element, Group, Leading
from idlc.syntax.nodes import Comment

__all__ = ["Writer"]

_INDENT = 2
_CONTINUATION = 4  # indentation of the rest of an element after a `//` comment within it
_MAX_CHOICES = 5  # groups of which all combinations are tried


class Writer:
    """Writer of one file.

    Args:
        text: source text of the file.
        width: columns that a line should not exceed.

    Attributes:
        lines: lines that were written, without line ends. Source text that is kept may contain line ends.
    """

    def __init__(self, text: str, width: int) -> None:
        self._text = text
        self._width = width
        self.lines: list[str] = []

    def comments(self, comments: Sequence[Leading], indent: int, *, is_first: bool) -> bool:
        """Write comments on lines of their own.

        Args:
            is_first: whether no blank line may precede the first of them.

        Returns:
            Whether the same is true for what follows.
        """
        for comment, is_blank in comments:
            if is_blank and not is_first:
                self.lines.append("")
            is_first = False
            first, *others = comment_lines(self._text, comment, indent)
            self.lines.append(" " * indent + first)
            self.lines += others
        return is_first

    def element(self, element: Element, indent: int, suffix: str) -> None:
        """Write an element and the comments on its last line, but not those above it."""
        flat = element.flat
        if element.raw is not None:
            self.lines.append(" " * indent + element.raw)
        elif flat is not None and (indent + len(flat) + len(suffix) <= self._width or len(element.parts) == 1):
            self.lines.append(" " * indent + flat + suffix)
        else:
            self._expanded(element.parts, indent, suffix)
        if element.trailing:
            self._trailing(element.trailing)

    def _elements(self, group: Group, indent: int) -> None:
        is_first = not group.after_opener
        for element in group.elements:
            if element.leading:
                is_first = self.comments(element.leading, indent, is_first=is_first)
            if element.blank_before and not is_first:
                self.lines.append("")
            is_first = False
            self.element(element, indent, group.separator)

    def _trailing(self, comments: Sequence[Comment]) -> None:
        for comment in comments:
            column = width(self.lines[-1].rpartition("\n")[2]) + 1
            first, *others = comment_lines(self._text, comment, column)
            self.lines[-1] += f" {first}"
            self.lines += others

    def _expanded(self, parts: Sequence[str | Group], indent: int, suffix: str) -> None:
        """Write an element that does not fit in one line."""
        expanded = self._choose(parts, indent, suffix)
        line = " " * indent
        for index, part in enumerate(parts):
            if isinstance(part, str):
                *before, last = part.split("\n")
                for text in before:
                    self.lines.append(line + text)
                    line = " " * (indent + _CONTINUATION)
                line += last
            elif index in expanded:
                self.lines.append(line + part.opener)
                self._trailing(part.after_opener)
                if part.is_filled:
                    self.lines += self._filled(part.elements, indent + _INDENT)
                else:
                    self._elements(part, indent + _INDENT)
                is_first = not (part.elements or part.after_opener)
                self.comments(part.before_closer, indent + _INDENT, is_first=is_first)
                line = " " * indent + part.closer
            else:
                assert part.flat is not None
                line += part.flat
        self.lines.append(line + suffix)

    def _choose(self, parts: Sequence[str | Group], indent: int, suffix: str) -> Set[int]:
        """Return the indexes of the groups to expand."""
        required = {index for index, part in enumerate(parts) if isinstance(part, Group) and part.flat is None}
        ranks = {
            index: (len(part.elements) == 1, -len(part.flat))
            for index, part in enumerate(parts)
            if isinstance(part, Group) and part.flat and part.elements
        }
        optional = sorted(ranks, key=lambda index: ranks[index])
        sizes = range(len(optional) + 1) if len(optional) <= _MAX_CHOICES else (0, 1)
        for size in sizes:
            for chosen in combinations(optional, size):
                expanded = required.union(chosen)
                if self._fits(parts, expanded, indent, suffix):
                    return expanded
        return required.union(optional)

    def _fits(self, parts: Sequence[str | Group], expanded: Set[int], indent: int, suffix: str) -> bool:
        column = indent
        for index, part in enumerate(parts):
            if isinstance(part, Group) and index in expanded:
                if column + len(part.opener) > self._width:
                    return False
                column = indent + len(part.closer)
            elif isinstance(part, Group):
                column += len(part.flat or "")
            else:
                _, line_end, last = part.rpartition("\n")
                column = indent + _CONTINUATION + len(last) if line_end else column + len(last)
        return column + len(suffix) <= self._width

    def _filled(self, elements: Sequence[Element], indent: int) -> Iterator[str]:
        """Yield lines with as many elements as fit; blank lines between the elements are kept."""
        line = ""
        for index, element in enumerate(elements):
            text = f"{element.flat},"
            if line and (element.blank_before or indent + len(line) + 1 + len(text) > self._width):
                yield " " * indent + line
                line = ""
            if index and element.blank_before:
                yield ""
            line = f"{line} {text}" if line else text
        yield " " * indent + line
