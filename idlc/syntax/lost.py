"""Names that a file with syntax errors would have declared.

Somebody who forgot a comma in `struct User` should hear about the comma, not about `User` being undefined everywhere.
So whatever looks like the head of a definition or the path of an include, and did not make it into the tree, is
remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from idlc.syntax import nodes
from idlc.syntax.lexer import Token

__all__ = ["lost_names"]


def lost_names(text: str, tokens: Sequence[Token], items: Sequence[nodes.Item]) -> frozenset[str]:
    """The names and qualifiers that were meant to be there."""
    known = {
        item.name.text for item in items if not isinstance(item, nodes.Include | nodes.ForeignInclude | nodes.Namespace)
    }
    return frozenset(_meant(text, tokens)) - known


def _meant(text: str, tokens: Sequence[Token]) -> Iterator[str]:
    for index, token in enumerate(tokens[:-2]):
        following, after = tokens[index + 1], tokens[index + 2]
        if token.text in ("include", "import"):
            yield PurePosixPath(str(following.value or following.text)).stem
        elif token.text in ("typedef", "const"):
            yield from _last_on_line(text, tokens, index)
        elif following.text[:1].isidentifier() and (
            token.type in ("STRUCT", "UNION", "EXCEPTION", "ENUM", "SENUM", "SERVICE") or after.text in ("{", "extends")
        ):
            yield following.text


def _last_on_line(text: str, tokens: Sequence[Token], index: int) -> Iterator[str]:
    """Every word after `typedef` or `const` up to the end of the line or `=`: one of them is the name."""
    for before, token in zip(tokens[index:], tokens[index + 1 :], strict=False):
        if token.text == "=" or "\n" in text[before.end : token.start]:
            return
        if token.text[:1].isidentifier():
            yield token.text
