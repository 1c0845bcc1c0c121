"""Where the parser is stuck, and what a hint about it can say and do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from idlc.source import SourceFile
from idlc.syntax.lexer import END, Token

__all__ = ["Hint", "Place", "instead"]


class Place(msgspec.Struct):
    """Where the parser is stuck.

    Attributes:
        tokens: all tokens of the file.
        index: of the one that does not fit.
        list: which list it is in: `item` (top level), `member`, `function`, or `field`.
        opener: the bracket that list began with: `{`, `(`, or empty at top level.
        is_between: whether a new element of that list was expected.
        acceptable: types of the tokens that would have fitted.
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
        """The token that does not fit."""
        return self.tokens[self.index]

    def text(self, offset: int) -> str:
        """The text of a token near by, empty outside of the file."""
        index = self.index + offset
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def type(self, offset: int) -> str:
        """The type of a token near by."""
        index = self.index + offset
        return self.tokens[index].type if 0 <= index < len(self.tokens) else END

    def is_word(self, offset: int) -> bool:
        """Whether a token near by could be a name."""
        return self.type(offset) != "STRING" and self.text(offset)[:1].isidentifier()

    def after_bracket(self, offset: int) -> int:
        """The offset just after the bracket that closes the one at `offset`."""
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
    """What to say, and how to go on.

    Attributes:
        message: empty for "expected ..., found ...".
        shown: offsets, relative to the token, of the first and the last token to underline.
        fix: what to write instead of the underlined tokens, empty if that is not known.
        repair: `replace` reads the token as one of type `type`; `insert` puts one before it; `skip` leaves out `count`
            tokens; empty gives the whole element up.
        drop: how many tokens before the token belong to the mistake: elements made of them are taken back.
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
    def is_sure(self) -> bool:
        """Whether the mistake is recognised so well that it is no consequence of an earlier one."""
        return self.repair == "replace" or self.name in _SURE


def instead(word: str, keyword: str, *, help: str = "", shown: tuple[int, int] = (0, 0), repair: bool = True) -> Hint:
    """The hint for a word that stands where a keyword of Thrift was meant."""
    return Hint(
        message=f"`{word}` is not a keyword",
        help=help or f"write `{keyword}`",
        shown=shown,
        fix=keyword,
        repair="replace" if repair else "",
        type=keyword.upper(),
    )
