"""Reading of elements and groups: tokens with the comments between them, whatever the grammar is.

Comments at usual places (above an element, at the end of its line, above a closing bracket) become attributes of
elements and groups. All others stay in the text of their element: `/* */` between two tokens, and `//` with a line end
after it. A `//` before a comma or before the opening brace of a body moves behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from idlc.formatting.comments import is_doc, is_line, is_owned_by_previous, is_switch, split
from idlc.formatting.stream import TokenStream
from idlc.formatting.tree import Element, Group, Leading
from idlc.syntax.lexer import END
from idlc.syntax.nodes import Comment

__all__ = ["ElementReader", "Unreadable"]

_Rule: TypeAlias = Callable[[], None]
_SEPARATORS = (",", ";")
_CLOSERS = {"{": "}", "(": ")", "[": "]"}


class Unreadable(Exception):
    """The grammar does not allow the current token."""


class ElementReader:
    """Reader of elements; rules of the grammar call its methods for one token after the other.

    Attributes:
        index: index of the current token.
        openers: opening brackets that are not closed yet.
        is_unusual: whether a doc comment of the current item is at an unusual place.
        must_keep: whether the current item cannot be formatted, because there is a comment of several lines within an
            element.
    """

    def __init__(self, stream: TokenStream) -> None:
        self.stream = stream
        self.text = stream.text
        self.texts = stream.texts
        self.kinds = stream.kinds
        self.starts = stream.starts
        self.ends = stream.ends
        self.index = 0
        self.openers: list[str] = []
        self.is_unusual = False
        self.must_keep = False
        self._before = stream.before
        self._first = -1
        self._run: list[str] = []
        self._parts: list[str | Group] = []

    def take(self, gap: str = "") -> None:
        """Add the current token to the element.

        Args:
            gap: space between the token and the previous one.
        """
        index = self.index
        if index in self._before and index != self._first:
            gap = self._inline(index, gap)
        self._run.append(gap + self.texts[index])
        self.index = index + 1

    def expect(self, text: str, gap: str = "") -> None:
        """Add the current token, which must be `text`."""
        if self.texts[self.index] != text:
            raise Unreadable
        self.take(gap)

    def element(self, rule: _Rule, prefix: str = "") -> Element:
        """Read an element without its separator."""
        saved = self._run, self._parts, self._first
        index = self._first = self.index
        self._run, self._parts = [prefix] if prefix else [], []
        rule()
        parts = self._parts
        if self._run:
            parts.append("".join(self._run))
        self._run, self._parts, self._first = saved
        return Element(parts, _flat(parts), start=self.starts[index], end=self.ends[self.index - 1])

    def group(self, opener: str, closer: str, rule: _Rule, gap: str = "", *, is_body: bool = False) -> None:
        """Read a group and add it to the element."""
        index = self.index
        if self.texts[index] != opener:
            raise Unreadable
        group = Group(opener, closer, is_body)
        if index in self._before and index != self._first:
            gap = self._before_body(index, gap, group) if is_body else self._inline(index, gap)
        self._run.append(gap)
        self._parts.append("".join(self._run))
        self._parts.append(group)
        self._run = []
        self.index = index + 1
        self.openers.append(opener)
        self._read_list(group, rule)
        self.openers.pop()
        self.index += 1

    # Lists

    def _read_list(self, group: Group, rule: _Rule) -> None:
        """Read the elements of a group up to its closing bracket."""
        texts, starts, closer = self.texts, self.starts, group.closer
        opener_end = end = self.ends[self.index - 1]
        is_expanded = False
        last: Element | None = None
        while texts[self.index] != closer:
            index = self.index
            if self.kinds[index] == END:
                raise Unreadable
            leading: list[Leading] = []
            prefix = ""
            if index in self._before:
                leading, is_blank = self._between(index, end, last, group)
                if leading and self._is_off(leading):
                    last, end = self._keep_region(leading, rule)
                    group.elements.append(last)
                    is_expanded = True
                    continue
                if not group.is_body:
                    prefix = self._prefix(leading, starts[index])
                is_expanded = is_expanded or bool(leading)
            else:
                is_blank = self.text.count("\n", end, starts[index]) > 1
            if last is None and not group.is_body:
                is_expanded = is_expanded or "\n" in self.text[opener_end : starts[index]]
            last = self.element(rule, prefix)
            last.leading = leading
            last.blank_before = is_blank
            if group.is_body and all(element.raw is not None for element in group.elements):
                group.separator = texts[self.index] if texts[self.index] in _SEPARATORS else ""
            group.elements.append(last)
            end = self._separator(last)
        suffix = ""
        if self.index in self._before:
            group.before_closer, _ = self._between(self.index, end, last, group)
            if not group.is_body:
                suffix = self._prefix(group.before_closer, starts[self.index]).rstrip()
        if suffix and last is not None:
            last.append(f" {suffix}")
        self._finish(group, suffix, is_expanded=is_expanded)

    def _finish(self, group: Group, suffix: str, *, is_expanded: bool) -> None:
        elements = group.elements
        if group.is_body:
            if not (elements or group.after_opener or group.before_closer):
                group.flat = group.opener + group.closer
            return
        group.is_filled = group.opener == "[" and all(map(_is_number, elements)) and not group.before_closer
        if is_expanded or group.after_opener or group.before_closer:
            return
        flats = [element.flat for element in elements if element.flat is not None and not element.trailing]
        if len(flats) == len(elements):
            inner = ", ".join(flats) if elements else suffix
            group.flat = f"{group.opener}{inner}{group.closer}"

    def _separator(self, element: Element) -> int:
        """Skip the separator after an element, if there is one; return the offset at which the element ends."""
        index = self.index
        if self.texts[index] not in _SEPARATORS:
            return element.end
        if index in self._before:
            for comment in self._before[index]:
                self._before_separator(element, comment)
        self.index = index + 1
        return self.ends[index]

    def _before_separator(self, element: Element, comment: Comment) -> None:
        self.is_unusual = self.is_unusual or is_doc(comment)
        if not is_line(comment):
            self.must_keep = self.must_keep or "\n" in comment.text
            element.append(f" {comment.text}")
        elif element.trailing:
            self.must_keep = True
        else:
            element.trailing.append(comment)

    # Comments

    def _between(self, index: int, end: int, last: Element | None, group: Group | None) -> tuple[list[Leading], bool]:
        """Attach the comments on the line of the last element, or of the opening bracket.

        Returns:
            The other comments before the token at `index`, and whether there is a blank line before the token.
        """
        comments = self._before[index]
        trailing = last.trailing if last is not None else group.after_opener if group is not None else []
        count, others, is_blank = split(self.text, comments, end, self.starts[index])
        if last is None and group is None:
            others = [*((comment, False) for comment in comments[:count]), *others]
        elif trailing and count:  # a comment was moved there
            self.is_unusual = self.is_unusual or any(is_doc(comment) for comment in comments)
            others = [*((comment, False) for comment in comments[:count]), *others]
        elif count:
            trailing += comments[:count]
            if not self._is_member(last, group) or "\n" in self.text[last.end if last else 0 : comments[0].start]:
                self.is_unusual = self.is_unusual or any(is_owned_by_previous(each) for each in comments[:count])
        return others, is_blank

    def _is_member(self, element: Element | None, group: Group | None) -> bool:
        """Return whether an element of a group is certainly a declaration, which a doc comment behind it documents."""
        if element is None or group is None:
            return element is not None
        is_word = self.text[element.start] in "\"'"  # of a `senum`
        return group.is_body and len(self.openers) == 1 and not is_word

    def _prefix(self, leading: list[Leading], end: int) -> str:
        """Take block comments that are on the line of the next token from a list; return the text before the token."""
        taken: list[str] = []
        while leading:
            comment, _ = leading[-1]
            if is_line(comment) or "\n" in self.text[comment.start : end]:
                break
            self.is_unusual = self.is_unusual or is_owned_by_previous(comment)
            taken.append(f"{comment.text} ")
            end = comment.start
            leading.pop()
        return "".join(reversed(taken))

    def _inline(self, index: int, gap: str) -> str:
        """Return the comments before a token within an element, and the space before the token."""
        written = ""
        for comment in self._before[index]:
            self.is_unusual = self.is_unusual or is_doc(comment)
            if is_line(comment):
                written += f" {comment.text.rstrip()}\n"
            else:
                self.must_keep = self.must_keep or "\n" in comment.text
                written += comment.text if written.endswith("\n") else f" {comment.text}"
        return written if written.endswith("\n") else written + gap

    def _before_body(self, index: int, gap: str, group: Group) -> str:
        """Return the block comments before the opening bracket of a body; move others behind the bracket."""
        written = ""
        for comment in self._before[index]:
            self.is_unusual = self.is_unusual or is_doc(comment)
            if not is_line(comment):
                self.must_keep = self.must_keep or "\n" in comment.text
                written += f" {comment.text}"
            elif group.after_opener:
                self.must_keep = True
            else:
                group.after_opener.append(comment)
        return written + gap

    # Regions without formatting

    def _is_off(self, leading: Sequence[Leading]) -> bool:
        return any(is_switch(comment, "off") for comment, _ in leading)

    def _keep_region(self, leading: list[Leading], rule: _Rule) -> tuple[Element, int]:
        """Read the elements between `format off` and `format on` as one element with their source text.

        The region ends with the list, and with the element in which formatting is switched on.

        Returns:
            The element and the offset at which it ends.
        """
        position = next(index for index, (comment, _) in enumerate(leading) if is_switch(comment, "off"))
        start, is_blank = leading[position][0].start, leading[position][1]
        switches = (each for each in self.stream.comments if each.start > start and is_switch(each, "on"))
        on = next(switches, None)
        limit = on.start if on is not None else len(self.text)
        while self.starts[self.index] < limit and self.has_next():
            self._separator(self.element(rule))
        rest = self._before.pop(self.index, [])
        end = self.ends[self.index - 1]
        if on is not None and on in rest:
            self._before[self.index] = [comment for comment in rest if comment.start >= limit]
            end = start + len(self.text[start:limit].rstrip())
        elif not self.has_next() and rest:
            end = start + len(self.text[start : rest[-1].end].rstrip())
        elif rest:
            self._before[self.index] = rest
        raw = self.text[start:end]
        return Element([], None, raw=raw, leading=leading[:position], blank_before=is_blank, start=start, end=end), end

    def has_next(self) -> bool:
        """Return whether the current list has another element."""
        text = self.texts[self.index]
        return self.kinds[self.index] != END and not (self.openers and text == _CLOSERS[self.openers[-1]])


def _flat(parts: Sequence[str | Group]) -> str | None:
    """Return the text of an element in one line, or `None` if it has groups or comments that need several lines."""
    texts: list[str] = []
    for part in parts:
        text = part if isinstance(part, str) else part.flat
        if text is None or "\n" in text:
            return None
        texts.append(text)
    return "".join(texts)


def _is_number(element: Element) -> bool:
    is_bare = not (element.leading or element.trailing)
    return is_bare and element.flat is not None and element.flat[0] in "+-.0123456789"
