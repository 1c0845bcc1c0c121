from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from idlc.diagnostics import Report
from idlc.source import SourceFile
from idlc.syntax import Document, parse


@pytest.fixture
def read() -> Callable[[str], tuple[Document, Report]]:
    """Parse a text; return the document and the report."""

    def read(text: str) -> tuple[Document, Report]:
        report = Report()
        return parse(SourceFile(Path("/test.thrift"), text, name="test.thrift"), report), report

    return read


@pytest.fixture
def read_well(read: Callable[[str], tuple[Document, Report]]) -> Callable[[str], Document]:
    """Parse a text without errors."""

    def read_well(text: str) -> Document:
        document, report = read(text)
        assert [str(diagnostic.message) for diagnostic in report] == []
        return document

    return read_well
