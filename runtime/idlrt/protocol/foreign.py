"""Other protocols, told by the first bytes of a connection: errors name the mix-up, and the other side hears of it.

Asked only about bytes that cannot begin a Thrift message: as a length they are over every limit. So nothing here takes
a connection away from Thrift, and all that is decided depends on a fixed number of bytes, however they are cut.

Sources: RFC 8446 (TLS records), RFC 9112 and 9113 (HTTP), RFC 4253 (SSH), the PROXY protocol of HAProxy, Redis' RESP,
the headers of Dubbo, Motan and Kitex.
"""

from __future__ import annotations

from typing import Final

from idlrt.errors import RemoteProtocolError

__all__ = [
    "ENOUGH",
    "HTTP_TO_TLS",
    "TLS_REFUSAL",
    "ForeignProtocol",
    "foreign_binary_client",
    "foreign_client",
    "foreign_server",
]

ENOUGH: Final = 4
"""Bytes that `foreign_client` needs."""


class ForeignProtocol(RemoteProtocolError):
    """The other side speaks another protocol.

    Attributes:
        name: of the protocol.
        answer: bytes that tell the other side, in its own protocol, what is wrong; empty if there are none.
    """

    def __init__(self, message: str, name: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.name = name
        self.answer = answer


def _bad_request(text: str) -> bytes:
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
    return f"{head}Connection: close\r\n\r\n{text}".encode("ascii")


_TO_HTTP: Final = _bad_request("This port does not speak HTTP.\n")
HTTP_TO_TLS: Final = _bad_request("This port speaks TLS, not plain HTTP.\n")
"""What an HTTP client is told that does not speak TLS on a port where it has to."""

TLS_REFUSAL: Final = bytes((0x15, 3, 3, 0, 2, 2, 10))
"""TLS' fatal alert `unexpected_message`, for a client that does not speak TLS on a port where it has to."""

_HTTP: Final = "HTTP"
_CLIENTS: Final = {
    **dict.fromkeys((b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC"), _HTTP),
    b"PRI ": "HTTP/2",
    b"SSH-": "SSH",
    b"PROX": "the PROXY protocol",
    b"\r\n\r\n": "the PROXY protocol",
    b"EHLO": "SMTP",
    b"HELO": "SMTP",
    b"PING": "Redis",
}
_BINARY: Final = {b"\xda\xbb": "Dubbo", b"\xf1\xf1": "Motan"}
_TTHEADER: Final = b"\x10\x00"
_SERVERS: Final = {b"SSH-": "SSH", b"220 ": "SMTP or FTP", b"220-": "SMTP or FTP", b"-ERR": "Redis", b"+PON": "Redis"}
_STATUS: Final = len("HTTP/1.1 400")
_TLS_HANDSHAKE, _TLS_ALERT, _TLS_MAJOR = 0x16, 0x15, 3
_LAST_TLS_MINOR: Final = 4
_RECORD_HEAD: Final = 5
_ALERT_SIZE: Final = b"\0\x02"
_FRAME_HEAD: Final = 9
_JSON: Final = ord("[")
_LINE: Final = 6
_SETTINGS: Final = 4


def foreign_client(first: bytes) -> ForeignProtocol | None:
    """Return what a client speaks whose first bytes cannot be Thrift's; `None` if that is not known.

    Args:
        first: `ENOUGH` bytes or more.
    """
    begin = first[:4]
    if begin[0] == _TLS_HANDSHAKE and begin[1] == _TLS_MAJOR and begin[2] <= _LAST_TLS_MINOR:
        what = "the client speaks TLS and this port does not; give the server tls=Tls(...), or connect without TLS"
        return ForeignProtocol(what, "TLS")
    name = _CLIENTS.get(begin)
    if name is None and begin[:1] == b"*" and begin[1:2].isdigit():
        name = "Redis"
    if name is not None:
        answer = _TO_HTTP if name.startswith(_HTTP) else b""
        return ForeignProtocol(f"the client speaks {name}; this port does not", name, answer)
    if _is_text(begin):
        return ForeignProtocol(
            f"the client sends text ({_shown(begin)}...), which no protocol of this port begins with", "text"
        )
    return None


def foreign_binary_client(first: bytes) -> ForeignProtocol | None:
    """Return what a client speaks whose first two bytes, or the two behind a length, are a mark that Thrift has not."""
    name = "Kitex's TTHeader" if first[4:6] == _TTHEADER else _BINARY.get(first[:2])
    return ForeignProtocol(f"the client speaks {name}; this port does not", name) if name is not None else None


def foreign_server(first: bytes) -> ForeignProtocol | bool:
    """Return what a server speaks; `True` if it may be Thrift, `False` if more bytes are needed to tell.

    Args:
        first: of what it sent, from the beginning.
    """
    begin = first[:4]
    if begin[0] == _TLS_ALERT:
        if len(first) < _RECORD_HEAD:
            return False
        if first[1] == _TLS_MAJOR and first[3:_RECORD_HEAD] == _ALERT_SIZE:
            return ForeignProtocol("it speaks TLS; connect with tls=Tls(...)", "TLS")
    elif b"HTTP".startswith(begin):
        if len(first) < _STATUS:
            return False
        what = f"it speaks HTTP (its answer begins with {_shown(first[:_STATUS])}); this client speaks Thrift over TCP"
        return ForeignProtocol(what, _HTTP)
    elif begin[:1] == b"\0":
        return _is_not_http2(first)
    for mark, name in _SERVERS.items():
        if mark.startswith(begin):
            if len(begin) < len(mark):
                return False
            return ForeignProtocol(f"it speaks {name}; this client speaks Thrift", name)
    if begin[0] != _JSON and _is_text(first[:_LINE]):
        if len(first) < _LINE:
            return False
        return ForeignProtocol(f"it sends text ({_shown(first[:_LINE])}...); this client speaks Thrift", "text")
    return True


def _is_not_http2(first: bytes) -> ForeignProtocol | bool:
    """HTTP/2's first frame: `u24` length, type, flags, stream. As Thrift it would answer a method without a name."""
    if len(first) > 3 and first[3] != _SETTINGS:
        return True
    if len(first) < _FRAME_HEAD:
        # What is not a stream of 0 tells earlier.
        return any(first[4:]) or False
    if any(first[4:_FRAME_HEAD]) or int.from_bytes(first[:3]) % 6:
        return True
    return ForeignProtocol("it speaks HTTP/2 (gRPC?); this client speaks Thrift", "HTTP/2")


def _is_text(begin: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte in b"\r\n\t" for byte in begin)


def _shown(begin: bytes) -> str:
    return repr(begin.decode("latin-1"))
