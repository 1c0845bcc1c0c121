"""From a file to its syntax tree.

Lark's LALR machine does the parsing, fed here token by token, because the parser decides two things that Lark's own loop
does not: whether a keyword is one at this place, and how to go on after an error.
"""

from __future__ import annotations

from typing import Any

from lark import UnexpectedToken

from idlc.diagnostics import Report
from idlc.source import SourceFile, Span
from idlc.syntax import nodes
from idlc.syntax.comments import attach
from idlc.syntax.grammar import grammar
from idlc.syntax.lexer import END, Token

__all__ = ["parse"]


def parse(source: SourceFile, report: Report) -> nodes.Document:
    """Read one file.

    What cannot be read is reported and left out; the rest of the file is read all the same.
    """
    machine = grammar()
    tokens, comments = machine.lexer.scan(source, report)
    state = machine.start()
    keywords = machine.lexer.keywords
    actions = machine.actions
    stack = state.state_stack
    feed = state.feed_token
    items: Any = ()
    for token in tokens:
        if token.type in keywords and token.type not in actions[stack[-1]]:
            token = Token("NAME", token.text, token.start, token.end)
        try:
            items = feed(token, token.type == END)
        except UnexpectedToken as e:
            report.error("syntax.unexpected", f"unexpected `{token.text}`", Span(source, token.start, token.end), help=str(e.expected))
            items = ()
            break
    doc, docs = attach(source.text, comments, tokens, items)
    return nodes.Document(source=source, items=items, comments=tuple(comments), docs=docs, doc=doc)
