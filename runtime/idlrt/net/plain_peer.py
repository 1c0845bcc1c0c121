"""A client without TLS on a port with TLS: what it speaks, and what it is told before its connection is closed."""

from __future__ import annotations

from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.detection import detect, served_protocols
from idlrt.protocol.foreign import HTTP_TO_TLS, TLS_REFUSAL, ForeignProtocol
from idlrt.serialization.base import DEFAULT_LIMITS

__all__ = ["ENOUGH", "NoTls", "is_tls", "no_tls"]

ENOUGH: Final = 6
"""Bytes that `no_tls` needs to tell all that it can tell."""

_HANDSHAKE: Final = b"\x16"
_NO_TLS: Final = "the client does not speak TLS and this port does"


class NoTls(ConnectionError):
    """The client does not speak TLS.

    Attributes:
        answer: what it is told, in its own protocol where that is HTTP, else as TLS' alert.
    """

    def __init__(self, message: str, answer: bytes) -> None:
        super().__init__(message)
        self.answer = answer


def is_tls(first: bytes) -> bool:
    """Whether a client that begins so speaks TLS."""
    return first.startswith(_HANDSHAKE)


def no_tls(first: bytes) -> NoTls:
    """Build the error for a client that does not.

    Args:
        first: of what it sent; `ENOUGH` bytes or more, unless it sends no more.
    """
    try:
        found = detect(first, served_protocols(), DEFAULT_LIMITS)
    except ForeignProtocol as error:
        is_http = error.name.startswith("HTTP")
        return NoTls(f"{_NO_TLS}: it speaks plain {error.name}", HTTP_TO_TLS if is_http else TLS_REFUSAL)
    except RemoteProtocolError:
        found = None
    what = f"it speaks plain {found.name}" if found is not None else f"it begins with {first[:ENOUGH].hex(' ')}"
    return NoTls(f"{_NO_TLS}: {what}; connect with tls=Tls(...)", TLS_REFUSAL)
