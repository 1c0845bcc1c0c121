"""Diagnostic about an IDL file: an error, a warning or a note.

Style of messages: lower case, no full stop, short; the smallest span that is wrong comes first; at most three spans;
one diagnostic per cause; a `help` if the fix is known; "not allowed" rather than "illegal"; no blame, no first person.
Every kind of diagnostic has a stable dotted name (`field.id.duplicate`), by which users search for it and checks are
configured.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from idlc.source import Span

__all__ = ["Diagnostic", "Fix", "Label", "Severity"]

Severity: TypeAlias = Literal["error", "warning", "note"]


class Label(msgspec.Struct, frozen=True):
    """Secondary span that explains a diagnostic ("first declared here")."""

    span: Span
    text: str


class Fix(msgspec.Struct, frozen=True):
    """Edit that fixes the problem: replace the text of `span` by `text`.

    Attributes:
        is_safe: whether the edit keeps what the IDL means, so that it can be applied without being read. Guesses of a
            name, and changes of what is on the wire, are not safe.
    """

    span: Span
    text: str
    is_safe: bool = True


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """An error, warning or note about an IDL file.

    Attributes:
        name: stable dotted name of the kind of diagnostic.
        message: description of the problem, in one line.
        span: source text that is wrong; `None` only if no file can be named (a missing input file).
        severity: `error`: no output is written; `warning`: the IDL is questionable; `note`: the IDL is valid, but the
            output differs from what a reader may expect.
        note: text under the carets; may be empty.
        labels: secondary spans, at most two.
        help: how to fix the problem; may be empty.
        fixes: edits that fix the problem, if all of them are applied.
    """

    name: str
    message: str
    span: Span | None
    severity: Severity = "error"
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    fixes: tuple[Fix, ...] = ()
