"""Scalars and enums in the JSON of REST: each type has few forms, which a JSON Schema can describe.

`_plain_scalars` reads more forms. What is written is the same.
"""

from __future__ import annotations

import re
from typing import Any, Final

from idlrt.serialization._conversion_errors import ConversionError, briefly
from idlrt.serialization._plain_batches import BITS
from idlrt.serialization._plain_scalars import (
    DOUBLE_TEXTS,
    INTEGER_TEXT,
    Convert,
    key_reader,
    member_names,
    no_member,
    scalar_reader,
)
from idlrt.spec import BaseType, Enum, EnumType, Type

__all__ = ["BASE64_PATTERN", "INTEGER_PATTERN", "UUID_PATTERN", "rest_key_reader", "rest_scalar_reader"]

_SIX_BITS: Final = "[A-Za-z0-9+/_-]"

BASE64_PATTERN: Final = f"^(?:{_SIX_BITS}{{4}})*(?:{_SIX_BITS}{{2}}(?:==)?|{_SIX_BITS}{{3}}=?)?$"
"""Text of `binary`: base64 or base64url (RFC 4648, sections 4 and 5), with padding or without.

The patterns are regular expressions of JSON Schema (ECMA-262). In Python use `re.fullmatch`: `$` would also match
before a newline at the end.
"""

UUID_PATTERN: Final = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
"""Text of `uuid`: the canonical form (RFC 9562, section 4), in either case."""

INTEGER_PATTERN: Final = f"^{INTEGER_TEXT.pattern}$"
"""Text of integers: decimal, without leading zeros or `+`. The range is checked in addition."""

_UUID: Final = re.compile(UUID_PATTERN)


def rest_scalar_reader(type: Type[Any], *, i64_as_text: bool) -> Convert:
    """Return the reader of a base type or an enum."""
    if isinstance(type, EnumType):
        return _enum_reader(type.cls)
    assert isinstance(type, BaseType)
    read = scalar_reader(type)
    if type.name in BITS and not (type.name == "i64" and i64_as_text):
        return _from_number(type.name, read)
    return _READERS.get(type.name, read)


def rest_key_reader(type: Type[Any]) -> Convert:
    """Return the reader of the text of a base type or an enum, such as the key of an object."""
    if isinstance(type, EnumType):
        return _enum_text_reader(type.cls)
    if isinstance(type, BaseType) and type.name in ("binary", "uuid"):
        return _READERS[type.name]
    return key_reader(type)


def _from_number(name: str, read: Convert) -> Convert:
    def read_number(plain: Any, depth: int) -> Any:
        if isinstance(plain, str):
            raise ConversionError(f"expected {name}, got {briefly(plain)}")
        return read(plain, depth)

    return read_number


_read_any_double: Final = scalar_reader(BaseType[float]("double"))
_read_any_binary: Final = scalar_reader(BaseType[bytes]("binary"))
_read_any_uuid: Final = scalar_reader(BaseType[Any]("uuid"))


def _read_double(plain: Any, depth: int) -> Any:
    if isinstance(plain, str) and plain not in DOUBLE_TEXTS:
        raise ConversionError(f"expected a number, got {briefly(plain)}")
    return _read_any_double(plain, depth)


def _read_binary(plain: Any, depth: int) -> Any:
    # `binascii` ignores `====` at the end.
    if isinstance(plain, str) and plain.endswith("==="):
        raise ConversionError(f"expected base64, got {briefly(plain)}")
    return _read_any_binary(plain, depth)


def _read_uuid(plain: Any, depth: int) -> Any:
    if not isinstance(plain, str) or not _UUID.fullmatch(plain):
        raise ConversionError(f"expected a UUID, got {briefly(plain)}")
    return _read_any_uuid(plain, depth)


_READERS: Final[dict[str, Convert]] = {"binary": _read_binary, "double": _read_double, "uuid": _read_uuid}


def _enum_reader(cls: type[Enum]) -> Convert:
    by_name = member_names(cls)
    read_number = scalar_reader(EnumType(cls))

    def read(plain: Any, depth: int) -> Any:
        if isinstance(plain, str):
            found = by_name.get(plain)
            if found is None:
                raise no_member(cls, by_name, plain)
            return found
        return read_number(plain, depth)

    return read


def _enum_text_reader(cls: type[Enum]) -> Convert:
    read_member, read_number = _enum_reader(cls), scalar_reader(EnumType(cls))

    def read(plain: Any, depth: int) -> Any:
        is_number = isinstance(plain, str) and INTEGER_TEXT.fullmatch(plain)
        return read_number(plain, depth) if is_number else read_member(plain, depth)

    return read
