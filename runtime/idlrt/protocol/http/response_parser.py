"""Parser of responses: `httptools`, with limits of our own, which it does not have.

One `ResponseReader` reads one response, and the interim responses (1xx) before it. It ends where RFC 9112 says: after
the head for HEAD, 204 and 304, after `Content-Length` bytes, after the last chunk, or else with the connection.

Sources: RFC 9110 and 9112; limits as in nginx, Envoy and hyper
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, Final

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.foreign import ForeignProtocol

__all__ = ["BLANK_LINES", "MAX_HEAD", "MAX_HEADERS", "ResponseReader", "http_library"]

BLANK_LINES: Final = b"\r\n"
"""Bytes that are ignored between responses: some servers end bodies with a line break that they do not count."""

MAX_HEAD: Final = 32 * 1024
"""Maximum size of the head of a response, with interim responses before it, in bytes."""
MAX_HEADERS: Final = 100
"""Maximum number of headers, with those after the body."""

# Chunk sizes, their extensions and trailers: this many bytes, and as many for each byte of the body.
_OVERHEAD: Final = 1 << 16
_OVERHEAD_RATIO: Final = 8
_BEGIN: Final = b"HTTP/"
_BLANK: Final = b" \t"
_FOREIGN: Final = {
    b"\x15": "TLS; connect to https://...",
    b"\0": "Thrift or HTTP/2",
    b"\x80": "Thrift",
    b"{": "JSON-RPC",
}
_WITHOUT_BODY: Final = (204, 304)
_SWITCHING: Final = 101


@cache
def http_library() -> ModuleType:
    """Return the module `httptools`, which is imported when HTTP is used.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import httptools
    except ImportError as error:
        raise ConfigurationError(f"HTTP requires httptools ({error}): pip install 'idlc[http]'") from None
    module: ModuleType = httptools
    return module


