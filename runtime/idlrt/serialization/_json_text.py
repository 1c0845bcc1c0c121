"""JSON tokens: ends of strings, and values of strings and numbers. Used by both backends.

Source: RFC 8259, sections 6 and 7
"""

from __future__ import annotations

import binascii
import math
import re
import uuid
from typing import Final

from idlrt.serialization.errors import bad_text, out_of_range, over_limit, too_short, unexpected
from idlrt.serialization.options import TextErrors

__all__ = [
    "MOST_OF_REAL",
    "OTHER_STRING",
    "binary_of",
    "double_of",
    "kind_of",
    "string_end",
    "text_of",
    "unescaped",
    "uuid_of",
]

MOST_OF_REAL: Final = 1100
"""Maximum length of a double in bytes: up to 767 significant digits after up to 323 zeros."""

OTHER_STRING: Final = "another string"
"""A string that is no known name, in errors."""

_QUOTE: Final = ord('"')
_PUNCTUATION: Final = b"{}[],:"
_IN_NUMBERS: Final = b"-+.0123456789"

# Bytes of an escape that stands for one byte.
_LONGEST_ESCAPE = 6

# Possessive, so that a string without an end is no reason to look at it again and again.
_PLAIN: Final = re.compile(rb'"[^"\\]*+"')
_ANY: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rf"\\(?:({_PAIR}|u[0-9a-fA-F]{{4}})|(.?))", re.DOTALL)
_REAL: Final = re.compile(rb"-?[0-9]++(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_BASE64: Final = re.compile(rb"([A-Za-z0-9+/]*+)={0,2}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_NOT_FINITE: Final = {b"NaN": math.nan, b"Infinity": math.inf, b"-Infinity": -math.inf}
_SIMPLE: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def kind_of(first: int) -> str:
    """Return what begins with a byte, for an error: never its content, which may belong to a sensitive field."""
    if first in _PUNCTUATION:
        return repr(chr(first))
    if first == _QUOTE:
        return "a string"
    return "a number" if first in _IN_NUMBERS else "other text"


def string_end(data: bytes, offset: int) -> tuple[int, bool]:
    """Return the offset after the string whose opening quote is at `offset`, and whether it has escapes.

    Raises:
        DecodeError: it does not end.
    """
    found = _PLAIN.match(data, offset)
    if found is not None:
        return found.end(), False
    found = _ANY.match(data, offset)
    if found is None:
        raise too_short(len(data), 1, len(data))
    return found.end(), True


def unescaped(data: bytes, offset: int, errors: TextErrors = "strict") -> str:
    """Return the text of the content of a string, `data`, which starts at `offset`.

    Where it is not UTF-8 and `errors` is not `strict`, wrong bytes are lone surrogates in it (PEP 383), and half a
    character is the three bytes that would encode it.

    Raises:
        DecodeError: it is not UTF-8, or stands for half a character, and `errors` is `strict`; or an escape is none.
    """
    try:
        text = data.decode(errors="strict" if errors == "strict" else "surrogateescape")
    except UnicodeDecodeError as error:
        raise bad_text(offset, error) from None

    def replace(found: re.Match[str]) -> str:
        code, simple = found[1], found[2]
        if code is None:
            if simple in _SIMPLE:
                return _SIMPLE[simple]
        elif len(code) > 5:
            high, low = int(code[1:5], 16), int(code[7:], 16)
            return chr(0x10000 + ((high & 0x3FF) << 10 | low & 0x3FF))
        elif not 0xD800 <= (number := int(code[1:], 16)) <= 0xDFFF:
            return chr(number)
        elif errors != "strict":
            return chr(number).encode(errors="surrogatepass").decode(errors="surrogateescape")
        at = offset + len(_bytes_of(text[: found.start()]))
        raise unexpected(at, "an escape of a valid character", found[0])

    return _ESCAPE.sub(replace, text)


def _bytes_of(text: str) -> bytes:
    """Return the bytes of the unescaped text."""
    return text.encode(errors="surrogateescape")


def text_of(data: bytes, has_escapes: bool, offset: int, most: int, errors: TextErrors = "strict") -> str:
    """Return the value of a string.

    Args:
        data: what is between its quotes.
        has_escapes: whether there are escapes in it.
        offset: where `data` begins.
        most: bytes that the text may have as UTF-8 (`Limits.max_string`).
        errors: what happens if it is not UTF-8.

    Raises:
        DecodeError: it is over the limit, or no text.
    """
    size = len(data)
    if size > most and has_escapes and size <= most * _LONGEST_ESCAPE:
        size = len(_bytes_of(unescaped(data, offset, errors)))
    if size > most:
        raise over_limit(offset, size, "max_string", most)
    text = unescaped(data, offset, errors)
    return _bytes_of(text).decode(errors="replace") if errors == "replace" else text


def binary_of(data: bytes, has_escapes: bool, offset: int, most: int) -> bytes:
    """Return the bytes of a base64 string. Raises as `text_of`."""
    if has_escapes:
        data = unescaped(data, offset).encode()
    found = _BASE64.fullmatch(data)
    if found is None or len(found[1]) % 4 == 1:
        raise unexpected(offset, "base64", repr(data[:20].decode(errors="replace")))
    digits = found[1]
    size = len(digits) * 3 // 4
    if size > most:
        raise over_limit(offset, size, "max_string", most)
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def uuid_of(data: bytes, has_escapes: bool, offset: int) -> uuid.UUID:
    """Return the UUID of a string. Raises as `text_of`."""
    try:
        text = unescaped(data, offset) if has_escapes else data.decode()
        if not _UUID.fullmatch(text):  # Python takes many other forms
            raise ValueError
        return uuid.UUID(text)
    except ValueError:
        raise unexpected(offset, "a uuid", repr(data[:40].decode(errors="replace"))) from None


def double_of(token: bytes, offset: int, is_quoted: bool) -> float:
    """Return the double of a number, or of a string: a key, or a value that is not finite.

    Raises:
        DecodeError: it stands for none, or for more than a double holds.
    """
    if is_quoted:
        if token in _NOT_FINITE:
            return _NOT_FINITE[token]
        if len(token) > MOST_OF_REAL:
            raise out_of_range(offset, token[:50].decode(errors="replace"), "double")
    if not _REAL.fullmatch(token):
        raise unexpected(offset, "double", repr(token.decode(errors="replace")))
    number = float(token)
    if math.isinf(number):
        raise out_of_range(offset, token.decode(), "double")
    return number
