"""Strings of JSON: finding where one ends, and what its escapes stand for.

Source: RFC 8259, section 7
"""

from __future__ import annotations

import re
from typing import Final

from idlrt.wire.faults import bad_text, too_short, unexpected

__all__ = ["string_end", "unescaped"]

# Possessive, so that a string without an end is no reason to look at it again and again.
_PLAIN: Final = re.compile(rb'"[^"\\]*+"')
_ANY: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rf"\\(?:({_PAIR}|u[0-9a-fA-F]{{4}})|(.?))", re.DOTALL)
_SIMPLE: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def string_end(data: bytes, offset: int) -> tuple[int, bool]:
    """The offset after the string whose opening quote is at `offset`, and whether there are escapes in it.

    Raises:
        Fault: it does not end.
    """
    found = _PLAIN.match(data, offset)
    if found is not None:
        return found.end(), False
    found = _ANY.match(data, offset)
    if found is None:
        raise too_short(len(data), 1, len(data))
    return found.end(), True


def unescaped(data: bytes, offset: int) -> str:
    """The text for which `data` stands: what is between the quotes of a string, and begins at `offset`.

    Raises:
        Fault: it is not UTF-8, or an escape is none, or stands for half a character.
    """
    try:
        text = data.decode()
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
        at = offset + len(text[: found.start()].encode())
        raise unexpected(at, "an escape for a whole character", found[0])

    return _ESCAPE.sub(replace, text)
