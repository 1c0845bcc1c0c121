"""Position of a syntax error, and hints about its cause and repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from idlc.source import SourceFile
from idlc.syntax.lexer import END, Token

__all__ = ["ErrorContext", "Hint", "wrong_keyword"]


class ErrorContext(msgspec.Struct):
    """Position of an unexpected token.

    Attributes:
        tokens: all tokens of the file.
        index: index of the unexpected token.
        list: kind of list that contains it: `item` (top level), `member`, `function`, or `field`.
        opener: bracket that opened this list: `{`, `(`, or empty at top level.
        is_between: whether a new element of this list was expected.
        acceptable: types of the tokens that were expected.
    """

    source: SourceFile
    tokens: Sequence[Token]
    index: int
    list: str
    opener: str
    is_between: bool
    acceptable: frozenset[str]

    @property
    def token(self) -> Token:
        """The unexpected token."""
        return self.tokens[self.index]

    def text(self, offset: int) -> str:
        """Return the text of the token at an offset from the unexpected one; empty outside of the file."""
        index = self.index + offset
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def type(self, offset: int) -> str:
        """Return the type of the token at an offset; `END` outside of the file."""
        index = self.index + offset
        return self.tokens[index].type if 0 <= index < len(self.tokens) else END

    def is_word(self, offset: int) -> bool:
        """Return whether the token at an offset could be a name."""
        return self.type(offset) != "STRING" and self.text(offset)[:1].isidentifier()

    def after_bracket(self, offset: int) -> int:
        """Return the offset after the bracket that closes the one at `offset`."""
        depth = 0
        while self.type(offset) != END:
            text = self.text(offset)
            if self.type(offset) != "STRING":
                depth += (text in ("{", "(", "[")) - (text in ("}", ")", "]"))
            offset += 1
            if depth <= 0:
                break
        return offset


_SURE = ("syntax.unsupported", "syntax.obsolete", "syntax.protobuf")


class Hint(msgspec.Struct, kw_only=True):
    """Message about a known mistake, and how the parser continues.

    Attributes:
        name: name of the diagnostic.
        message: text of the diagnostic; empty for "expected ..., found ...".
        help: help text; may be empty.
        shown: offsets of the first and the last token to underline.
        fix: replacement of the underlined tokens, empty if unknown.
        repair: `replace` treats the token as one of type `type`; `insert` inserts a token of that type before it;
            `skip` skips `count` tokens; empty drops the whole element.
        type: type of the token that replaces the token, or is inserted.
        count: number of tokens to skip.
        drop: number of preceding tokens that belong to the mistake; elements that were built from them are removed.
    """

    name: str = "syntax.unexpected"
    message: str = ""
    help: str = ""
    shown: tuple[int, int] = (0, 0)
    fix: str = ""
    repair: Literal["", "replace", "insert", "skip"] = ""
    type: str = ""
    count: int = 0
    drop: int = 0

    @property
    def is_specific(self) -> bool:
        """Whether the mistake is so specific that it cannot be a consequence of an earlier error."""
        return self.repair == "replace" or self.name in _SURE


def wrong_keyword(
    word: str, keyword: str, *, help: str = "", shown: tuple[int, int] = (0, 0), repair: bool = True
) -> Hint:
    """Return the hint for a word that is used instead of a keyword."""
    return Hint(
        message=f"`{word}` is not a keyword",
        help=help or f"write `{keyword}`",
        shown=shown,
        fix=keyword,
        repair="replace" if repair else "",
        type=keyword.upper(),
    )
