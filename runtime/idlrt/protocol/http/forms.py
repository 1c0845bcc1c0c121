"""Parsing of queries, forms and cookies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.http.templates import unquoted

__all__ = ["FORM_TYPES", "MULTIPART", "URL_ENCODED", "cookies_of", "parse_multipart", "parse_pairs"]

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


def parse_multipart(body: bytes, content_type: bytes) -> Mapping[str, list[str]]:
    """Return the fields of a multipart form by name. The content of files counts as text.

    Args:
        body: the body.
        content_type: its content type, with the boundary.

    Raises:
        RemoteProtocolError: it is malformed, or a value is not valid UTF-8.

    Source: RFC 7578
    """
    boundary = _boundary(content_type)
    parts = body.split(b"--" + boundary)
    if len(parts) < 2 or parts[-1].strip(b" \t\r\n") != b"--" or parts[0].strip(b"\r\n"):
        raise RemoteProtocolError("cannot read the form: malformed multipart body")
    if len(parts) > _MAX_PAIRS:
        raise RemoteProtocolError(f"form: must have at most {_MAX_PAIRS} parameters")
    found: dict[str, list[str]] = {}
    for part in parts[1:-1]:
        head, blank, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not blank or not part.startswith(b"\r\n") or not value.endswith(b"\r\n"):
            raise RemoteProtocolError("cannot read the form: malformed multipart body")
        try:
            found.setdefault(_name_of(head), []).append(value[:-2].decode())
        except UnicodeDecodeError:
            raise RemoteProtocolError("cannot read the form: values must be UTF-8") from None
    return found


def _boundary(content_type: bytes) -> bytes:
    boundary = _parameter(content_type, b"boundary")
    if not 1 <= len(boundary) <= 70:
        raise RemoteProtocolError("cannot read the form: the content type has no valid boundary")
    return boundary


def _name_of(head: bytes) -> str:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return _parameter(value, b"name").decode()
    raise RemoteProtocolError("cannot read the form: a part has no name")


def _parameter(value: bytes, name: bytes) -> bytes:
    """Return a parameter of a header value; empty if it has none."""
    for part in value.split(b";")[1:]:
        key, _, text = part.strip().partition(b"=")
        if key.strip().lower() == name:
            return text.strip().strip(b'"')
    return b""
