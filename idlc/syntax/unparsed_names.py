"""Names that a file would declare if it had no syntax errors.

If a comma is missing in `struct User`, the missing comma is to be reported, but not that `User` is undeclared wherever
it is used. Therefore, names in text that looks like the head of a definition or the path of an include are collected if
they are not in the syntax tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from idlc.syntax import nodes
from idlc.syntax.lexer import Token

__all__ = ["unparsed_names"]


def unparsed_names(text: str, tokens: Sequence[Token], items: Sequence[nodes.Item]) -> frozenset[str]:
    """Return the names and qualifiers that were probably declared; the empty name stands for an unknown one."""
    known: set[str] = set()
    for item in items:
        if isinstance(item, nodes.Include):
            known.add(PurePosixPath(item.path.value).stem)
        elif not isinstance(item, nodes.ForeignInclude | nodes.Namespace):
            known.add(item.name.text)
    return frozenset(_probable_names(text, tokens)) - known


def _probable_names(text: str, tokens: Sequence[Token]) -> Iterator[str]:
    for index, token in enumerate(tokens[:-2]):
        following, after = tokens[index + 1], tokens[index + 2]
        is_head = token.type in ("STRUCT", "UNION", "EXCEPTION", "ENUM", "SENUM", "SERVICE")
        if token.type == "STRING" and str(token.value).endswith((".thrift", ".idl")):
            yield PurePosixPath(str(token.value)).stem
        elif token.text in ("include", "import"):
            if following.type != "STRING":
                yield PurePosixPath(following.text).stem
                if "." not in following.text:
                    yield ""
        elif token.text in ("typedef", "const"):
            yield from _words_of_line(text, tokens, index)
        elif is_head and not _is_word(following):
            yield ""
        elif _is_word(following) and (is_head or (_is_word(token) and after.text in ("{", "extends"))):
            yield following.text
        elif _is_word(token) and following.text == "{" and _starts_line(text, tokens, index):
            yield token.text


def _words_of_line(text: str, tokens: Sequence[Token], index: int) -> Iterator[str]:
    """Yield all words after `typedef` or `const` up to `=` or the end of the line; of two words, one is the name."""
    words = 0
    for before, token in zip(tokens[index:], tokens[index + 1 :], strict=False):
        if token.text == "=" or "\n" in text[before.end : token.start]:
            break
        if _is_word(token):
            words += 1
            yield token.text
    if words < 2:
        yield ""


def _is_word(token: Token) -> bool:
    return token.text[:1].isidentifier()


def _starts_line(text: str, tokens: Sequence[Token], index: int) -> bool:
    return index == 0 or "\n" in text[tokens[index - 1].end : tokens[index].start]
