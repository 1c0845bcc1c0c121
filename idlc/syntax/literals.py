"""Values of literals.

Integers are signed 64-bit numbers in decimal, hexadecimal, octal (`0o`) or binary (`0b`) notation; leading zeros have
no effect, as in Apache Thrift. Strings support the escapes of Apache Thrift (`\\r \\n \\t \\" \\' \\\\`) and also
`\\xhh` and `\\uhhhh`. An invalid literal is reported and replaced by a valid value, so that parsing continues.
"""

from __future__ import annotations

import re

from idlc.diagnostics import Report
from idlc.source import SourceFile, Span

__all__ = ["binary", "integer", "string"]

_LIMIT = 2**63
_BASES = {"x": 16, "o": 8, "b": 2}
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def integer(source: SourceFile, report: Report, text: str, start: int) -> int:
    """Return the value of an integer literal at offset `start`; 0 if it does not fit in 64 bits."""
    digits = text.lstrip("+-")
    base = _BASES.get(digits[1:2].lower(), 10)
    # Python refuses to convert thousands of digits, and any number of that length is out of range.
    value = int(digits, base) if len(digits) < 100 else _LIMIT + 1
    if text[0] == "-":
        value = -value
    if -_LIMIT <= value < _LIMIT:
        return value
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    report.error("syntax.number.range", f"`{shown}` does not fit in 64 bits", Span(source, start, start + len(text)))
    return 0


def string(source: SourceFile, report: Report, text: str, start: int) -> str:
    """Return the value of a string literal from its text between the quotes, which begins at offset `start`."""
    if "\\" not in text:
        return text

    def replace(found: re.Match[str]) -> str:
        two, four, plain = found.groups()
        if plain is None:
            return chr(int(two or four, 16))
        if plain in _PLAIN:
            return _PLAIN[plain]
        where = start + found.start()
        report.error(
            "syntax.string.escape",
            f"unknown escape `\\{plain}`" if plain.isprintable() else "unknown escape",
            Span(source, where, where + 2),
            help=r"known escapes are \r \n \t \" \' \\ \xhh \uhhhh; write \\ for a backslash",
        )
        return plain

    value = _ESCAPE.sub(replace, text)
    # As in JSON, `\ud83d\ude00` is one character outside of the Basic Multilingual Plane.
    joined = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if joined.count("\ufffd") > value.count("\ufffd"):
        report.error(
            "syntax.string.escape",
            "incomplete surrogate pair in a string",
            Span(source, start - 1, start + len(text) + 1),
            help="write both surrogates, or the character itself",
        )
    return joined


def binary(text: str) -> bytes:
    """Return the bytes of a string literal from its text between the quotes: `\\xhh` is a byte, all else is UTF-8."""
    pieces: list[bytes] = []
    position = 0
    for found in _ESCAPE.finditer(text):
        two, four, plain = found.groups()
        pieces.append(text[position : found.start()].encode())
        position = found.end()
        if two is not None:
            pieces.append(bytes((int(two, 16),)))
        else:
            character = _PLAIN.get(plain, plain) if plain is not None else chr(int(four, 16))
            pieces.append(character.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())
    pieces.append(text[position:].encode())
    return b"".join(pieces)
