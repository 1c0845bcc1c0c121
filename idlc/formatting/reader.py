"""Reader: from tokens to the tree that is laid out.

The rules are those of `grammars/thrift.lark`, for tokens instead of nodes, because a formatter needs separators,
brackets, and clauses that no node has. A keyword is a keyword wherever the grammar allows one, and otherwise a name.

Text that the rules do not allow is left as it is, up to the next line that starts a definition; the parser is left to
report what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from idlc.formatting.comments import is_doc, is_line, is_owned_by_previous
from idlc.formatting.elements import ElementReader, Unreadable
from idlc.formatting.stream import TokenStream
from idlc.formatting.tree import Element, Leading
from idlc.syntax.lexer import END
from idlc.syntax.recovery import looks_like_definition, starts_line

__all__ = ["Reader"]

_MAX_DEPTH = 60  # of types, values and bodies within each other; the parser rejects about 100 levels
_LITERALS = ("INT", "DOUBLE", "STRING")
_DEFINITIONS = frozenset({"STRUCT", "UNION", "EXCEPTION", "ENUM", "SENUM", "SERVICE", "TYPEDEF", "CONST"})
_HEADERS = frozenset({"INCLUDE", "NAMESPACE", "CPP_INCLUDE"})
_UNCLOSED = _DEFINITIONS | _HEADERS | {"THROWS", "VOID", "ONEWAY"}


class Reader(ElementReader):
    """Reader of one file.

    Attributes:
        items: headers, definitions, and regions that are left as they are.
        at_end: comments after the last item.
        has_errors: whether there is text that the grammar does not allow.
    """

    def __init__(self, stream: TokenStream) -> None:
        super().__init__(stream)
        self.items: list[Element] = []
        self.at_end: list[Leading] = []
        self.has_errors = bool(stream.errors)
        self._depth = 0
        self._item_start = 0
        self._rules: dict[str, Callable[[], None]] = {
            "include": self._include,
            "cpp_include": self._foreign_include,
            "hs_include": self._foreign_include,
            "namespace": self._namespace,
            "typedef": self._typedef,
            "const": self._const,
            "enum": self._enum,
            "senum": self._senum,
            "struct": self._struct,
            "union": self._struct,
            "exception": self._struct,
            "service": self._service,
        }

    def read(self) -> None:
        """Read the file."""
        items = self.items
        last: Element | None = None
        end = 0
        while True:
            index = self.index
            leading: list[Leading] = []
            is_blank = self.text.count("\n", end, self.starts[index]) > 1
            if index in self._before:
                self.is_unusual = False
                leading, is_blank = self._between(index, end, last, None)
                if last is not None:
                    last.is_unusual = last.is_unusual or self.is_unusual
            if self._is_off(leading):
                last, end = self._keep_region(leading, self._any_item)
                items.append(last)
                continue
            if self.kinds[index] == END:
                self.at_end = leading
                return
            self.is_unusual = self.must_keep = False
            item = self._readable_item()
            if last is not None and self.is_unusual and self._documents(item, last):
                last.raw = (last.raw or self.text[last.start : last.end]) + self.text[last.end : item.end]
                last.trailing, last.end = [], item.end
            else:
                item.leading, item.blank_before, item.is_unusual = leading, is_blank, self.is_unusual
                items.append(item)
                last = item
            end = last.end

    # Items

    def _readable_item(self) -> Element:
        """Read an item with its separator; leave it as it is if it has errors."""
        first = self._item_start = self.index
        try:
            item = self.element(self._item)
        except Unreadable:
            return self._broken(first)
        self._item_separator(item)
        item.end = self.ends[self.index - 1]
        if any(item.start <= error < item.end for error in self.stream.errors):
            return self._kept(first)
        if self.must_keep:
            item.raw = self.text[item.start : item.end]
            item.trailing = []
        return item

    def _documents(self, item: Element, last: Element) -> bool:
        """Return whether a comment within an item documents the item before it, which ends on the same line."""
        line = self.text.find("\n", last.end)
        end = min(item.end, line if line >= 0 else item.end)
        return any(item.start < each.start < end and is_owned_by_previous(each) for each in self.stream.comments)

    def _any_item(self) -> None:
        first = self._item_start = self.index
        try:
            self._item()
        except Unreadable:
            self._broken(first)

    def _item_separator(self, item: Element) -> None:
        """Drop the separator after an item.

        It is kept if otherwise a comment before it would become a doc comment of the next item, or the text after it,
        which is broken, a part of this item.
        """
        index = self.index
        if self.texts[index] not in (",", ";"):
            return
        comments = self._before.get(index, [])
        if len(comments) == 1 and is_line(comments[0]) and not is_doc(comments[0]):
            item.trailing.append(comments[0])
        elif comments or not (self.texts[index + 1] in self._rules or self.kinds[index + 1] == END):
            item.append((self._inline(index, "") if comments else "") + self.texts[index])
        self.index = index + 1

    def _broken(self, first: int) -> Element:
        """Skip to the next line that starts an item, and return the text before it."""
        self.openers.clear()
        self._depth = 0
        self._first = -1
        self._run, self._parts = [], []
        self.has_errors = True
        left = self._column(first)
        tokens, source = self.stream.tokens, self.stream.source
        index = first + 1
        while self.kinds[index] != END:
            if starts_line(source, tokens, index) and (
                (self.texts[index] in self._rules and self._column(index) <= left)
                or looks_like_definition(source, tokens, index)
            ):
                break
            index += 1
        self.index = min(index, len(self.kinds) - 1)
        return self._kept(first)

    def _kept(self, first: int) -> Element:
        """Return the text between the token at `first` and the current one, with its indentation."""
        start, end = self.starts[first], self.ends[self.index - 1]
        line = self.text.rfind("\n", 0, start) + 1
        indentation = self.text[line:start] if not self.text[line:start].strip() else ""
        return Element([], None, raw=indentation + self.text[start:end], start=start, end=end)

    def _item(self) -> None:
        rule = self._rules.get(self.texts[self.index])
        if rule is None:
            raise Unreadable
        rule()

    def _include(self) -> None:
        self.take()
        self._literal("STRING")
        if self.texts[self.index] == "as":
            self.take(" ")
            self._word()

    def _foreign_include(self) -> None:
        self.take()
        self._literal("STRING")

    def _namespace(self) -> None:
        self.take()
        if self.texts[self.index] == "*":
            self.take(" ")
        else:
            self._word()
        if self.kinds[self.index] in ("HYPHENATED", "STRING"):
            self.take(" ")
        else:
            self._word()
        self._annotations()

    def _typedef(self) -> None:
        self.take()
        self._type(" ")
        self._word()
        self._annotations()

    def _const(self) -> None:
        self.take()
        self._type(" ")
        self._word()
        self.expect("=", " ")
        self._value(" ")
        self._annotations()

    def _enum(self) -> None:
        self._block(self._member)

    def _senum(self) -> None:
        self._block(lambda: self._literal("STRING", ""))

    def _struct(self) -> None:
        self._block(self._field, "xsd_all")

    def _service(self) -> None:
        self._block(self._function, "extends")

    def _block(self, rule: Callable[[], None], clause: str = "") -> None:
        self.take()
        self._word()
        if clause and self.texts[self.index] == clause:
            self.take(" ")
            if clause == "extends":
                self._word()
        self.group("{", "}", rule, " ", is_body=True)
        self._annotations()

    # Members

    def _member(self) -> None:
        self._word("")
        if self.texts[self.index] == "=":
            self.take(" ")
            self._literal("INT")
        self._annotations()

    def _field(self) -> None:
        gap = ""
        if self.kinds[self.index] == "INT":
            self.take()
            self.expect(":")
            gap = " "
        if self.texts[self.index] in ("required", "optional"):
            self.take(gap)
            gap = " "
        self._type(gap)
        if self.texts[self.index] == "&":
            self.take(" ")
        self._word()
        if self.texts[self.index] == "=":
            self.take(" ")
            self._value(" ")
        while self.texts[self.index] in ("xsd_optional", "xsd_nillable", "xsd_attrs"):
            is_group = self.texts[self.index] == "xsd_attrs"
            self.take(" ")
            if is_group:
                self._enter()
                self.group("{", "}", self._field, " ", is_body=True)
                self._depth -= 1
        self._annotations()

    def _function(self) -> None:
        gap = ""
        if self.texts[self.index] in ("oneway", "async"):
            self.take()
            gap = " "
        if self.texts[self.index] == "void":
            self.take(gap)
        else:
            self._type(gap)
        self._word()
        self.group("(", ")", self._field)
        if self.texts[self.index] == "throws":
            self.take(" ")
            self.group("(", ")", self._field, " ")
        self._annotations()

    # Types, values, annotations

    def _type(self, gap: str) -> None:
        text = self.texts[self.index]
        if text not in ("list", "set", "map"):
            self._word(gap)
        else:
            self._enter()
            self.take(gap)
            self.expect("<", " " if self._cpp_type() else "")
            self._type("")
            if text == "map":
                self.expect(",")
                self._type(" ")
            self.expect(">")
            self._cpp_type()
            self._depth -= 1
        self._annotations()

    def _cpp_type(self) -> bool:
        if self.texts[self.index] != "cpp_type" or self.kinds[self.index + 1] != "STRING":
            return False
        self.take(" ")
        self.take(" ")
        return True

    def _value(self, gap: str = "") -> None:
        text = self.texts[self.index]
        if text in ("[", "{"):
            self._enter()
            if text == "[":
                self.group("[", "]", self._value, gap)
            else:
                self.group("{", "}", self._pair, gap)
            self._depth -= 1
        elif self.kinds[self.index] in _LITERALS:
            self.take(gap)
        else:
            self._word(gap)

    def _pair(self) -> None:
        self._value()
        self.expect(":")
        self._value(" ")

    def _annotations(self) -> None:
        if self.texts[self.index] == "(":
            self.group("(", ")", self._annotation, " ")

    def _annotation(self) -> None:
        self._word("")
        if self.texts[self.index] == "=":
            self.take(" ")
            self._literal("STRING")

    def _literal(self, kind: str, gap: str = " ") -> None:
        if self.kinds[self.index] != kind:
            raise Unreadable
        self.take(gap)

    def _word(self, gap: str = " ") -> None:
        kind = self.kinds[self.index]
        if kind != "NAME" and (
            kind not in self.stream.keywords or (kind in _UNCLOSED and self._is_unclosed(self.index, kind))
        ):
            raise Unreadable
        self.take(gap)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unreadable

    # Unclosed brackets

    def _is_unclosed(self, index: int, kind: str) -> bool:
        """Return whether the parser takes the keyword at `index` for the start of something after a missing bracket."""
        tokens, source = self.stream.tokens, self.stream.source
        if kind in ("VOID", "ONEWAY", "THROWS"):
            is_start = self.texts[index + 1] == "(" if kind == "THROWS" else starts_line(source, tokens, index)
            # The parser has not closed annotations before it sees the token after them.
            return is_start and (self.openers[-1:] == ["("] or self.texts[index - 1] == ")")
        return looks_like_definition(source, tokens, index) and self._column(index) <= self._column(self._item_start)

    def _column(self, index: int) -> int:
        return self.stream.source.position(self.starts[index]).column
