"""Texts of scalars in headers and cookies, which cannot have every character.

The texts are those of `idlrt.serialization.text_scalars`, as Latin-1. Elements of lists are separated by commas.
"""

from __future__ import annotations

import re
from typing import Any, Final

from idlrt.serialization._conversion_errors import ConversionError
from idlrt.serialization._plain_scalars import is_scalar
from idlrt.spec import ListType, SetType, Type

__all__ = ["cookie_value", "header_value", "is_list_of_scalars", "is_scalar", "list_value"]

# Field values of RFC 9110, section 5.5: without blanks at the ends, which are not part of them.
_HEADER: Final = re.compile(r"(?:[!-~\xa0-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")
_ITEM: Final = re.compile(r"(?:[!-+\--~\xa0-\xff](?:[ \t!-+\--~\x80-\xff]*[!-+\--~\x80-\xff])?)?")
# Cookie values of RFC 6265, section 4.1.1, and Latin-1.
_COOKIE: Final = re.compile(r"[!#-+\--:<-~\x80-\xff]*")


def is_list_of_scalars(type: Type[Any]) -> bool:
    """Return whether values of a type are lists or sets whose elements have a text."""
    return isinstance(type, ListType | SetType) and is_scalar(type.element)


def header_value(text: str) -> str:
    """Return a text that can be the value of a header.

    Raises:
        ConversionError: it has other characters.
    """
    return _checked(_HEADER, text, "Latin-1 text on one line, without blanks at its ends")


def list_value(texts: list[str]) -> str:
    """Return texts as the value of a header.

    Raises:
        ConversionError: one has other characters.
    """
    wanted = "Latin-1 text on one line, without commas, and without blanks at its ends"
    return ", ".join([_checked(_ITEM, text, wanted) for text in texts])


def cookie_value(text: str) -> str:
    """Return a text that can be the value of a cookie.

    Raises:
        ConversionError: it has other characters.
    """
    return _checked(_COOKIE, text, "Latin-1 text without blanks, quotation marks, commas and semicolons")


def _checked(pattern: re.Pattern[str], text: str, wanted: str) -> str:
    if not pattern.fullmatch(text):
        raise ConversionError(f"must be {wanted}")
    return text
