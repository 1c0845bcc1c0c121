"""Formatting of IDL texts, with checks of what every result must have in common with its source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from idlc.diagnostics import Report, render_short
from idlc.formatting import DEFAULT_WIDTH, format_source
from idlc.source import SourceFile
from idlc.syntax import nodes, parse

_PLACES = ("start", "end", "requiredness_span")


def formatted(text: str, *, width: int = DEFAULT_WIDTH) -> str:
    """Format a text without syntax errors."""
    result, report = format_text(text, width=width)
    assert render_short(report) == ""
    assert meaning(result) == meaning(text)
    assert format_text(result, width=width)[0] == result
    return result


def format_text(text: str, *, width: int = DEFAULT_WIDTH) -> tuple[str, Report]:
    report = Report()
    return format_source(SourceFile(Path("/test.thrift"), text, name="test.thrift"), report, width=width), report


def meaning(text: str) -> tuple[object, ...]:
    """Return what formatting must not change: the tree with its doc comments, and the words of all comments."""
    report = Report()
    document = parse(SourceFile(Path("/test.thrift"), text, name="test.thrift"), report)
    assert render_short(report) == ""
    words = sorted(" ".join(comment.text.split()) for comment in document.comments)
    return document.doc, list(_nodes(document, document.items)), words


def _nodes(document: nodes.Document, value: object) -> Iterator[object]:
    if isinstance(value, nodes.Node):
        yield type(value).__name__, document.docs.get(value.start)
        for name in value.__struct_fields__:
            if name not in _PLACES:
                yield from _nodes(document, getattr(value, name))
    elif isinstance(value, tuple):
        yield len(value)
        for each in value:
            yield from _nodes(document, each)
    else:
        yield value
