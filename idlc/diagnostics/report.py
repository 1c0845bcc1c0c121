"""Collection of all diagnostics of a compile.

Passes add to the report and continue after errors. Duplicates are dropped, and iteration is ordered by file and
position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from idlc.diagnostics.diagnostic import Diagnostic, Severity
from idlc.source import Span

__all__ = ["Report"]

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


class Report:
    """Diagnostics of a compile.

    Iteration orders them by file, in the order in which files were first reported, and by position within a file.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Diagnostic] = {}
        self._counts: Counter[Severity] = Counter()

    def add(self, diagnostic: Diagnostic) -> None:
        """Add a diagnostic, unless the report already has one with the same name, span and message."""
        span = diagnostic.span
        place = (span.file.path, span.start, span.end) if span is not None else None
        key = (diagnostic.name, place, diagnostic.message)
        if key not in self._found:
            self._found[key] = diagnostic
            self._counts[diagnostic.severity] += 1

    def error(self, name: str, message: str, span: Span | None, **details: Any) -> None:
        """Add an error; `details` are the other attributes of `Diagnostic`."""
        self.add(Diagnostic(name=name, message=message, span=span, severity="error", **details))

    def warning(self, name: str, message: str, span: Span | None, **details: Any) -> None:
        """Add a warning; `details` are the other attributes of `Diagnostic`."""
        self.add(Diagnostic(name=name, message=message, span=span, severity="warning", **details))

    def note(self, name: str, message: str, span: Span | None, **details: Any) -> None:
        """Add a note; `details` are the other attributes of `Diagnostic`."""
        self.add(Diagnostic(name=name, message=message, span=span, severity="note", **details))

    @property
    def errors(self) -> int:
        """Number of errors."""
        return self._counts["error"]

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return self._counts["warning"]

    @property
    def notes(self) -> int:
        """Number of notes."""
        return self._counts["note"]

    @property
    def has_errors(self) -> bool:
        """Whether there is at least one error."""
        return self._counts["error"] > 0

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Diagnostic]:
        files: dict[object, int] = {}
        for diagnostic in self._found.values():
            if diagnostic.span is not None:
                files.setdefault(diagnostic.span.file.path, len(files))

        def place(diagnostic: Diagnostic) -> tuple[int, int, int, int]:
            span = diagnostic.span
            if span is None:
                return (-1, 0, 0, 0)
            return (files[span.file.path], span.start, span.end, _ORDER.index(diagnostic.severity))

        return iter(sorted(self._found.values(), key=place))
