"""Clients without TLS on a TLS port: detection of their protocol, and the answer before the connection is closed."""

from __future__ import annotations

from typing import Final

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.detection import detect, served_protocols
from idlrt.protocol.foreign import HTTP_TO_TLS, TLS_ALERT, ForeignProtocol
from idlrt.serialization.base import DEFAULT_LIMITS

__all__ = ["PREFIX_SIZE", "PlaintextClient", "plaintext_error", "starts_tls"]

PREFIX_SIZE: Final = 6
"""Number of bytes that `plaintext_error` needs to detect the protocol."""

# Record type of a TLS handshake (RFC 8446 section 5.1).
_HANDSHAKE: Final = b"\x16"
_NO_TLS: Final = "this port requires TLS, but the client sent"


class PlaintextClient(ConnectionError):
    """The client does not use TLS.

    Attributes:
        answer: bytes to send to the client: an HTTP response for HTTP clients, a TLS alert for others.
    """

    def __init__(self, message: str, answer: bytes) -> None:
        super().__init__(message)
        self.answer = answer


def starts_tls(first: bytes) -> bool:
    """Whether the first bytes of a client start a TLS handshake."""
    return first.startswith(_HANDSHAKE)


def plaintext_error(first: bytes) -> PlaintextClient:
    """Build the error for a client without TLS.

    Args:
        first: first bytes of the client; at least `PREFIX_SIZE`, unless it has sent fewer and closed.
    """
    try:
        found = detect(first, served_protocols(), DEFAULT_LIMITS)
    except ForeignProtocol as error:
        is_http = error.name.startswith("HTTP")
        return PlaintextClient(f"{_NO_TLS} plain {error.name}", HTTP_TO_TLS if is_http else TLS_ALERT)
    except RemoteProtocolError:
        found = None
    what = f"plain {found.name}" if found is not None else f"the bytes {first[:PREFIX_SIZE].hex(' ')}"
    return PlaintextClient(f"{_NO_TLS} {what}; connect with tls=Tls(...)", TLS_ALERT)