class ResponseReader:
    """Reader of one response.

    Args:
        max_message: maximum size of the body in bytes.
        is_head: whether the request was a HEAD, whose responses have no body.

    Attributes:
        is_complete: whether all of the response has arrived.
        error: why nothing can be read any more; also set if bytes follow a complete response.
        status: status code.
        headers: names in lower case, and values as latin-1 text.
        body: the body, still compressed if it is.
        is_closing: whether the server closes the connection after the response.
        size: number of bytes that arrived.
    """

    __slots__ = (
        "_body", "_body_size", "_ends_at_eof", "_has_head", "_head_size", "_is_chunked", "_is_head", "_is_interim",
        "_max_message", "_parser", "_prefix", "error", "headers", "is_closing", "is_complete", "size", "status",
    )  # fmt: skip

    def __init__(self, max_message: int, *, is_head: bool) -> None:
        self._max_message = max_message
        self._is_head = is_head
        # It refers to this object, so it is dropped at the end: no reference cycle remains.
        self._parser: Any = http_library().HttpResponseParser(self)
        self._prefix = b""
        self._head_size = self._body_size = 0
        self._has_head = self._is_interim = self._is_chunked = self._ends_at_eof = False
        self._body: list[bytes] = []
        self.is_complete = self.is_closing = False
        self.error: RemoteProtocolError | None = None
        self.status = self.size = 0
        self.headers: list[tuple[str, str]] = []

    @property
    def body(self) -> bytes:
        return b"".join(self._body)

    def value(self, name: str) -> str:
        """Return the value of a header, its values separated by `, ` if it is repeated; empty if there is none."""
        return ", ".join([value for key, value in self.headers if key == name])

    def feed(self, data: bytes) -> None:
        """Read bytes. Afterwards look at `is_complete` and `error`."""
        if not self._prefix:
            data = data.lstrip(BLANK_LINES)
        if self.error is not None or not data:
            return
        if len(self._prefix) < len(_BEGIN):
            self._prefix += data[: len(_BEGIN) - len(self._prefix)]
            if not _BEGIN.startswith(self._prefix):
                self._fail(_foreign(self._prefix))
                return
        self.size += len(data)
        library: Any = http_library()
        try:
            self._parser.feed_data(data)
        except library.HttpParserError as error:
            # Callbacks set their errors.
            if self.error is None:
                self._fail(self._surplus() if self.is_complete else RemoteProtocolError(_invalid(error)))
        except library.HttpParserUpgrade:
            self._fail(RemoteProtocolError("the server switches to another protocol, which was not requested"))
        else:
            self._check_sizes()
        if self.is_complete:
            self._parser = None

    def feed_eof(self) -> None:
        """Handle the end of the stream, which completes a response without a length."""
        if self.error is None and not self.is_complete and self._has_head and self._ends_at_eof:
            self.is_complete = self.is_closing = True
            self._parser = None

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        """Begin a response."""
        if self.is_complete:
            raise self._fail(self._surplus())
        self._has_head = self._is_interim = False
        self.headers.clear()

    def on_status(self, reason: bytes) -> None:
        """Count a part of the reason phrase."""
        self._add_to_head(len(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header, or a trailer, which is ignored."""
        self._add_to_head(len(name) + len(value) + 4)
        if len(self.headers) >= MAX_HEADERS:
            raise self._fail(RemoteProtocolError(f"the response has more than {MAX_HEADERS} headers"))
        key = "" if self._has_head else name.decode("latin-1").lower()
        self.headers.append((key, value.strip(_BLANK).decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Decide where the response ends."""
        self._has_head = True
        self.status = status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise self._fail(RemoteProtocolError(f"the server speaks HTTP/{version}, this client speaks HTTP/1.1"))
        if status == _SWITCHING:
            raise self._fail(RemoteProtocolError("the server switches to another protocol, which was not requested"))
        self._is_interim = 100 <= status < 200
        if self._is_interim:
            return
        encoding, length = self.value("transfer-encoding").lower(), self.value("content-length")
        if encoding and (encoding != "chunked" or version == "1.0"):
            raise self._fail(RemoteProtocolError(f"unknown transfer encoding {encoding[:40]!r}"))
        tokens = [each.strip() for each in self.value("connection").lower().split(",")]
        self.is_closing = "close" in tokens or (version == "1.0" and "keep-alive" not in tokens)
        if self._is_head or status in _WITHOUT_BODY:
            self.is_complete = True
            return
        self._is_chunked = bool(encoding)
        self._ends_at_eof = not encoding and not length
        if length and int(length) > self._max_message:
            raise self._fail(self._too_large(int(length)))

    def on_body(self, data: bytes) -> None:
        """Read a part of the body."""
        if self.is_complete:
            if not data.strip(BLANK_LINES):
                return  # after the head of a response to HEAD
            raise self._fail(self._surplus())
        self._body_size += len(data)
        if self._body_size > self._max_message:
            raise self._fail(self._too_large(self._body_size))
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Complete the response."""
        if not self._is_interim:
            self.is_complete = True

    def _add_to_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise self._fail(_head_too_large())

    def _check_sizes(self) -> None:
        """Check what the callbacks cannot see: unfinished lines, and what surrounds the body."""
        if not self._has_head or self._is_interim:
            if self.size > MAX_HEAD:
                self._fail(_head_too_large())
        elif self._is_chunked and self.size - self._body_size > _OVERHEAD + _OVERHEAD_RATIO * self._body_size:
            self._fail(RemoteProtocolError("the chunks of the response are larger than what they carry"))

    def _fail(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self.error = error
        return error

    def _surplus(self) -> RemoteProtocolError:
        return RemoteProtocolError("the server sent more than the response")

    def _too_large(self, size: int) -> RemoteProtocolError:
        what = f"the body has at least {plural(size, 'byte')}, the limit is max_message={self._max_message}"
        return RemoteProtocolError(what)


def _head_too_large() -> RemoteProtocolError:
    return RemoteProtocolError(f"the head of the response has more than {MAX_HEAD} bytes")


def _invalid(error: Exception) -> str:
    return f"the response is not valid HTTP/1.1: {str(error).strip() or type(error).__name__}"


def _foreign(begin: bytes) -> ForeignProtocol:
    name = _FOREIGN.get(begin[:1])
    speaks = f"seems to speak {name}" if name else "speaks another protocol"
    what = f"the server {speaks} (its response starts with byte {begin[:1].hex()}), this client speaks HTTP"
    return ForeignProtocol(what, (name or "unknown").partition(";")[0])
