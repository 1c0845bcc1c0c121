"""Results of the functions of the Python API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from idlc.diagnostics import Diagnostic, Report, render

if TYPE_CHECKING:
    from idlc.breaking import Finding
    from idlc.codegen import GeneratedFile
    from idlc.model import Program
    from idlc.syntax import Document

__all__ = ["BreakingChanges", "Checked", "Compiled", "Formatted", "Generated", "IdlError", "Parsed", "Result"]


class IdlError(ValueError):
    """IDL files have errors. The message is the text of all diagnostics, as the command line prints them.

    Attributes:
        report: all diagnostics.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(render(report).rstrip("\n"))
        self.report = report


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Diagnostics of a function of the API.

    Attributes:
        report: all diagnostics.
    """

    report: Report

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All diagnostics, ordered by file and position."""
        return tuple(self.report)

    @property
    def has_errors(self) -> bool:
        """Whether there is at least one error."""
        return self.report.has_errors

    def raise_for_errors(self) -> None:
        """Raise an exception if there are errors.

        Raises:
            IdlError: there is at least one error.
        """
        if self.report.has_errors:
            raise IdlError(self.report)


class Parsed(Result, frozen=True, kw_only=True):
    """Result of `parse`.

    Attributes:
        report: syntax errors.
        document: syntax tree; items with errors are missing.
    """

    document: Document


class Checked(Result, frozen=True, kw_only=True):
    """Result of `check`.

    Attributes:
        report: all diagnostics.
        programs: linked files: the requested ones in the given order, then included ones. If there are errors,
            declarations may be missing.
    """

    programs: tuple[Program, ...]


class Generated(Result, frozen=True, kw_only=True):
    """Result of `generate`.

    Attributes:
        report: all diagnostics.
        files: paths below an output folder, and texts; empty if there are errors.
    """

    files: tuple[GeneratedFile, ...] = ()


class Formatted(Result, frozen=True, kw_only=True):
    """Result of `format`.

    Attributes:
        report: syntax errors.
        text: formatted text; items with errors are unchanged.
    """

    text: str


class BreakingChanges(Result, frozen=True, kw_only=True):
    """Result of `find_breaking_changes`.

    Attributes:
        report: incompatible changes as errors, or errors of the IDL files of one of both versions.
        changes: incompatible changes; empty if files have errors.
    """

    changes: tuple[Finding, ...] = ()


class Compiled(Result, frozen=True, kw_only=True):
    """Result of `compile`.

    Attributes:
        report: all diagnostics. If it has errors, nothing was written.
        written: files that were new or have changed (with `only_compare`: that would be written).
        unchanged: files that were up to date.
        inputs: IDL files that were read, including included ones.
        texts: texts of the files that were written.
    """

    written: list[Path] = []
    unchanged: list[Path] = []
    inputs: list[Path] = []
    texts: Mapping[Path, str] = {}
