"""Content of responses: media types, and compressed bodies."""

from __future__ import annotations

import re
from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.printable import printable
from idlrt.protocol.http.compression import BadEncoding, unzipped

__all__ = ["excerpt", "expanded", "is_json", "media_type"]

_GZIP: Final = ("gzip", "x-gzip")
_MAX_SCANNED: Final = 4096
_MAX_SHOWN: Final = 200
_HIDDEN: Final = re.compile(r"(?is)<(head|style|script)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>")


def media_type(content_type: str) -> str:
    """Return the media type of a `Content-Type`, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Return whether a media type is JSON: `application/json` or a type with the suffix `+json`."""
    return media == "application/json" or media.endswith("+json")


def expanded(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its compression.

    Args:
        encoding: `Content-Encoding`; empty for none.
        limit: maximum size in bytes.

    Raises:
        RemoteProtocolError: the encoding is unknown, the data is damaged, or it expands beyond a limit.
    """
    name = encoding.strip().lower()
    if not body or name in ("", "identity"):
        return body
    if name not in _GZIP:
        raise RemoteProtocolError(f"cannot read the body: unknown content encoding {name[:40]!r}")
    try:
        return unzipped(body, limit)
    except BadEncoding as error:
        raise RemoteProtocolError(f"cannot read the body: {error}") from None


def excerpt(body: bytes, media: str) -> str:
    """Return the beginning of a text, for an error message; empty if it is no text. Markup is left out."""
    if not (media.startswith("text/") or media.endswith(("json", "xml"))):
        return ""
    text = body[:_MAX_SCANNED].decode(errors="replace")
    if media.endswith(("html", "xml")):
        text = _HIDDEN.sub(" ", text)
    text = " ".join(text.split())
    return printable(f"{text[:_MAX_SHOWN]}..." if len(text) > _MAX_SHOWN else text)
