"""gzip for bodies of requests and responses."""

from __future__ import annotations

import zlib
from typing import Final

from idlrt.printable import plural

__all__ = ["GZIP", "BadEncoding", "accepts_gzip", "unzipped", "zipped"]

GZIP: Final = (b"gzip", b"x-gzip")
"""Values of `Content-Encoding` that are supported."""

_WINDOW: Final = 31
_LEVEL: Final = 1
# Highest ratio of decoded to encoded size, for what is larger than `_ANY_RATIO` bytes.
_MAX_RATIO: Final = 20
_ANY_RATIO: Final = 65_536


class BadEncoding(Exception):
    """A body that cannot be decoded.

    Attributes:
        status: status of the response.
    """

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


def unzipped(body: bytes, limit: int) -> bytes:
    """Return a decoded body.

    Args:
        body: the encoded body.
        limit: largest decoded size in bytes.

    Raises:
        BadEncoding: it is invalid, or larger than a limit; the rest has not been decoded.
    """
    if not body:
        return b""
    most = min(limit, max(_MAX_RATIO * len(body), _ANY_RATIO))
    decoder = zlib.decompressobj(_WINDOW)
    try:
        data = decoder.decompress(body, most + 1)
    except zlib.error:
        raise BadEncoding("the body is not valid gzip", 400) from None
    if len(data) > most:
        raise BadEncoding(f"the decoded body must have at most {plural(most, 'byte')}", 413)
    if not decoder.eof or decoder.unused_data:
        raise BadEncoding("the body is not valid gzip", 400)
    return data


def zipped(body: bytes) -> bytes:
    """Return an encoded body."""
    return zlib.compress(body, _LEVEL, _WINDOW)


def accepts_gzip(value: bytes) -> bool:
    """Whether a client with this `Accept-Encoding` accepts gzip.

    Source: RFC 9110, section 12.5.3
    """
    for part in value.lower().split(b","):
        name, _, parameters = part.partition(b";")
        if name.strip() in GZIP:
            quality = parameters.strip().removeprefix(b"q=")
            return quality.strip(b"0.") != b"" if quality else True
    return False
