"""Bytes of responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from idlrt.errors import LocalProtocolError
from idlrt.protocol.http.compression import accepts_gzip, zipped
from idlrt.protocol.http.pages import HttpResponse
from idlrt.protocol.http.responses import RESERVED
from idlrt.protocol.http.results import Payload
from idlrt.protocol.http.site import Site
from idlrt.protocol.http.statuses import title

__all__ = ["Reply"]

_STATUS_LINES: Final = {status: b"HTTP/1.1 %d %b\r\n" % (status, title(status).encode()) for status in range(100, 600)}
# Responses to calls are for this client only. No client may guess another content type.
_CALL: Final = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
_PAGE: Final = b"cache-control: no-cache\r\nx-content-type-options: nosniff\r\n"
_CACHED: Final = b"x-content-type-options: nosniff\r\n"
_CLOSE: Final = b"connection: close\r\n"
_KEEP: Final = b"connection: keep-alive\r\n"
_WITHOUT_BODY: Final = (204, 304)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Latin-1 without control characters but the tab (RFC 9110, section 5.5).
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FIRST, _LAST = 200, 599
_CORS_HEADERS: Final = "content-type, authorization, traceparent, tracestate, baggage, rpc-timeout-ms"
_COMPRESSIBLE: Final = (b"json", b"text/", b"javascript", b"xml")


class Reply:
    """Builds the response to one request.

    Args:
        site: what the server offers.
        is_head: whether the request is HEAD, so that the response has no body.
        keeps_alive: whether the connection stays open.
        is_old: whether the client speaks HTTP/1.0.
        headers: headers of the request.

    Attributes:
        is_last: whether the connection is closed after the response.
        allow: value of the header `Allow`; empty for none.
    """

    __slots__ = ("_headers", "_is_head", "_is_old", "_site", "allow", "is_last")

    def __init__(
        self, site: Site, is_head: bool, keeps_alive: bool, is_old: bool, headers: Mapping[bytes, bytes]
    ) -> None:
        self._site = site
        self._is_head = is_head
        self._is_old = is_old
        self._headers = headers
        self.is_last = not keeps_alive
        self.allow = ""

    def close(self) -> None:
        """Close the connection after the response."""
        self.is_last = True

    def data(self, payload: Payload, lines: bytes = b"", is_draining: bool = False, common: bytes = _CALL) -> bytes:
        """Return the bytes of a response.

        Args:
            payload: its content.
            lines: lines of additional headers.
            is_draining: whether the server is draining.
            common: header lines that all responses of a kind have.
        """
        body, headers, site = payload.body, self._headers, self._site
        if payload.headers:
            lines = payload.headers + lines
        if self.is_last or is_draining:
            lines += _CLOSE
        elif self._is_old:
            lines += _KEEP
        if self.allow:
            lines += b"allow: %b\r\n" % self.allow.encode()
        # A route may have decided itself.
        if site.options.cors is not None and b"origin" in headers and b"access-control-allow-origin: " not in lines:
            lines += self._cors_lines()
        smallest = site.options.gzip
        if smallest and len(body) >= smallest and common is not _PAGE and b"accept-encoding" in headers:
            lines += b"vary: accept-encoding\r\n"
            # With cookies, a page of another origin could learn secrets from the size of responses (BREACH).
            is_text = any(kind in payload.content_type for kind in _COMPRESSIBLE)
            if is_text and b"cookie" not in headers and accepts_gzip(headers[b"accept-encoding"]):
                body = zipped(body)
                lines += b"content-encoding: gzip\r\n"
        if payload.status in _WITHOUT_BODY:
            return b"%b%b%b%b\r\n" % (_STATUS_LINES[payload.status], site.date_line(), common, lines)
        if payload.content_type:
            lines = b"content-type: %b\r\n%b" % (payload.content_type, lines)
        return b"%bcontent-length: %d\r\n%b%b%b\r\n%b" % (
            _STATUS_LINES[payload.status],
            len(body),
            site.date_line(),
            common,
            lines,
            b"" if self._is_head else body,
        )

    def page(self, path: bytes) -> bytes:
        """Return the bytes of a response with a static page, which is compressed once only."""
        site = self._site
        page, body, lines = site.pages[path], site.pages[path].body, b""
        if len(body) >= site.options.gzip > 0 and accepts_gzip(self._headers.get(b"accept-encoding", b"")):
            body, lines = site.zipped_page(path), b"content-encoding: gzip\r\nvary: accept-encoding\r\n"
        content_type = _value("content-type", page.content_type)
        return self.data(Payload(page.status, content_type, body, _lines(page.headers) + lines), common=_PAGE)

    def computed(self, response: HttpResponse, lines: bytes, is_draining: bool) -> bytes:
        """Return the bytes of a response with a computed page. It is not cached, unless it sets `Cache-Control`.

        Raises:
            LocalProtocolError: its status or a header is invalid.
        """
        status = response.status
        if not _FIRST <= status <= _LAST:
            raise LocalProtocolError(f"cannot send a page: its status must be from {_FIRST} to {_LAST}, got {status!r}")
        content_type = _value("content-type", response.content_type)
        payload = Payload(status, content_type, response.body, _lines(response.headers))
        is_cached = any(name.lower() == "cache-control" for name, _ in response.headers)
        return self.data(payload, lines, is_draining, _CACHED if is_cached else _CALL)

    def options(self, allow: str) -> bytes:
        """Return the bytes of a response to OPTIONS, such as a preflight request of a browser.

        Source: https://fetch.spec.whatwg.org/#http-responses
        """
        self.allow = allow
        cors, lines = self._site.options.cors, b""
        if cors is not None and b"access-control-request-method" in self._headers and self._origin():
            allowed = ", ".join((_CORS_HEADERS, *self._site.options.metadata, *cors.headers))
            lines = b"access-control-allow-methods: %b\r\naccess-control-allow-headers: %b\r\n" % (
                allow.encode(),
                allowed.encode(),
            )
            lines += b"access-control-max-age: %d\r\n" % cors.max_age
        return self.data(Payload(204, b"", b""), lines)

    def _origin(self) -> bytes:
        """Return the allowed origin of the request; empty if it is not allowed."""
        cors, origin = self._site.options.cors, self._headers.get(b"origin", b"")
        if cors is None or not origin:
            return b""
        if "*" in cors.origins:
            return b"*"
        return origin if origin.lower().decode("latin-1") in cors.origins else b""

    def _cors_lines(self) -> bytes:
        cors = self._site.options.cors
        assert cors is not None
        origin = self._origin()
        lines = b"" if origin == b"*" else b"vary: origin\r\n"
        if not origin:
            return lines
        lines += b"access-control-allow-origin: %b\r\n" % origin
        if cors.credentials:
            lines += b"access-control-allow-credentials: true\r\n"
        if cors.exposed:
            lines += b"access-control-expose-headers: %b\r\n" % ", ".join(cors.exposed).encode()
        return lines


def _lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return the lines of headers of a page.

    Raises:
        LocalProtocolError: one is invalid, or set by the protocol.
    """
    lines: list[bytes] = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or name.lower() in RESERVED:
            raise LocalProtocolError(f"cannot send header {name!r}: it is no header name, or set by the protocol")
        lines.append(b"%b: %b\r\n" % (name.lower().encode(), _value(name, value)))
    return b"".join(lines)


def _value(name: str, value: str) -> bytes:
    if not _VALUE.fullmatch(value):
        raise LocalProtocolError(f"cannot send header {name!r}: its value must be Latin-1 text on one line")
    return value.encode("latin-1")
