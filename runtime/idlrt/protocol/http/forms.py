"""Parsing of queries, URL-encoded forms and cookies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.http.templates import unquoted

__all__ = ["FORM_TYPES", "MULTIPART", "URL_ENCODED", "cookies_of", "parse_pairs"]

URL_ENCODED: Final = b"application/x-www-form-urlencoded"
MULTIPART: Final = b"multipart/form-data"
FORM_TYPES: Final = (URL_ENCODED, MULTIPART)
_MAX_PAIRS: Final = 1000


def parse_pairs(raw: bytes, what: str) -> Mapping[str, list[str]]:
    """Return the values of a query, or of a URL-encoded form, by name.

    Args:
        raw: the query without the question mark.
        what: what is parsed, for error messages.

    Raises:
        RemoteProtocolError: it is not valid UTF-8, or has too many pairs.

    Source: https://url.spec.whatwg.org/#application/x-www-form-urlencoded
    """
    found: dict[str, list[str]] = {}
    if not raw:
        return found
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    pairs = raw.split(b"&", _MAX_PAIRS)
    if len(pairs) > _MAX_PAIRS:
        raise RemoteProtocolError(f"{what}: must have at most {_MAX_PAIRS} parameters")
    for pair in pairs:
        if pair:
            name, _, value = pair.partition(b"=")
            found.setdefault(unquoted(name, what), []).append(unquoted(value, what))
    return found


def cookies_of(header: bytes) -> Mapping[str, list[str]]:
    """Return the cookies of a `Cookie` header, by name; the first one of a name counts.

    Source: RFC 6265, section 5.4
    """
    found: dict[str, list[str]] = {}
    for pair in header.split(b";", _MAX_PAIRS):
        name, equals, value = pair.strip(b" \t").partition(b"=")
        if equals:
            value = value.strip(b" \t")
            if len(value) > 1 and value[:1] == value[-1:] == b'"':
                value = value[1:-1]
            found.setdefault(name.rstrip(b" \t").decode("latin-1"), [value.decode("latin-1")])
    return found
