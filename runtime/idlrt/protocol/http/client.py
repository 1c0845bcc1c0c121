"""Client side of HTTP/1.1 connections, and its options.

A connection carries one call at a time: HTTP/1.1 has no request ids, and requests are not pipelined. It ends with a
response that has `Connection: close`, or no length.

A ping is `OPTIONS *`, and every response answers it, whatever its status is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.base import ClientConnection as ClientEnd
from idlrt.protocol.events import (
    NO_CONTEXT,
    ClientEvent,
    ConnectionBroken,
    PongReceived,
    RequestContext,
    ResponseReceived,
)
from idlrt.protocol.http.capabilities import CAPABILITIES
from idlrt.protocol.http.client_headers import metadata_of_response, request_headers
from idlrt.protocol.http.client_responses import CallResponse, ResponseCodec, response_codec
from idlrt.protocol.http.options import PREFIX_KEY
from idlrt.protocol.http.problems import PROBLEM
from idlrt.protocol.http.requests import request_writer
from idlrt.protocol.http.response_parser import BLANK_LINES, ResponseReader, http_library
from idlrt.serialization import Limits
from idlrt.spec import Method
from idlrt.version import __version__

if TYPE_CHECKING:
    from idlrt.core import Instance

__all__ = ["ClientConnection", "HttpClient", "check_prefix", "http_clients"]

_OPTIONS: Final = ("authority", "prefix", "service")
_PREFIX: Final = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._~%!$&'()*+;=\[\]:-]+")
_DEFAULT_AUTHORITY: Final = "localhost"
_ACCEPT: Final = f"application/json, {PROBLEM}"
_ACCEPT_ANY: Final = f"*/*, {PROBLEM}"
# Compression costs more than it gains between servers, and would limit how small repetitive results may become.
_COMMON: Final = f"User-Agent: idlrt/{__version__}\r\nAccept-Encoding: identity\r\n"
_HEAD: Final = "HEAD"
_WITH_LENGTH: Final = ("POST", "PUT", "PATCH")


class ClientConnection:
    """Client side of a connection; an `idlrt.protocol.base.ClientConnection`.

    Args:
        limits: limits of the client.
        service: name of the service to call; empty for that of the method.
        authority: host and port, for the header `Host`.
        prefix: path in front of all routes.
    """

    __slots__ = (
        "_authority", "_codec", "_head", "_id", "_is_broken", "_is_cancelled", "_is_closing", "_is_head", "_last_id",
        "_limits", "_method", "_prefix", "_reader", "_service", "capabilities",
    )  # fmt: skip

    def __init__(self, limits: Limits, service: str, authority: str, prefix: str) -> None:
        self._limits = limits
        self._service = service
        self._prefix = prefix
        self._head = f" HTTP/1.1\r\nHost: {authority}\r\n{_COMMON}"
        self._last_id = 0
        # The outstanding request: its response, its id, and its method; `None` for a ping.
        self._reader: ResponseReader | None = None
        self._id = 0
        self._method: Method[..., Any] | None = None
        self._codec: ResponseCodec | None = None
        self._is_head = self._is_cancelled = False
        self._is_closing = self._is_broken = False
        self.capabilities = CAPABILITIES

    @property
    def in_flight(self) -> int:
        return int(self._reader is not None and not self._is_cancelled)

    @property
    def cancelled(self) -> int:
        return int(self._reader is not None and self._is_cancelled)

    @property
    def is_idle(self) -> bool:
        return self._reader is None and not self._is_broken

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        """Start a call. Oneway calls are answered, too."""
        self._check_free(method)
        try:
            writer = request_writer(method, self._service or method.service, self._prefix, self._limits)
            codec = response_codec(method, self._limits)
        except ConfigurationError as error:
            raise LocalProtocolError(str(error)) from error
        parts = writer.write(arguments)
        headers = {"accept": _ACCEPT_ANY if codec.accepts_any else _ACCEPT}
        if metadata or context is not NO_CONTEXT:
            headers |= request_headers(metadata, context)
        headers |= parts.headers
        body = parts.body or b""
        if body or parts.body is not None or writer.verb in _WITH_LENGTH:
            headers["content-length"] = str(len(body))
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        data = f"{writer.verb} {parts.target}{self._head}{lines}\r\n".encode("latin-1") + body
        self._begin(is_head=writer.verb == _HEAD)
        self._method, self._codec = method, codec
        return self._id, data

    def ping(self) -> tuple[int, bytes]:
        self._check_free(None)
        self._begin(is_head=False)
        self._method = self._codec = None
        return self._id, f"OPTIONS *{self._head}\r\n".encode("ascii")

    def cancel(self, id: int) -> bytes:
        if self._reader is not None and id == self._id:
            self._is_cancelled = True
        return b""

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        if self._is_broken or not data:
            return []
        reader = self._reader
        if reader is None:
            if not data.strip(BLANK_LINES):
                return []
            return [self._broken(RemoteProtocolError("the server sent a response without a request"))]
        reader.feed(data)
        return self._events(reader)

    def receive_eof(self) -> list[ClientEvent]:
        """Handle the end of stream, which completes a response without a length."""
        reader = self._reader
        if self._is_broken or reader is None:
            return []
        reader.feed_eof()
        if not reader.is_complete and reader.size:
            return [self._broken(RemoteProtocolError("the server closed the connection within a response"))]
        return self._events(reader)

    def _check_free(self, method: Method[..., Any] | None) -> None:
        name = method.full_name if method is not None else "a ping"
        if self._reader is not None:
            raise LocalProtocolError(f"cannot send {name}: HTTP/1.1 carries one call at a time on a connection")
        if self._is_closing or self._is_broken:
            raise LocalProtocolError(f"cannot send {name}: the server closes the connection")

    def _begin(self, *, is_head: bool) -> None:
        self._reader = ResponseReader(self._limits.max_message, is_head=is_head)
        self._id = self._last_id = self._last_id + 1
        self._is_head, self._is_cancelled = is_head, False

    def _events(self, reader: ResponseReader) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        if reader.is_complete:
            self._reader = None
            self._is_closing = self._is_closing or reader.is_closing
            if not self._is_cancelled:
                events.append(self._response(reader))
        if reader.error is not None:
            events.append(self._broken(reader.error))
        return events

    def _response(self, reader: ResponseReader) -> ResponseReceived | PongReceived:
        method, codec = self._method, self._codec
        if method is None or codec is None:
            return PongReceived(self._id, reader.is_closing)
        headers = tuple(reader.headers)
        return CallResponse(
            self._id, method, metadata_of_response(headers), reader.is_closing, reader.size,
            codec=codec, status=reader.status, headers=headers, body=reader.body, is_head=self._is_head,
        )  # fmt: skip

    def _broken(self, error: RemoteProtocolError) -> ConnectionBroken:
        self._is_broken = True
        self._reader = None
        return ConnectionBroken(error)


class HttpClient:
    """HTTP/1.1 with the options of a client, to one server; a `ClientProtocol`."""

    def __init__(
        self, limits: Limits, authority: str = _DEFAULT_AUTHORITY, prefix: str = "", service: str = ""
    ) -> None:
        self._limits = limits
        self._authority = authority
        self._prefix = prefix
        self._service = service
        self.name = "http"
        self.capabilities = CAPABILITIES

    def __repr__(self) -> str:
        return self.name

    def connect(self, service: str = "") -> ClientEnd:
        return ClientConnection(self._limits, service or self._service, self._authority, self._prefix)

    def advice(self) -> str:
        return "if the server does not speak HTTP, connect to tcp://host:port for Thrift"

    def metadata_advice(self) -> str:
        return ""


def http_clients(
    options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
) -> tuple[HttpClient, ...]:
    """Return HTTP with the options of a client.

    Args:
        options: `authority`, host and port of the server; `prefix`, path in front of the routes; `service`, name of
            the client's service.
        limits: limits of the client.
        instance: the server, if a registry describes it: its address and its prefix (`PREFIX_KEY`) are the defaults.

    Raises:
        ConfigurationError: an option is unknown or invalid, or `httptools` is not installed.
    """
    for name, value in options.items():
        if name not in _OPTIONS and value is not None:
            raise ConfigurationError(f"protocol http has no option {name!r}; remove {name}={value!r}")
    http_library()
    prefix, authority = options.get("prefix"), options.get("authority")
    if prefix is None:
        prefix = instance.metadata.get(PREFIX_KEY, "") if instance is not None else ""
    if authority is None:
        authority = instance.address if instance is not None else _DEFAULT_AUTHORITY
    if not isinstance(authority, str) or not _AUTHORITY.fullmatch(authority):
        raise ConfigurationError(f"invalid authority of an HTTP server: {authority!r}; expected host or host:port")
    return (HttpClient(limits, authority, check_prefix(prefix), options.get("service") or ""),)


def check_prefix(prefix: object) -> str:
    """Return a prefix of paths, without a slash at its end.

    Raises:
        ConfigurationError: it is invalid.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix.removesuffix("/")):
        raise ConfigurationError(
            f"invalid prefix of HTTP paths: {prefix!r}; write it percent-encoded, as in '/shop/v1'"
        )
    return prefix.removesuffix("/")
