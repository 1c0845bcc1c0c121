"""Scalars as bare text: path variables, query parameters, headers, cookies and form fields.

The text is the decoded one: percent-encoding and quoting are not known here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

from idlrt.serialization._conversion_errors import ConversionError, described, located
from idlrt.serialization._plain_scalars import Convert, is_scalar, key_reader, key_writer
from idlrt.serialization._rest_scalars import BASE64_PATTERN, INTEGER_PATTERN, UUID_PATTERN, rest_key_reader
from idlrt.spec import BaseType, ListType, SetType, Type

__all__ = [
    "BASE64_PATTERN",
    "INTEGER_PATTERN",
    "UUID_PATTERN",
    "ConversionError",
    "located",
    "text_reader",
    "text_writer",
]


def text_reader(type: Type[Any], *, rest: bool = True) -> Callable[[str], Any]:
    """Return the function that converts text to a value of a type, as handlers receive it (not to JSON).

    Booleans are `true` or `false`, integers decimal without leading zeros, doubles as in JSON or `NaN`, `Infinity`,
    `-Infinity`, enums names or numbers, binary base64url or base64 with padding or without, UUIDs canonical. Strings
    must be without lone surrogates.

    The function raises `ConversionError`, whose `what` tells the expected form; `located` adds the name of the place.

    Args:
        type: a base type or an enum; for a list or set, the function converts one element.
        rest: read strictly, as REST does; else as the keys of JSON objects, which have more forms of UUIDs and enums.

    Raises:
        TypeError: values of the type have no text.
    """
    scalar = _scalar(type)
    read = rest_key_reader(scalar) if rest else key_reader(scalar)
    return partial(_convert, read)


def text_writer(type: Type[Any], *, enums_as_numbers: bool = False) -> Callable[[Any], str]:
    """Return the function that converts a value of a type to text, which `text_reader` reads. Binary is base64url.

    The function raises `ConversionError` for other values.

    Args:
        type: a base type or an enum; for a list or set, the function converts one element.
        enums_as_numbers: write enums as numbers instead of names.

    Raises:
        TypeError: values of the type have no text.
    """
    scalar = _scalar(type)
    if isinstance(scalar, BaseType) and scalar.name == "binary":
        return _write_binary
    return partial(_convert, key_writer(scalar, enums_as_numbers=enums_as_numbers, for_display=False))


def _scalar(type: Type[Any]) -> Type[Any]:
    scalar = type.element if isinstance(type, ListType | SetType) else type
    if not is_scalar(scalar):
        raise TypeError(f"{type!r} has no text")
    return scalar


def _convert(convert: Convert, value: Any) -> Any:
    return convert(value, 0)


def _write_binary(value: Any) -> str:
    try:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")
    except (TypeError, BufferError):
        raise ConversionError(f"must be binary, got {described(value)}") from None
