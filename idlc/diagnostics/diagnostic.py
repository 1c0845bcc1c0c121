"""One finding about an IDL file.

How messages are written: lower case, no full stop; short; the smallest span that is wrong comes first;
at most three spans; never two findings for one cause; a `help` when the fix is known; "not allowed"
rather than "illegal"; nobody is blamed; the tool has no first person. Every kind of finding has a stable
dotted name (`field.id.duplicate`) that people can search for and that checks are configured by.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from idlc.source import Span

__all__ = ["Diagnostic", "Fix", "Label", "Severity"]

Severity: TypeAlias = Literal["error", "warning", "note"]


class Label(msgspec.Struct, frozen=True):
    """A second place that explains a finding ("first declared here")."""

    span: Span
    text: str


class Fix(msgspec.Struct, frozen=True):
    """An edit that would mend it: replace what `span` covers by `text`."""

    span: Span
    text: str


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """A finding.

    Attributes:
        severity: `error`: nothing is written; `warning`: the IDL is questionable; `note`: the IDL is fine, but
            the output differs from what its reader may expect.
        name: stable dotted name of the kind of finding.
        span: the place that is wrong; `None` only when no file can be named (a missing input).
        note: what to write under the carets, may be empty.
        labels: further places, at most two.
        help: what to do about it, may be empty.
    """

    name: str
    message: str
    span: Span | None
    severity: Severity = "error"
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    fixes: tuple[Fix, ...] = ()
