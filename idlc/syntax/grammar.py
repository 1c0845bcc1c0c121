"""The parser that Lark makes of `grammars/thrift.lark`, made once and kept on disk.

Making it takes a third of a second, loading it from the cache a few milliseconds. The cache is a convenience: a folder
that cannot be written, or a file that cannot be read, costs time and nothing else.

This is the only module that touches Lark's types; the rest of the package sees the protocols below.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

import lark

from idlc.resources import cache_dir, read_text
from idlc.syntax.builder import Builder
from idlc.syntax.lexer import Lexer, Token

__all__ = ["Grammar", "ParserState", "grammar"]


class _Configuration(Protocol):
    states: dict[int, dict[str, tuple[Any, Any]]]
    callbacks: dict[Any, Any]


class ParserState(Protocol):
    """A parse under way: lark's `ParserState`.

    Attributes:
        state_stack: where the parser is; the last state says which tokens it can take.
        value_stack: what has been built so far, one value less than there are states.
    """

    parse_conf: _Configuration
    state_stack: list[int]
    value_stack: list[Any]

    def feed_token(self, token: Token, is_end: bool = False) -> Any:
        """Take one token; the result of the whole parse when it was the last.

        Raises:
            lark.UnexpectedToken: the grammar does not allow it here.
        """
        ...

    def copy(self, deepcopy_values: bool = True) -> ParserState:
        """Another parse in the same state; lists among the values are shared unless copied deeply."""
        ...


class Grammar:
    """A parser and the lexer that belongs to it.

    Attributes:
        actions: state → what can come next, by the name of a terminal or rule.
    """

    def __init__(self, parser: lark.Lark) -> None:
        self._parser: Any = parser
        self.lexer = Lexer(parser.terminals)
        self.actions = self.start().parse_conf.states

    def start(self) -> ParserState:
        """A new parse."""
        return cast(ParserState, self._parser.parse_interactive().parser_state)


@cache
def grammar() -> Grammar:
    """The grammar of Thrift."""
    text = read_text("grammars", "thrift.lark")
    kept_at = _cache_file(text)
    options: dict[str, Any] = {
        "start": "document",
        "parser": "lalr",
        "lexer": "basic",  # never used: `Lexer` scans
        "keep_all_tokens": True,
        "maybe_placeholders": False,
        "transformer": Builder(),
    }
    if kept_at is not None:
        try:
            return Grammar(lark.Lark(text, cache=str(kept_at), **options))
        except Exception:  # noqa: BLE001  # whatever a damaged cache leads to, a fresh parser mends it
            pass
    return Grammar(lark.Lark(text, **options))


def _cache_file(text: str) -> Path | None:
    folder = cache_dir()
    digest = hashlib.sha256(f"{lark.__version__} {sys.version_info[:2]} {text}".encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"thrift-{digest}.lark"
        if not file.exists():
            with file.open("ab"):
                pass
            file.unlink()
    except OSError:
        return None
    return file
