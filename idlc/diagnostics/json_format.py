"""JSON rendering of diagnostics: one document, for scripts and editors.

    {"version": 1, "tool": {"name": "idlc", "version": "0.1"},
     "diagnostics": [{"name": "field.id.duplicate", "severity": "error", "message": "field id 1 is used twice",
                      "note": "used again here", "help": "the next free id is 3",
                      "span": {"file": "user.thrift", "start": {"line": 4, "column": 3, "offset": 41},
                               "end": {"line": 4, "column": 4, "offset": 42}},
                      "labels": [{"text": "first used here", "span": {...}}],
                      "fixes": [{"text": "3", "span": {...}, "is_safe": true}]}],
     "counts": {"errors": 1, "warnings": 0, "notes": 0}}

Lines and columns are counted from 1, offsets from 0; columns and offsets are characters (Unicode code points), and ends
are exclusive. `span` is null where no file can be named. New keys may be added within a version.
"""

from __future__ import annotations

from typing import Any

import msgspec

from idlc.diagnostics.diagnostic import Diagnostic
from idlc.diagnostics.report import Report
from idlc.source import Position, Span

__all__ = ["render_json"]

_VERSION = 1


def render_json(report: Report, *, tool_version: str) -> str:
    """Return a report as a JSON document of one line per diagnostic, with a line end."""
    head = {"version": _VERSION, "tool": {"name": "idlc", "version": tool_version}}
    counts = {"errors": report.errors, "warnings": report.warnings, "notes": report.notes}
    lines = ",\n".join(_encode(_diagnostic(each)) for each in report)
    body = f"[\n{lines}\n]" if lines else "[]"
    return f'{_encode(head)[:-1]},"diagnostics":{body},"counts":{_encode(counts)}}}\n'


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _diagnostic(found: Diagnostic) -> dict[str, Any]:
    return {
        "name": found.name,
        "severity": found.severity,
        "message": _text(found.message),
        "note": _text(found.note),
        "help": _text(found.help),
        "span": None if found.span is None else _span(found.span),
        "labels": [{"text": _text(label.text), "span": _span(label.span)} for label in found.labels],
        "fixes": [{"text": _text(fix.text), "span": _span(fix.span), "is_safe": fix.is_safe} for fix in found.fixes],
    }


def _span(span: Span) -> dict[str, Any]:
    file = span.file
    return {
        "file": _text(file.name),
        "start": _position(span.position, span.start),
        "end": _position(file.position(span.end), span.end),
    }


def _position(position: Position, offset: int) -> dict[str, int]:
    return {"line": position.line, "column": position.column, "offset": offset}


def _text(text: str) -> str:
    """Replace lone surrogates, which JSON in UTF-8 cannot represent."""
    return text.encode("utf-8", "replace").decode()
