"""Tokens and comments of a file in the form in which the reader needs them.

Nothing gets lost: text that is neither white space nor part of a token or a comment becomes a token of the type
`STRAY`, which is not allowed anywhere, so that it ends up in a region that is written as it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from idlc.diagnostics import Report
from idlc.source import SourceFile
from idlc.syntax.grammar import grammar
from idlc.syntax.lexer import Token
from idlc.syntax.nodes import Comment

__all__ = ["TokenStream"]

_SPACE = " \t\r\n\f\v"


class TokenStream:
    """Tokens of a file, with the comments between them.

    Attributes:
        tokens: all tokens, which end with `END`.
        texts, kinds, starts, ends: texts, types and offsets of the tokens.
        comments: all comments, in order.
        before: comments between a token and the one before it, by the index of the token. Most tokens have none.
        errors: offsets of invalid text, such as unclosed strings.
        keywords: types of keywords.
    """

    def __init__(self, source: SourceFile) -> None:
        found = Report()
        lexer = grammar().lexer
        tokens, comments = lexer.scan(source, found)
        self.source = source
        self.text = source.text
        self.errors = [diagnostic.span.start for diagnostic in found if diagnostic.span is not None]
        if self.errors:
            comments = [comment for comment in comments if not _is_unclosed(comment)]
            tokens = _with_stray_text(source.text, tokens, comments)
        self.tokens = tokens
        self.texts = [token.text for token in tokens]
        self.kinds = [token.type for token in tokens]
        self.starts = [token.start for token in tokens]
        self.ends = [token.end for token in tokens]
        self.comments = comments
        self.before: dict[int, list[Comment]] = {}
        for comment in comments:
            self.before.setdefault(bisect_left(self.starts, comment.end), []).append(comment)
        self.keywords = lexer.keywords


def _is_unclosed(comment: Comment) -> bool:
    return comment.text.startswith("/*") and (len(comment.text) < 4 or not comment.text.endswith("*/"))


def _with_stray_text(text: str, tokens: Sequence[Token], comments: Sequence[Comment]) -> list[Token]:
    """Return the tokens and a token for each gap between tokens and comments that contains more than white space."""
    known = sorted([*((token.start, token.end) for token in tokens), *((each.start, each.end) for each in comments)])
    return sorted([*tokens, *_stray(text, known)], key=lambda token: (token.start, token.end))


def _stray(text: str, known: Sequence[tuple[int, int]]) -> Iterator[Token]:
    position = 0
    for start, end in known:
        gap = text[position:start]
        stray = gap.strip(_SPACE)
        if stray:
            begin = position + len(gap) - len(gap.lstrip(_SPACE))
            yield Token("STRAY", stray, begin, begin + len(stray))
        position = max(position, end)
