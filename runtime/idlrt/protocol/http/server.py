"""Server side of an HTTP/1.1 connection.

The parser is llhttp (`httptools`). Limits on heads, headers, bodies and chunk overhead are ours, as are the checks in
`idlrt.protocol.http.head`. Requests may be pipelined; their responses keep their order. An error after which the end of
a request is uncertain closes the connection, with a response.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final, cast

import httptools

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.base import ServerEvent
from idlrt.protocol.events import ConnectionBroken, DataToSend, EndOfRequests, PingReceived, RequestReceived
from idlrt.protocol.http.calls import NO_HEADERS, HttpCall, page_request
from idlrt.protocol.http.capabilities import CAPABILITIES
from idlrt.protocol.http.compression import GZIP, BadEncoding, unzipped
from idlrt.protocol.http.extents import ChunkScanner, HeadScanner
from idlrt.protocol.http.head import BadHead, Decision, check_head, decide, line_size, target_of, too_large
from idlrt.protocol.http.metadata import PREFIX, read_metadata, retry_after_line, write_metadata
from idlrt.protocol.http.pages import HttpResponse
from idlrt.protocol.http.plain_requests import PlainRequests
from idlrt.protocol.http.replies import Reply
from idlrt.protocol.http.results import PROBLEM, Payload, problem, refusal_payload
from idlrt.protocol.http.site import Endpoint, Site
from idlrt.protocol.http.statuses import code_of, status_and_code
from idlrt.spec import DeclaredError

__all__ = ["ServerConnection"]

_CONTINUE: Final = DataToSend(b"HTTP/1.1 100 Continue\r\n\r\n")
# Largest body that is read and dropped, so that the connection stays usable after an error.
_MAX_DROPPED: Final = 65_536


class _Stop(Exception):
    """Stops the parser."""


class ServerConnection:
    """Server side of a connection; an `idlrt.protocol.base.ServerConnection`.

    Args:
        site: what the server offers.
    """

    __slots__ = (
        "_body", "_body_size", "_chunks", "_count", "_decision", "_events", "_has_begun", "_head", "_headers",
        "_in_body", "_is_over", "_is_upgrade", "_left", "_limit", "_number", "_parser", "_path", "_plain",
        "_query", "_repeated", "_reply", "_site", "_url", "capabilities", "is_at_eof", "is_broken",
    )  # fmt: skip

    def __init__(self, site: Site) -> None:
        self._site = site
        self._limit = site.limits.max_message
        self._parser = httptools.HttpRequestParser(self)
        self._events: list[ServerEvent] = []
        self._number = 0
        # Whether a request has begun, and whether its head is complete.
        self._has_begun = False
        self._in_body = False
        self._is_over = False
        self._plain = PlainRequests(site)
        self._reset()
        self.capabilities = CAPABILITIES
        self.is_broken = False
        self.is_at_eof = False

    def _reset(self) -> None:
        """Prepare for the head of a request."""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeated: set[bytes] | None = None
        self._count = 0
        self._body = bytearray()  # not a list of pieces, of which there may be millions
        self._body_size = 0
        self._head = HeadScanner(self._site.options.max_head)
        # What is left of the body: its size, or the state of its chunks.
        self._left = 0
        self._chunks: ChunkScanner | None = None
        # Whether the parser takes the body for that of another protocol.
        self._is_upgrade = False

    @property
    def is_between_messages(self) -> bool:
        return not self._has_begun

    @property
    def message_timeout(self) -> float | None:
        """Seconds within which the message that has begun must arrive; `None`: the server's limit."""
        return None if self._in_body else self._site.options.head_timeout

    @property
    def idle_timeout(self) -> float | None:
        """Seconds after which a connection without requests is closed."""
        return self._site.options.keep_alive

    def timed_out(self) -> bytes:
        """Return the response to a request that has not arrived in time."""
        self._end()
        return self._broken_reply(408, "the request did not arrive in time")

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        if self.is_broken or self._is_over:
            return []
        if not self._head.size:
            call = self._plain.call(data, self._number + 1)
            if call is not None:
                self._number += 1
                return [call]
        events = self._events = []
        at, size = 0, len(data)
        try:
            while at < size and not self._is_over:
                at = self._parse_body(data, at) if self._in_body else self._parse_head(data, at)
        except (httptools.HttpParserError, BadHead) as error:
            if not self._is_over:
                cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
                self._break(cause if isinstance(cause, BadHead) else self._malformed())
        return events

    def _parse_head(self, data: bytes, at: int) -> int:
        """Parse the head of a request, or as much of it as has arrived. Returns where it ends in `data`: this is found
        before parsing, so that limits are exact, and nothing behind the last request is parsed."""
        head = self._head
        end = head.scan(data, at)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            self._parser.feed_data(data if at == 0 and end == len(data) else data[at:end])
        if head.is_over_limit:
            raise too_large(self._site.options, self._parser.get_method(), self._url, self._count)
        if head.is_complete and self._has_begun and not self._in_body:
            raise self._malformed()
        return end

    def _parse_body(self, data: bytes, at: int) -> int:
        """Parse the body of a request, or as much of it as has arrived. Returns where it ends in `data`."""
        chunks = self._chunks
        if chunks is None:
            end = min(at + self._left, len(data))
            self._left -= end - at
        else:
            end = chunks.scan(data, at)
        piece = data if at == 0 and end == len(data) else data[at:end]
        if self._is_upgrade:
            self.on_body(piece)
            if not self._left:
                self._complete()
            return end
        self._parser.feed_data(piece)
        if chunks is not None and chunks.is_over_limit:
            raise BadHead(400, "the chunks of the body have too much overhead")
        is_whole = not self._left if chunks is None else chunks.is_complete or chunks.is_malformed
        if is_whole and self._in_body:
            raise self._malformed()
        return end

    def receive_eof(self) -> list[ServerEvent]:
        self.is_at_eof = True
        had_begun = self._has_begun and not self.is_broken
        self._end()
        if not had_begun:
            return []
        self.is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the client closed the connection within a message"))]

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        self._has_begun = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer field, which nothing reads; its bytes count as overhead
        self._count += 1
        name = name.lower()
        if b"_" in name and not name.startswith(PREFIX):
            return  # gateways treat it like the name with a hyphen: X_Real_IP could forge X-Real-IP
        if value[-1:] in b" \t":
            value = value.rstrip(b" \t")
        headers = self._headers
        if name in headers:
            if self._repeated is None:
                self._repeated = set()
            self._repeated.add(name)
            value = headers[name] + (b"; " if name == b"cookie" else b", ") + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        site, headers, parser = self._site, self._headers, self._parser
        options = site.options
        verb = parser.get_method()
        if line_size(verb, self._url) > options.max_line or self._count > options.max_headers:
            raise too_large(self._site.options, self._parser.get_method(), self._url, self._count)
        check_head(parser.get_http_version(), headers, self._repeated or frozenset())
        if verb == b"CONNECT":
            raise BadHead(501, "this HTTP method is not supported")
        path, self._query = target_of(self._url, headers)
        self._path = path
        self._number += 1
        keeps = parser.should_keep_alive() and not 0 < options.max_requests <= self._number
        self._reply = Reply(site, verb == b"HEAD", keeps, parser.get_http_version() == "1.0", headers)
        length = headers.get(b"content-length")
        is_chunked = b"transfer-encoding" in headers
        if length is not None and int(length) > self._limit:
            raise BadHead(413, f"the body must have at most {plural(self._limit, 'byte')}")
        decision = self._decision = decide(site, verb, path, headers)
        self._in_body = True
        if is_chunked:
            self._chunks = ChunkScanner()
        elif length is not None:
            self._left = int(length)
        has_body = is_chunked or self._left > 0
        if parser.should_upgrade():
            if is_chunked:
                raise BadHead(400, "a request to upgrade the connection must not have a chunked body")
            self._is_upgrade = has_body
            self._reply.close()
        if not has_body:
            return
        expects = b"expect" in headers and parser.get_http_version() == "1.1"
        if decision.endpoint is not None:
            if expects:
                self._events.append(_CONTINUE)
        elif expects or is_chunked or self._left > _MAX_DROPPED:
            # Respond at once: the body is not worth reading.
            self._reply.close()
            self._complete()
            raise _Stop

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size > self._limit:
            raise BadHead(413, f"the body must have at most {plural(self._limit, 'byte')}")
        if self._decision.endpoint is not None:
            self._body += data

    def on_message_complete(self) -> None:
        if not self._is_upgrade:  # then the parser does not read the body
            self._complete()

    def _complete(self) -> None:
        """Emit the event of a request that has arrived."""
        decision, reply = self._decision, self._reply
        self._events.append(self._refused(decision) if decision.endpoint is None else self._call(decision))
        self._has_begun = self._in_body = False
        self._reset()
        if reply.is_last:
            self._end()
            self._events.append(EndOfRequests())

    def _call(self, decision: Decision) -> ServerEvent:
        endpoint, headers, size = decision.endpoint, self._headers, self._head.size + self._body_size
        assert endpoint is not None
        try:
            context, metadata = read_metadata(headers, self._site.metadata)
            body = bytes(self._body)
            if b"content-encoding" in headers and headers[b"content-encoding"].lower() in GZIP:
                body = unzipped(body, self._limit)
            arguments: tuple[Any, ...] | None = None
            if endpoint.binding is None:
                request = page_request(self._parser.get_method(), self._path, self._query, headers, body)
                if endpoint.inline is not None:
                    return DataToSend(self._reply.computed(endpoint.inline(request), b"", False))
                arguments = (request,)
        except (RemoteProtocolError, BadEncoding) as error:
            refusal = ApplicationError(str(error), ApplicationCode.PROTOCOL_ERROR)
            status = error.status if isinstance(error, BadEncoding) else 0
            return HttpCall(
                self._number, endpoint.key, endpoint.method, refusal=refusal, size=size,
                endpoint=endpoint, reply=self._reply, status=status,
            )  # fmt: skip
        return HttpCall(
            self._number, endpoint.key, endpoint.method, False, False, metadata, context, None, arguments, None, size,
            endpoint=endpoint, reply=self._reply, values=decision.values, query=self._query, headers=headers, body=body,
        )  # fmt: skip

    def _refused(self, decision: Decision) -> ServerEvent:
        """Return the event of a request without an endpoint."""
        reply = self._reply
        if decision.status == 200:
            return DataToSend(reply.page(self._path))
        if decision.status == 204:
            if self._path == b"*":
                return PingReceived((reply, decision.allow))
            return DataToSend(reply.options(decision.allow))
        reply.allow = decision.allow
        code = ApplicationCode.UNKNOWN_METHOD if decision.status in (404, 405, 501) else ApplicationCode.PROTOCOL_ERROR
        refusal = ApplicationError(decision.why, code)
        return HttpCall(
            self._number, "", None, refusal=refusal, size=self._head.size,
            endpoint=None, reply=reply, status=decision.status,
        )  # fmt: skip

    # Ends of the connection.

    def _malformed(self) -> BadHead:
        part = "body" if self._in_body else "head"
        return BadHead(400, f"the {part} of the request is malformed")

    def _break(self, bad: BadHead) -> None:
        """Respond with an error, and read nothing more."""
        self.is_broken = True
        self._end()
        error = RemoteProtocolError(f"{bad.why} (status {bad.status})")
        self._events.append(ConnectionBroken(error, self._broken_reply(bad.status, bad.why)))

    def _broken_reply(self, status: int, why: str) -> bytes:
        reply = Reply(self._site, False, False, False, NO_HEADERS)
        return reply.data(Payload(status, PROBLEM, problem(status, code_of(status), why)))

    def _end(self) -> None:
        """Read nothing more."""
        self._is_over = True
        self._has_begun = False
        self._parser = cast("Any", None)  # it refers to this connection, which would be a cycle

    # Responses.

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        own, endpoint = _called(request)
        assert endpoint.binding is not None
        return endpoint.binding.read(own)

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        own, endpoint = _called(request)
        lines = write_metadata(metadata) if metadata else b""
        if endpoint.binding is None:
            response = cast("HttpResponse", result)
            return own.reply.computed(response, lines, is_draining and self._is_latest(own))
        return own.reply.data(endpoint.writer.result(result), lines, is_draining and self._is_latest(own))

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        own, endpoint = _called(request)
        payload = endpoint.writer.error(error)
        if payload is None:
            return None
        return own.reply.data(payload, write_metadata(metadata), is_draining and self._is_latest(own))

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        own = cast("HttpCall", request)
        status, code = (own.status, code_of(own.status)) if own.status else status_and_code(error)
        lines = retry_after_line(error.retry_after)
        if status == 401:
            lines += b"www-authenticate: Bearer\r\n"
        # The error must be sent in any case; it matters more than metadata.
        with contextlib.suppress(LocalProtocolError, AttributeError, TypeError):
            lines += write_metadata(metadata)
        payload = refusal_payload(status, code, error, self._limit)
        return own.reply.data(payload, lines, is_draining and self._is_latest(own))

    def _is_latest(self, request: HttpCall) -> bool:
        """Whether no later request has arrived, so that the response may announce the end of the connection: a client
        ignores what follows it (RFC 9112, section 9.6).
        """
        if request.id != self._number:
            return False
        self._end()
        return True

    def pong(self, ping: PingReceived) -> bytes:
        """Return the response to `OPTIONS *`, by which clients of this runtime check a connection."""
        reply, allow = cast("tuple[Reply, str]", ping.token)
        return reply.options(allow)

    def drain_notice(self) -> bytes:
        """Return nothing: responses say `Connection: close`."""
        return b""


def _called(request: RequestReceived) -> tuple[HttpCall, Endpoint]:
    own = cast("HttpCall", request)
    assert own.endpoint is not None
    return own, own.endpoint
