"""Responses of methods: statuses, and which fields travel outside of the JSON body, as the IDL's annotations say.

Fields of a result struct, and of exceptions, with `http.header` or `http.cookie` become headers of the response; the
value of a field with `http.status` is its status, and a field with `http.raw_body` is its whole body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.spec import Annotations, Field, Method, StructType, annotations_of

__all__ = [
    "RESERVED",
    "DeclaredResponse",
    "LocatedField",
    "Location",
    "declared_responses",
    "located_fields",
    "success_status",
]

Location: TypeAlias = Literal["header", "cookie", "status", "raw_body"]
"""Part of a response other than the JSON body."""

_LOCATIONS: Final[tuple[tuple[str, Location], ...]] = (
    ("http.header", "header"),
    ("http.cookie", "cookie"),
    ("http.status", "status"),
    ("http.raw_body", "raw_body"),
)
_DEFAULT_ERROR: Final = 400
RESERVED: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say where a message ends, or concern one connection (RFC 9110, section 7.6.1); in lower case."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class LocatedField(msgspec.Struct, frozen=True, eq=False):
    """A field of a result or an exception outside of the JSON body.

    Attributes:
        field: its description.
        location: part of the response.
        name: name of the header or the cookie; empty otherwise.
    """

    field: Field[Any]
    location: Location
    name: str


class DeclaredResponse(msgspec.Struct, frozen=True, eq=False):
    """Response with an exception that the IDL declares for a method.

    Attributes:
        field: entry in `throws`.
        cls: class of the exception.
        status: status of the response.
        located: fields outside of the body.
    """

    field: Field[Any]
    cls: Any
    status: int
    located: tuple[LocatedField, ...]


def success_status(method: Method[..., Any]) -> int:
    """Return the status of a response with a result.

    Raises:
        ConfigurationError: the annotation `http.status` is invalid.
    """
    default = 202 if method.is_oneway else 200 if method.has_result else 204
    return _status(method.annotations, default)


def located_fields(fields: Iterable[Field[Any]]) -> tuple[LocatedField, ...]:
    """Return the fields outside of the JSON body, each once.

    Raises:
        ConfigurationError: a header is set by the protocol, or a name is invalid.
    """
    found: list[LocatedField] = []
    for field in fields:
        for key, location in _LOCATIONS:
            values = field.annotations.get(key)
            if values is not None:
                name = values[-1] or field.name if location in ("header", "cookie") else ""
                if location in ("header", "cookie") and not _TOKEN.fullmatch(name):
                    raise ConfigurationError(f"field {field.name}: invalid name of a {location}: {name!r}")
                if location == "header" and name.lower() in RESERVED:
                    raise ConfigurationError(f"field {field.name}: header {name} is set by the protocol")
                found.append(LocatedField(field, location, name))
                break
    return tuple(found)


def declared_responses(method: Method[..., Any]) -> tuple[DeclaredResponse, ...]:
    """Return the responses with exceptions, in the order of their ids.

    Raises:
        ConfigurationError: an annotation `http.status` is invalid.
    """
    found: list[DeclaredResponse] = []
    for field in sorted(method.throws, key=lambda field: field.id):
        if isinstance(field.type, StructType):
            cls: Any = field.type.cls
            status = _status(field.annotations, _status(annotations_of(cls), _DEFAULT_ERROR))
            found.append(DeclaredResponse(field, cls, status, located_fields(cls.__thrift_fields__)))
    return tuple(found)


def _status(annotations: Annotations, default: int) -> int:
    text = annotations.get("http.status", ("",))[-1]
    if not text:
        return default
    if not (text.isdecimal() and text.isascii() and 200 <= int(text) <= 599):
        raise ConfigurationError(f"http.status: must be between 200 and 599, got {text!r}")
    return int(text)
