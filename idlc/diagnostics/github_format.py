"""Rendering of diagnostics as workflow commands of GitHub Actions, which become annotations of a pull request.

    ::error file=user.thrift,line=4,endLine=4,col=3,endColumn=4,title=field.id.duplicate::field id 1 is used twice

Source: "Workflow commands for GitHub Actions", and `command.ts` of actions/toolkit for the escapes. The API of checks
accepts columns only for annotations within a line.
"""

from __future__ import annotations

from collections.abc import Iterable

from idlc.diagnostics.diagnostic import Diagnostic

__all__ = ["render_github"]

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Return one workflow command for each diagnostic, each with a line end."""
    return "".join(map(_command, diagnostics))


def _command(found: Diagnostic) -> str:
    properties: dict[str, object] = {}
    if found.span is not None:
        start, end = found.span.position, found.span.file.position(found.span.end)
        properties = {"file": found.span.file.name, "line": start.line, "endLine": end.line}
        if start.line == end.line:
            properties |= {"col": start.column, "endColumn": end.column}
    properties["title"] = found.name
    shown = ",".join(f"{key}={_escape_property(str(value))}" for key, value in properties.items())
    text = f"{found.message}\nhelp: {found.help}" if found.help else found.message
    return f"::{_COMMANDS[found.severity]} {shown}::{_escape(text)}\n"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
