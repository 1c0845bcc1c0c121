"""What literals mean.

Integers are signed 64-bit numbers in decimal, hexadecimal, octal (`0o`) or binary (`0b`); a leading zero means
nothing, as in Apache Thrift. Strings know Apache's escapes (`\\r \\n \\t \\" \\' \\\\`) and, beyond them,
`\\xhh` and `\\uhhhh`. A bad literal is reported and stands for something harmless, so that parsing goes on.
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
    """The value of an integer literal that stands at `start`; 0 if it does not fit in 64 bits."""
    digits = text.lstrip("+-")
    base = _BASES.get(digits[1:2].lower(), 10)
    # A number of thousands of digits is out of range whatever it is, and Python refuses to read it.
    value = int(digits, base) if len(digits) < 100 else _LIMIT + 1
    if text[0] == "-":
        value = -value
    if -_LIMIT <= value < _LIMIT:
        return value
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    report.error("syntax.number.range", f"`{shown}` does not fit in 64 bits", Span(source, start, start + len(text)))
    return 0


def string(source: SourceFile, report: Report, text: str, start: int) -> str:
    """The value of what stands between the quotes, the first character of it at `start`."""
    if "\\" not in text:
        return text

    def replace(found: re.Match[str]) -> str:
        two, four, plain = found.groups()
        if plain is None:
            return chr(int(two or four, 16))
        if plain in _PLAIN:
            return _PLAIN[plain]
        where = start + found.start()
        shown = f"`\\{plain}`" if plain.isprintable() else "this"
        report.error(
            "syntax.string.escape",
            f"{shown} is not a known escape",
            Span(source, where, where + 2),
            help=r"known are \r \n \t \" \' \\ \xhh \uhhhh; a backslash itself is written \\",
        )
        return plain

    value = _ESCAPE.sub(replace, text)
    # `\ud83d\ude00` is one character beyond the first plane, as in JSON.
    joined = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if joined.count("\ufffd") > value.count("\ufffd"):
        report.error(
            "syntax.string.escape",
            "half of a surrogate pair is not a character",
            Span(source, start - 1, start + len(text) + 1),
            help="write both halves, or the character itself",
        )
    return joined


def binary(text: str) -> bytes:
    """The bytes of what stands between the quotes: `\\xhh` is one byte, all else is UTF-8."""
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
