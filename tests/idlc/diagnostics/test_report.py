from __future__ import annotations

from pathlib import Path

from idlc.diagnostics import Report, summary
from idlc.source import SourceFile, Span

A = SourceFile(Path("a.thrift"), "x" * 100)
B = SourceFile(Path("b.thrift"), "x" * 100)


def test_duplicates_are_dropped() -> None:
    report = Report()
    for _ in range(3):
        report.error("a.b", "message", Span(A, 1, 2))
    report.error("a.b", "message", Span(A, 2, 3))
    report.error("a.b", "other message", Span(A, 1, 2))
    assert report.errors == 3


def test_diagnostics_are_ordered_by_file_and_position() -> None:
    report = Report()
    report.error("1", "", Span(B, 50, 51))
    report.warning("2", "", Span(A, 9, 10))
    report.error("3", "", Span(B, 3, 4))
    report.error("4", "", None)
    report.error("5", "", Span(A, 2, 3))
    assert [diagnostic.name for diagnostic in report] == ["4", "3", "1", "5", "2"]


def test_errors_and_warnings_are_counted() -> None:
    report = Report()
    assert (len(report), report.has_errors, summary(report)) == (0, False, "")
    report.warning("w", "", None)
    assert (report.has_errors, summary(report)) == (False, "1 warning")
    report.error("e", "", None)
    report.error("f", "", None)
    assert (report.has_errors, report.errors, report.warnings) == (True, 2, 1)
    assert summary(report) == "2 errors, 1 warning"
    report.note("n", "", None)
    assert (report.errors, report.warnings, report.notes) == (2, 1, 1)
    assert summary(report) == "2 errors, 1 warning, 1 note"


def test_errors_come_first_and_notes_last_at_the_same_position() -> None:
    report = Report()
    report.note("3", "", Span(A, 1, 2))
    report.warning("2", "", Span(A, 1, 2))
    report.error("1", "", Span(A, 1, 2))
    assert [diagnostic.name for diagnostic in report] == ["1", "2", "3"]
