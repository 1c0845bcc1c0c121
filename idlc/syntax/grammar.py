"""Parser tables that Lark generates from `grammars/thrift.lark`, cached on disk.

Generating them takes a third of a second, loading them from the cache a few milliseconds. The cache is optional: if the
folder is not writable or the file is not readable, the tables are generated.

Only this module uses Lark's types; the rest of the package uses the protocols below.
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
from idlc.syntax.steps import Steps

__all__ = ["Grammar", "ParserState", "grammar"]


class _Configuration(Protocol):
    states: dict[int, dict[str, tuple[Any, Any]]]
    callbacks: dict[Any, Any]


class ParserState(Protocol):
    """State of a parse: Lark's `ParserState`.

    Attributes:
        state_stack: LALR states; the last one determines which tokens are acceptable.
        value_stack: values that were built; one less than there are states.
    """

    parse_conf: _Configuration
    state_stack: list[int]
    value_stack: list[Any]

    def feed_token(self, token: Token, is_end: bool = False) -> Any:
        """Process one token; return the result of the parse if it was the last token.

        Raises:
            lark.UnexpectedToken: the grammar does not allow the token here.
        """
        ...

    def copy(self, deepcopy_values: bool = True) -> ParserState:
        """Return a copy of the state; lists among the values are shared unless `deepcopy_values` is true."""
        ...


class Grammar:
    """Parser tables with their lexer.

    Args:
        builder: the one that `parser` was made with.

    Attributes:
        actions: for each state, the actions by the name of the next terminal or rule.
        steps: the same actions, prepared for the loop of the parser.
    """

    def __init__(self, parser: lark.Lark, builder: Builder) -> None:
        self._parser: Any = parser
        self.lexer = Lexer(parser.terminals)
        configuration = self.start().parse_conf
        self.actions = configuration.states
        self.steps = Steps(self.actions, configuration.callbacks, builder.nothing, self.lexer.keywords)

    def start(self) -> ParserState:
        """Start a parse."""
        return cast(ParserState, self._parser.parse_interactive().parser_state)


@cache
def grammar() -> Grammar:
    """Return the grammar of Thrift."""
    text = read_text("grammars", "thrift.lark")
    cache_file = _cache_file(text)
    builder = Builder()
    options: dict[str, Any] = {
        "start": "document",
        "parser": "lalr",
        "lexer": "basic",  # not used: `Lexer` scans
        "keep_all_tokens": True,
        "maybe_placeholders": False,
        "transformer": builder,
    }
    if cache_file is not None:
        try:
            return Grammar(lark.Lark(text, cache=str(cache_file), **options), builder)
        except Exception:  # noqa: BLE001  # a corrupt cache can raise any error; generate the tables instead
            pass
    return Grammar(lark.Lark(text, **options), builder)


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
