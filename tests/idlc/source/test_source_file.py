from __future__ import annotations

from pathlib import Path

import pytest

from idlc.source import Position, SourceFile, Span


@pytest.mark.parametrize(
    ("offset", "line", "column"), [(0, 1, 1), (2, 1, 3), (3, 2, 1), (4, 3, 1), (6, 3, 3), (7, 4, 1)]
)
def test_offsets_become_lines_and_columns(offset: int, line: int, column: int) -> None:
    assert SourceFile(Path("a"), "ab\n\ncd\n").position(offset) == Position(line, column)


def test_lines_exclude_line_ends() -> None:
    file = SourceFile(Path("a"), "one\r\ntwo\nthree")
    assert [file.line(number) for number in range(6)] == ["", "one", "two", "three", "", ""]


def test_a_span_is_formatted_as_file_line_column() -> None:
    file = SourceFile(Path("/x/a.thrift"), "ab\ncd", name="a.thrift")
    span = Span(file, 3, 5)
    assert str(span) == "a.thrift:2:1"
    assert span.text == "cd"
