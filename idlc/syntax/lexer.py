"""Lexer: from text to tokens.

The terminals of the grammar file are joined into one regular expression, so that a file is scanned in a single pass.
Whether a keyword is a keyword or a name depends on the parser: the token has the type of the keyword, and the parser
turns it into a `NAME` where a name is expected.

Scanning never fails. Invalid text is reported once and replaced, so that parsing continues: an unclosed string ends at
the end of its line, a stray character is skipped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec
from lark.lexer import PatternStr, TerminalDef

from idlc.diagnostics import Fix, Report
from idlc.source import SourceFile, Span
from idlc.syntax.literals import integer, string
from idlc.syntax.nodes import Comment

__all__ = ["END", "Lexer", "Token"]

END = "$END"
"""Type of the token that marks the end of the file; the name is that of Lark."""

_IGNORED = ("COMMENT", "SPACE")

# Text that no terminal matches, in order of precedence: the last alternative matches any character.
_MISTAKES = r"""(?P<OPEN_STRING>["'][^\n]*)|(?P<OPEN_COMMENT>/\*)|(?P<WORD>[^\W\d]\w*)|(?P<STRAY>.)"""

_WORD = re.compile(r"\w+")
_STRAY = re.compile(r"[^\w\s\"'/#@&*(){}\[\]<>=:;,.+-]+")
_QUOTES = {"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'", "\u201a": "'"}


def _described(character: str) -> str:
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


# A string over at most 50 lines that is followed by the end of an element; otherwise the quote opens the next string.
_MULTILINE = {
    quote: re.compile(rf"({quote}{line}(?:\\?\n{line}){{1,50}}{quote})[ \t]*(?=[\r\n,;)\]}}:/#]|\Z)")
    for quote in "\"'"
    for line in [rf"(?:[^{quote}\\\n]|\\[^\n])*"]
}


class Token(msgspec.Struct, gc=False):
    """Token: its type in the grammar, its text and offsets, and the value of a literal."""

    type: str
    text: str
    start: int
    end: int
    value: str | int | float | None = None


class Lexer:
    """Lexer for the terminals of a grammar.

    Attributes:
        keywords: types of keywords, which are names where the grammar expects a name.
        types: types of keywords and symbols, by text.
        texts: texts of keywords and symbols, by type.
    """

    def __init__(self, terminals: Iterable[TerminalDef]) -> None:
        self.types: dict[str, str] = {}
        patterns: list[TerminalDef] = []
        for terminal in terminals:
            if isinstance(terminal.pattern, PatternStr):
                self.types[terminal.pattern.value] = str(terminal.name)
            elif terminal.name not in _IGNORED:
                patterns.append(terminal)
        self.texts = {type: text for text, type in self.types.items()}
        self.keywords = frozenset(type for text, type in self.types.items() if text[0].isalpha())
        comment = next(terminal for terminal in terminals if terminal.name == "COMMENT")
        symbols = "".join(re.escape(text) for text in self.types if not text[0].isalpha())
        patterns.sort(key=lambda terminal: -terminal.priority)
        words = "|".join(f"(?P<{terminal.name}>{terminal.pattern.to_regexp()})" for terminal in patterns)
        words += rf"|(?P<COMMENT>{comment.pattern.to_regexp()})|(?P<SYMBOL>[{symbols}@])|{_MISTAKES}"
        self._scan = re.compile(rf"[ \t\r\n\f\v]*+(?:{words})")

    def scan(self, source: SourceFile, report: Report) -> tuple[list[Token], list[Comment]]:
        """Return all tokens of a file, which end with `END`, and all its comments."""
        text = source.text
        types = self.types
        tokens: list[Token] = []
        comments: list[Comment] = []
        add = tokens.append
        position = 0
        match = self._scan.match
        while found := match(text, position):
            kind = found.lastgroup
            assert kind is not None
            start, position = found.span(kind)
            word = text[start:position]
            if kind == "NAME":
                add(Token(types.get(word, "NAME"), word, start, position))
            elif kind == "SYMBOL":
                add(Token(types.get(word, word), word, start, position))
            elif kind == "INT":
                position = self._end_of_number(source, report, start, position)
                add(Token(kind, word, start, position, integer(source, report, word, start)))
            elif kind == "STRING":
                add(Token(kind, word, start, position, string(source, report, word[1:-1], start + 1)))
            elif kind == "COMMENT":
                comments.append(Comment(start, position, word))
            elif kind == "DOUBLE":
                position = self._end_of_number(source, report, start, position)
                add(Token(kind, word, start, position, float(word)))
            elif kind == "HYPHENATED":
                add(Token(kind, word, start, position))
            else:
                position = self._mistake(kind, source, report, start, position, tokens, comments)
        add(Token(END, "", len(text), len(text)))
        return tokens, comments

    def _end_of_number(self, source: SourceFile, report: Report, start: int, end: int) -> int:
        glued = _WORD.match(source.text, end)
        if glued is None:
            return end
        word = source.text[start : glued.end()]
        report.error("syntax.number", f"invalid number `{word}`", Span(source, start, glued.end()))
        return glued.end()

    def _mistake(
        self,
        kind: str,
        source: SourceFile,
        report: Report,
        start: int,
        end: int,
        tokens: list[Token],
        comments: list[Comment],
    ) -> int:
        text = source.text
        if kind == "OPEN_STRING":
            return self._open_string(source, report, start, end, tokens)
        if kind == "OPEN_COMMENT":
            report.error(
                "syntax.comment.unclosed",
                "unclosed comment",
                Span(source, start, start + 2),
                help="end it with `*/`",
            )
            comments.append(Comment(start, len(text), text[start:]))
            return len(text)
        span = Span(source, start, end)
        if kind == "WORD":
            report.error(
                "syntax.character",
                f"name `{text[start:end]}` contains characters that are not allowed",
                span,
                help="names consist of the letters a to z and A to Z, digits, `_` and `.`",
            )
            tokens.append(Token("NAME", text[start:end], start, end))
            return end
        run = _STRAY.match(text, start)
        end = max(end, run.end()) if run is not None else end
        word = text[start:end]
        span = Span(source, start, end)
        quote = _QUOTES.get(word[0])
        if quote is not None:
            report.error(
                "syntax.character",
                f"typographic quote `{word[0]}`",
                Span(source, start, start + 1),
                help=f"write `{quote}`",
                fixes=(Fix(Span(source, start, start + 1), quote),),
            )
            line_end = text.find("\n", start)
            return line_end if line_end >= 0 else len(text)
        if not word.isprintable():
            # The source line does not show the character, so the message names it.
            named = ", ".join(_described(character) for character in word[:8])
            kind = "character" if len(word) == 1 else "characters"
            report.error(
                "syntax.character",
                f"invisible {kind} {named}",
                span,
                help="remove it" if len(word) == 1 else "remove them",
                fixes=(Fix(Span(source, start, end), ""),),
            )
            return end
        quoted = f"`{word}`" if "`" not in word else f"'{word}'"
        report.error("syntax.character", f"unexpected {quoted}", Span(source, start, end))
        return end

    def _open_string(self, source: SourceFile, report: Report, start: int, end: int, tokens: list[Token]) -> int:
        text = source.text
        quote = text[start]
        whole = _MULTILINE[quote].match(text, start)
        if whole is not None:
            closing = whole.end(1) - 1
            report.error(
                "syntax.string.multiline",
                "strings cannot span multiple lines",
                Span(source, start, closing + 1),
                help="write `\\n` for a line break",
            )
            tokens.append(Token("STRING", text[start : closing + 1], start, closing + 1, text[start + 1 : closing]))
            return closing + 1
        end = start + len(text[start:end].rstrip())
        report.error(
            "syntax.string.unclosed",
            "unclosed string",
            Span(source, start, end),
            help=f"close it with `{quote}`",
        )
        tokens.append(Token("STRING", text[start:end], start, end, text[start + 1 : end]))
        return end
