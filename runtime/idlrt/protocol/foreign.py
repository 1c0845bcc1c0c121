"""Foreign protocols, recognized by the first bytes of a connection: errors name them, and some clients get an answer.

These checks apply only to bytes that cannot start a Thrift message, because they exceed every limit as a length. So no
Thrift connection is misjudged, and each decision takes a fixed number of bytes, whatever the packet boundaries are.

Sources: RFC 8446 (TLS records), RFC 9112 and 9113 (HTTP), RFC 4253 (SSH), the PROXY protocol of HAProxy, Redis' RESP,
the headers of Dubbo, Motan and Kitex.
"""

from __future__ import annotations

from typing import Final

from idlrt.errors import RemoteProtocolError

__all__ = [
    "HTTP_TO_TLS",
    "PREFIX_SIZE",
    "TLS_ALERT",
    "ForeignProtocol",
    "foreign_binary_client",
    "foreign_client",
    "foreign_server",
]

PREFIX_SIZE: Final = 4
"""Number of bytes that `foreign_client` needs."""


class ForeignProtocol(RemoteProtocolError):
    """The peer speaks another protocol.

    Attributes:
        name: name of the protocol.
        answer: error response in the peer's own protocol; empty if there is none.
    """

    def __init__(self, message: str, name: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.name = name
        self.answer = answer


def _bad_request(text: str) -> bytes:
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
    return f"{head}Connection: close\r\n\r\n{text}".encode("ascii")


_TO_HTTP: Final = _bad_request("This port does not support HTTP.\n")
HTTP_TO_TLS: Final = _bad_request("This port requires TLS, not plain HTTP.\n")
"""HTTP response for a plain HTTP client on a TLS port."""

TLS_ALERT: Final = bytes((0x15, 3, 3, 0, 2, 2, 10))
"""Fatal alert `unexpected_message` of TLS, for a client without TLS on a TLS port."""

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
    """Return the error for a client whose first bytes cannot start a Thrift message; `None` if they are not recognized.

    Args:
        first: first bytes of the client, at least `PREFIX_SIZE`.
    """
    begin = first[:4]
    if begin[0] == _TLS_HANDSHAKE and begin[1] == _TLS_MAJOR and begin[2] <= _LAST_TLS_MINOR:
        what = "the client speaks TLS, this port does not; start the server with tls=Tls(...), or connect without TLS"
        return ForeignProtocol(what, "TLS")
    name = _CLIENTS.get(begin)
    if name is None and begin[:1] == b"*" and begin[1:2].isdigit():
        name = "Redis"
    if name is not None:
        answer = _TO_HTTP if name.startswith(_HTTP) else b""
        advice = "; start the server with http=True" if name == _HTTP else ""
        return ForeignProtocol(f"the client speaks {name}, this port does not{advice}", name, answer)
    if _is_text(begin):
        what = f"the client sent text ({_shown(begin)}...), which starts no message of a protocol of this port"
        return ForeignProtocol(what, "text")
    return None


def foreign_binary_client(first: bytes) -> ForeignProtocol | None:
    """Return the error for a client of a binary protocol, recognized by the magic number in its first two bytes or
    after a length; `None` if there is none.
    """
    name = "Kitex's TTHeader" if first[4:6] == _TTHEADER else _BINARY.get(first[:2])
    return ForeignProtocol(f"the client speaks {name}, this port does not", name) if name is not None else None


def foreign_server(first: bytes) -> ForeignProtocol | bool:
    """Return the error for a server of a foreign protocol; `True` if it may speak Thrift, `False` while more bytes are
    needed.

    Args:
        first: first bytes of the server, at least one.
    """
    begin = first[:4]
    if begin[0] == _TLS_ALERT:
        if len(first) < _RECORD_HEAD:
            return False
        if first[1] == _TLS_MAJOR and first[3:_RECORD_HEAD] == _ALERT_SIZE:
            return ForeignProtocol("the server speaks TLS; connect with tls=Tls(...)", "TLS")
    elif b"HTTP".startswith(begin):
        if len(first) < _STATUS:
            return False
        what = f"the server speaks HTTP (its response starts with {_shown(first[:_STATUS])}), this client speaks Thrift"
        return ForeignProtocol(what, _HTTP)
    elif begin[:1] == b"\0":
        return _is_not_http2(first)
    for mark, name in _SERVERS.items():
        if mark.startswith(begin):
            if len(begin) < len(mark):
                return False
            return ForeignProtocol(f"the server speaks {name}, this client speaks Thrift", name)
    if begin[0] != _JSON and _is_text(first[:_LINE]):
        if len(first) < _LINE:
            return False
        return ForeignProtocol(f"the server sent text ({_shown(first[:_LINE])}...), this client speaks Thrift", "text")
    return True


def _is_not_http2(first: bytes) -> ForeignProtocol | bool:
    """Return the error for a server whose first bytes are an HTTP/2 SETTINGS frame: `u24` length, type, flags, stream.

    As a Thrift message they would be the response of a method with an empty name.
    """
    if len(first) > 3 and first[3] != _SETTINGS:
        return True
    if len(first) < _FRAME_HEAD:
        # A nonzero byte in flags or stream decides earlier.
        return any(first[4:]) or False
    if any(first[4:_FRAME_HEAD]) or int.from_bytes(first[:3]) % 6:
        return True
    return ForeignProtocol("the server speaks HTTP/2 (possibly gRPC), this client speaks Thrift", "HTTP/2")


def _is_text(begin: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte in b"\r\n\t" for byte in begin)


def _shown(begin: bytes) -> str:
    return repr(begin.decode("latin-1"))
