from __future__ import annotations

from collections.abc import Callable

import pytest

from idlc.diagnostics import Report
from idlc.syntax import Document, nodes
from idlc.syntax.literals import binary


def value(document: Document) -> object:
    (const,) = document.items
    assert isinstance(const, nodes.Const)
    assert isinstance(const.value, nodes.IntLiteral | nodes.DoubleLiteral | nodes.StringLiteral)
    return const.value.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("+7", 7),
        ("-7", -7),
        ("010", 10),
        ("0xFF", 255),
        ("0Xff", 255),
        ("-0x1F", -31),
        ("+0b101", 5),
        ("0o17", 15),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-1E-3", -0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("+1.e2", 100.0),
        ("1.5e+2", 150.0),
    ],
)
def test_numbers(text: str, expected: float, read_well: Callable[[str], Document]) -> None:
    found = value(read_well(f"const i32 A = {text}"))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"plain"', "plain"),
        (r"'single'", "single"),
        (r'"it\'s"', "it's"),
        (r"""'say "hi"'""", 'say "hi"'),
        (r'"\r\n\t\"\'\\"', "\r\n\t\"'\\"),
        (r'"\x41\u00e9"', "A\u00e9"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"日本"', "日本"),
        ('"// no comment # at /* all"', "// no comment # at /* all"),
        ('""', ""),
    ],
)
def test_strings(text: str, expected: str, read_well: Callable[[str], Document]) -> None:
    assert value(read_well(f"const string A = {text}")) == expected


@pytest.mark.parametrize(
    ("text", "name", "column"),
    [
        ("9223372036854775808", "syntax.number.range", 15),
        ("-9223372036854775809", "syntax.number.range", 15),
        ("0xFFFFFFFFFFFFFFFF", "syntax.number.range", 15),
        ("9" * 10_000, "syntax.number.range", 15),
        ("0xZZ", "syntax.number", 15),
        ("12ab", "syntax.number", 15),
        (r'"a\qb"', "syntax.string.escape", 17),
        (r'"a\x4"', "syntax.string.escape", 17),
        (r'"\udc00"', "syntax.string.escape", 15),
        ('"open', "syntax.string.unclosed", 15),
        ('"over\nlines"', "syntax.string.multiline", 15),
        ("'over\r\nlines'\r\n", "syntax.string.multiline", 15),
    ],
)
def test_invalid_literals_are_one_error_each(
    text: str, name: str, column: int, read: Callable[[str], tuple[Document, Report]]
) -> None:
    document, report = read(f"const i32 A = {text}\nstruct B {{}}")
    assert [(diagnostic.name, diagnostic.span and diagnostic.span.position.column) for diagnostic in report] == [
        (name, column)
    ]
    assert [type(item) for item in document.items] == [nodes.Const, nodes.Struct]


def test_escapes_of_binary_are_bytes() -> None:
    assert binary(r"\xff\x00é\u00e9\n") == b"\xff\x00\xc3\xa9\xc3\xa9\n"
