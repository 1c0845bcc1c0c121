"""Server side of a JSON-RPC connection. The package documents the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, cast

import msgspec

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.base import Capabilities, ServerEvent
from idlrt.protocol.events import (
    NO_CONTEXT,
    ConnectionBroken,
    PingReceived,
    RequestReceived,
)
from idlrt.protocol.jsonrpc.batches import Batch, HeldBytes
from idlrt.protocol.jsonrpc.codes import DECLARED, INVALID_REQUEST, PARSE_ERROR, code_name, json_rpc_code
from idlrt.protocol.jsonrpc.lines import LineBuffer
from idlrt.protocol.jsonrpc.messages import (
    MAX_BATCH,
    MAX_ID,
    NULL,
    BadMessage,
    check_text,
    elements_of,
    error_text,
    is_id,
    is_json,
    read_request,
    result_text,
)
from idlrt.protocol.jsonrpc.meta import read_request_meta, write_response_meta
from idlrt.protocol.jsonrpc.values import method_json
from idlrt.serialization import Limits
from idlrt.spec import DeclaredError, Method

__all__ = ["CAPABILITIES", "PING", "JsonRpcRequest", "ServerConnection"]

CAPABILITIES: Final = Capabilities(metadata=True, context=True, drain=True)

PING: Final = "rpc.ping"
"""Method name of pings; names that start with `rpc.` are reserved for the protocol."""


_RESERVED: Final = "rpc."
_PARAMS: Final = (b"", b"{", b"[")


class JsonRpcRequest(RequestReceived, frozen=True, gc=False, kw_only=True):
    """A request.

    Attributes:
        reply_id: JSON text of the id, as the client wrote it; empty for a notification.
        params: JSON text of the arguments; empty for none.
        batch: batch of the request; `None` if it is not in a batch.
        place: slot of its response in the batch.
        code: error code of JSON-RPC, if it differs from the code of `refusal`; else 0.
    """

    acknowledges_oneway: ClassVar[bool] = True

    reply_id: bytes = b""
    params: bytes = b""
    batch: Batch | None = None
    place: int = 0
    code: int = 0


class _PongSlot(msgspec.Struct, frozen=True):
    """Id and slot of the response to a ping."""

    id: bytes
    batch: Batch | None
    place: int


class ServerConnection:
    """Server side of a connection; an `idlrt.protocol.base.ServerConnection`.

    Args:
        methods: methods of the server, by name: `method` of the first service, and `Service:method`.
        limits: limits of the server.
    """

    __slots__ = (
        "_count",
        "_held",
        "_limits",
        "_lines",
        "_max_batch",
        "_methods",
        "capabilities",
        "is_at_eof",
        "is_broken",
    )

    def __init__(self, methods: Mapping[str, Method[..., Any]], limits: Limits) -> None:
        self._methods = methods
        self._limits = limits
        self._lines = LineBuffer(limits.max_message)
        self._max_batch = min(MAX_BATCH, limits.max_container)
        self._count = 0
        self._held = HeldBytes(limits.max_message)
        self.capabilities = CAPABILITIES
        self.is_broken = False
        self.is_at_eof = False

    @property
    def is_between_messages(self) -> bool:
        return self._lines.is_empty

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        if self.is_broken:
            return events
        lines: list[bytes] = []
        broken: ConnectionBroken | None = None
        try:
            self._lines.feed(data, lines)
        except RemoteProtocolError as error:
            self.is_broken = True
            broken = ConnectionBroken(error, error_text(NULL, INVALID_REQUEST, f"invalid request: {error}") + b"\n")
        for line in lines:
            events.extend(self._read(line))
        if broken is not None:
            events.append(broken)
        return events

    def receive_eof(self) -> list[ServerEvent]:
        """Handle the end of stream. The last line may lack its line break, because JSON text is self-delimiting."""
        self.is_at_eof = True
        rest = self._lines.take_rest()
        if self.is_broken or not rest:
            return []
        if is_json(rest):
            return self._read(rest)
        self.is_broken = True
        answer = error_text(NULL, PARSE_ERROR, "parse error: the last line is not complete JSON") + b"\n"
        return [ConnectionBroken(RemoteProtocolError("the client closed the connection within a message"), answer)]

    def _read(self, line: bytes) -> list[ServerEvent]:
        """Return the events of a line."""
        try:
            check_text(line)
            if line[:1] != b"[":
                return self._read_one(line, len(line), None)
            elements = elements_of(line, self._max_batch)
        except BadMessage as error:
            return [self._bad(error, len(line), None)]
        batch = Batch(self._held)
        return [event for each in elements for event in self._read_one(each, len(bytes(each)), batch)]

    def _read_one(self, text: bytes | msgspec.Raw, size: int, batch: Batch | None) -> list[ServerEvent]:
        """Return the events of one request."""
        context, metadata = NO_CONTEXT, NO_METADATA
        id = NULL
        try:
            request = read_request(text)
            id = bytes(request.id)
            if id and not is_id(id):
                what = f"the member `id` must be a string, a number or null, of at most {MAX_ID} bytes"
                raise BadMessage(f"invalid request: {what}")
            params, meta = bytes(request.params), bytes(request.meta)
            if params[:1] not in _PARAMS:
                raise BadMessage("invalid request: the member `params` must be an object or an array", id=id or NULL)
            if meta:
                context, metadata = read_request_meta(meta)
        except BadMessage as error:
            return [self._bad(error, size, batch)]
        except RemoteProtocolError as error:
            return [self._bad(BadMessage(f"invalid request: {error}", id=id or NULL), size, batch)]
        place = batch.reserve() if batch is not None and id else 0
        name = request.method
        if name == PING:
            return [PingReceived(_PongSlot(id, batch, place))] if id else []
        method = self._methods.get(name)
        if name.startswith(_RESERVED):
            method = None
        elif method is None and "." in name:
            name = ":".join(name.rsplit(".", 1))
            method = self._methods.get(name)
        self._count += 1
        return [JsonRpcRequest(
            self._count, name, method, not id, True, metadata, context, size=size,
            reply_id=id, params=params, batch=batch, place=place,
        )]  # fmt: skip

    def _bad(self, error: BadMessage, size: int, batch: Batch | None) -> JsonRpcRequest:
        """Return the event of an invalid request."""
        self._count += 1
        refusal = ApplicationError(str(error), ApplicationCode.INVALID_MESSAGE_TYPE)
        return JsonRpcRequest(
            self._count, "", None, is_unordered=True, refusal=refusal, size=size,
            reply_id=error.id, batch=batch, place=batch.reserve() if batch is not None else 0, code=error.code,
        )  # fmt: skip

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        if request.arguments is not None:
            return request.arguments, request.decoded
        method = request.method
        assert method is not None
        return method_json(method, self._limits).arguments_of(cast("JsonRpcRequest", request).params)

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """Return the bytes of a response; in a batch nothing until its last response is ready."""
        own, method = cast("JsonRpcRequest", request), request.method
        assert method is not None
        meta = write_response_meta(metadata, is_draining) if metadata or is_draining else b""
        text = method_json(method, self._limits).write_result(result)
        return self._deliver(own, self._checked(result_text(own.reply_id, text, meta), method))

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        own, method = cast("JsonRpcRequest", request), request.method
        assert method is not None
        data = method_json(method, self._limits).write_error(error)
        if data is None:
            return None
        meta = write_response_meta(metadata, is_draining)
        what = str(error) or type(error).__name__
        return self._deliver(own, self._checked(error_text(own.reply_id, DECLARED, what, data, meta), method))

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        own = cast("JsonRpcRequest", request)
        if own.is_oneway:
            return b""
        code = own.code or json_rpc_code(error.code)
        name = code_name(code)
        data = b'{"name":"%b"}' % name.encode() if name else b""
        short = "the error message exceeds a limit"
        text = b""
        # If the response is too large, first omit the metadata, then the text; pushback and drain matter more.
        for message, meant in ((error.message, metadata), (error.message, NO_METADATA), (short, NO_METADATA)):
            meta = _refusal_meta(meant, is_draining, error)
            text = error_text(own.reply_id, code, message, data, meta)
            if self._has_room(own, text):
                break
        return self._put(own, text)

    def pong(self, ping: PingReceived) -> bytes:
        """Return the response to a ping, with the result `null`."""
        place = cast("_PongSlot", ping.token)
        text = result_text(place.id, NULL)
        return place.batch.put(place.place, text) if place.batch is not None else text + b"\n"

    def drain_notice(self) -> bytes:
        """Return nothing: draining is signalled in the next response."""
        return b""

    def _checked(self, text: bytes, method: Method[..., Any]) -> bytes:
        """Return `text`, or raise `LocalProtocolError` if it exceeds the limit."""
        if len(text) > self._limits.max_message:
            what = f"it has {plural(len(text), 'byte')}, the limit is max_message={self._limits.max_message}"
            raise LocalProtocolError(f"cannot send the response of {method.full_name}: {what}")
        return text

    def _deliver(self, request: JsonRpcRequest, text: bytes) -> bytes:
        """Return the bytes to send for a result or an exception, or for an error if the batch would be too large."""
        if request.is_oneway:
            return b""
        if not self._has_room(request, text):
            limit = f"max_message={self._limits.max_message}"
            what = f"the responses of unfinished batches on this connection exceed {limit}"
            text = error_text(request.reply_id, json_rpc_code(ApplicationCode.INTERNAL_ERROR), what)
        return self._put(request, text)

    def _has_room(self, request: JsonRpcRequest, text: bytes) -> bool:
        size = len(text)
        return size <= self._limits.max_message and (request.batch is None or request.batch.has_room(size))

    def _put(self, request: JsonRpcRequest, text: bytes) -> bytes:
        return text + b"\n" if request.batch is None else request.batch.put(request.place, text)


def _refusal_meta(metadata: Metadata, is_draining: bool, error: ApplicationError) -> bytes:
    """Return `meta` of an error response, which must be sent in any case: without members that cannot be encoded."""
    try:
        return write_response_meta(metadata, is_draining, error.retry_after)
    except (LocalProtocolError, TypeError, ValueError, AttributeError):
        pass  # the metadata has other values than strings, or is too large
    try:
        return write_response_meta(NO_METADATA, is_draining, error.retry_after)
    except (LocalProtocolError, TypeError, ValueError, AttributeError):
        return write_response_meta(NO_METADATA, is_draining)  # `retry_after` is not a number
