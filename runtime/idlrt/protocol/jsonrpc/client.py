"""Client side of a JSON-RPC connection. The package documents the rules.

Some servers reject requests with members that the specification does not define, such as `meta`, as invalid, without
executing them. Until it is known that a server supports `meta`, a request with best-effort values only is kept, and
sent again without them if it is rejected with -32600. Rejections without an id are counted: once there are as many as
requests in flight, all of these have been rejected, and none of them is running. The result is stored for the server
(`MetaSupport`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idlrt.core.metadata import AMBIENT, NO_METADATA, Metadata
from idlrt.errors import ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.events import (
    NO_CONTEXT,
    ClientEvent,
    ConnectionBroken,
    DataToSend,
    PongReceived,
    RequestContext,
    ResponseReceived,
)
from idlrt.protocol.foreign import ForeignProtocol
from idlrt.protocol.jsonrpc.codes import DECLARED, INVALID_REQUEST, application_code
from idlrt.protocol.jsonrpc.lines import LineBuffer
from idlrt.protocol.jsonrpc.messages import MAX_BATCH, BadMessage, check_text, elements_of, is_json, request_line
from idlrt.protocol.jsonrpc.meta import ResponseMeta, read_response_meta, write_request_meta
from idlrt.protocol.jsonrpc.server import PING
from idlrt.protocol.jsonrpc.support import MetaSupport
from idlrt.protocol.jsonrpc.values import MethodJson, method_json
from idlrt.serialization import Limits
from idlrt.spec import VOID, Method, method

__all__ = ["ClientConnection", "JsonRpcResponse"]

_ABSENT: Final = msgspec.Raw()
_NO_META: Final = ResponseMeta()
_FIRST: Final = b"{[ \t\r\n"
# First bytes of responses of other protocols.
_FOREIGN: Final = {b"H": "HTTP", b"\x15": "TLS", b"\0": "Thrift or HTTP/2", b"\x80": "Thrift", b"\x82": "Thrift"}
_MAX_SHOWN: Final = 100
_UNKNOWN: Final = "which does not exist"


class _Ping:
    def ping(self) -> None:
        """Stand for the method of pings."""


_PING: Final = method(_Ping.ping, result=VOID)


class _Error(msgspec.Struct, frozen=True, gc=False):
    code: int | float
    message: str | None = None
    data: msgspec.Raw = _ABSENT


class _Response(msgspec.Struct, frozen=True, gc=False):
    """The members of a response. With `method` it is a request or notification of the server."""

    id: int | float | str | None = None
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    meta: msgspec.Raw = _ABSENT
    method: msgspec.Raw = _ABSENT


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_ERROR: Final = msgspec.json.Decoder(_Error)


class JsonRpcResponse(ResponseReceived, frozen=True, gc=False, kw_only=True):
    """A response, not decoded yet.

    Attributes:
        json: decoder of the result.
        text: JSON text of the result; empty if there is none.
        error: JSON text of the error; empty if there is none.
        retry_after: pushback in seconds.
    """

    json: MethodJson
    text: bytes
    error: bytes
    retry_after: float | None = None

    def result(self) -> Any:
        if self.error and self.error != b"null":
            raise self._failure()
        if not self.text:
            name = self.method.full_name
            raise RemoteProtocolError(f"cannot read the response of {name}: it has neither `result` nor `error`")
        return self.json.result_of(self.text)

    def _failure(self) -> Exception:
        try:
            error = _ERROR.decode(self.error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            return RemoteProtocolError(f"cannot read the error of {self.method.full_name}: {wrong}")
        if error.code == DECLARED and (declared := self.json.error_of(bytes(error.data))) is not None:
            return declared
        return ApplicationError(error.message or "", application_code(int(error.code))).push_back(self.retry_after)


class ClientConnection:
    """Client side of a connection; an `idlrt.protocol.base.ClientConnection`.

    Args:
        limits: limits of the client.
        service: name of the service to call on a server with several; empty for its first one.
        support: whether the server supports `meta`; connections to it share this object.
    """

    __slots__ = (
        "_calls", "_cancelled", "_has_begun", "_has_notified", "_is_broken", "_last_id", "_limits", "_lines",
        "_may_resend", "_pings", "_prefix", "_refusal", "_refused", "_repeated", "_resend", "_support", "capabilities",
    )  # fmt: skip

    def __init__(self, limits: Limits, service: str = "", support: MetaSupport | None = None) -> None:
        self._limits = limits
        self._support = support if support is not None else MetaSupport()
        # Requests without `meta`, by id, to be sent if the server rejects those with it (empty if cancelled); and ids
        # of requests that have been sent again.
        self._resend: dict[int, bytes] = {}
        self._repeated: set[int] = set()
        self._may_resend = True
        # Whether a notification was sent with `meta`: its rejection has no id either.
        self._has_notified = False
        # Number of rejections without an id, which belong to unknown requests in flight; and the text of the last one,
        # until the server answers a repeated request.
        self._refused = 0
        self._refusal = ""
        self._prefix = f"{service}." if service else ""
        self._lines = LineBuffer(limits.max_message)
        self._calls: dict[int, Method[..., Any]] = {}
        self._pings: set[int] = set()
        self._cancelled: set[int] = set()
        self._last_id = 0
        self._has_begun = False
        self._is_broken = False
        self.capabilities = self._support.capabilities

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    @property
    def cancelled(self) -> int:
        return len(self._cancelled)

    @property
    def is_idle(self) -> bool:
        return not self._calls and not self._is_broken and self._lines.is_empty

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        """Start a call. Oneway calls are notifications."""
        params = method_json(method, self._limits).write_arguments(arguments)
        id, is_oneway = self._last_id + 1, method.is_oneway
        name, id_text = self._prefix + method.name, b"" if is_oneway else str(id).encode()
        meta = write_request_meta(metadata, context) if metadata or context is not NO_CONTEXT else b""
        supports_meta, is_ambient = self._support.supports_meta, True
        if meta and supports_meta is not True:
            is_ambient = metadata.keys() <= AMBIENT
            if supports_meta is False and not is_ambient:
                what = "the server does not support `meta`"
                raise LocalProtocolError(f"cannot send the metadata of {method.full_name}: {what}")
            if is_ambient and (is_oneway or supports_meta is False or self._refused):
                meta = b""
        line = request_line(name, params, id_text, meta)
        size = len(line) - 1
        if size > self._limits.max_message:
            what = f"it has {plural(size, 'byte')}, the limit is max_message={self._limits.max_message}"
            raise LocalProtocolError(f"cannot send the call of {method.full_name}: {what}")
        self._last_id = id
        if not is_oneway:
            self._calls[id] = method
            if meta and is_ambient and supports_meta is None and self._may_resend:
                self._resend[id] = request_line(name, params, id_text, b"")
        elif meta:
            self._has_notified = True
        return id, line

    def ping(self) -> tuple[int, bytes]:
        """Start a ping: a call of `rpc.ping`. Other servers answer it with an error, which is a response too."""
        id = self._last_id = self._last_id + 1
        self._calls[id] = _PING
        self._pings.add(id)
        return id, request_line(PING, b"", str(id).encode(), b"")

    def cancel(self, id: int) -> bytes:
        if self._calls.pop(id, None) is not None:
            self._cancelled.add(id)
            self._pings.discard(id)
            if id in self._resend:
                self._resend[id] = b""
        return b""

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        if self._is_broken or not data:
            return events
        lines: list[bytes] = []
        broken: RemoteProtocolError | None = None
        try:
            if not self._has_begun:
                self._check_first(data[:1])
            self._lines.feed(data, lines)
        except RemoteProtocolError as error:
            broken = error
        try:
            for line in lines:
                self._read(line, events)
        except RemoteProtocolError as error:
            broken = error
        if broken is not None:
            self._is_broken = True
            events.append(ConnectionBroken(broken))
        return events

    def receive_eof(self) -> list[ClientEvent]:
        """Handle the end of stream. The last line may lack its line break."""
        events: list[ClientEvent] = []
        if self._is_broken:
            return events
        rest = self._lines.take_rest()
        error: RemoteProtocolError | None = None
        if rest and is_json(rest):
            try:
                self._read(rest, events)
            except RemoteProtocolError as wrong:
                error = wrong
        elif rest:
            error = RemoteProtocolError("the server closed the connection within a message")
        if error is None and self._refusal and self._calls:
            error = RemoteProtocolError(f"the server could not read a request: {self._refusal}")
        if error is not None:
            self._is_broken = True
            events.append(ConnectionBroken(error))
        return events

    def _check_first(self, first: bytes) -> None:
        """Recognize other protocols by the first byte, because their responses may not contain a line break."""
        if first not in _FIRST:
            name = _FOREIGN.get(first)
            speaks = f"seems to speak {name}" if name else "speaks another protocol"
            what = f"the server {speaks} (its response starts with byte {first.hex()}), this client speaks JSON-RPC"
            raise ForeignProtocol(what, name or "unknown")
        self._has_begun = True

    def _read(self, line: bytes, events: list[ClientEvent]) -> None:
        """Append the events of a line to `events`."""
        try:
            check_text(line)
            if line[:1] != b"[":
                responses = [_RESPONSE.decode(line)]
            else:
                responses = [_RESPONSE.decode(each) for each in self._elements(line)]
        except (BadMessage, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            shown = repr(line[:_MAX_SHOWN].decode(errors="replace"))
            raise RemoteProtocolError(f"the server sent an invalid response ({error}): {shown}") from None
        for response in responses:
            event = self._event(response, len(line))
            if event is not None:
                events.append(event)
            if self._refused and (repeated := self._attribute()):
                events.append(DataToSend(repeated))

    def _elements(self, line: bytes) -> list[msgspec.Raw]:
        """Return the elements of an array, which may have at most as many responses as there are requests in flight."""
        most = max(1, min(len(self._calls) + len(self._cancelled), MAX_BATCH))
        try:
            return elements_of(line, most)
        except BadMessage:
            limit = plural(most, "response")
            what = f"a batch must be a non-empty JSON array of at most {limit}, the number of calls in flight"
            raise BadMessage(what) from None

    def _event(self, response: _Response, size: int) -> ClientEvent | None:
        """Return the event of a response; `None` if it has none."""
        id, error = response.id, bytes(response.error)
        if bytes(response.method):
            return None  # a request or a notification of the server, which other implementations send
        if self._resend or self._repeated:
            if id is None:
                if self._is_refusal(error):
                    return None
            elif isinstance(id, int) and (repeated := self._resolve(id, error)):
                return DataToSend(repeated)
        if id is None and error:
            raise RemoteProtocolError(f"the server could not read a request: {_text_of(error)}")
        if not isinstance(id, int):
            raise RemoteProtocolError(f"the server sent a response to call {str(id)[:_MAX_SHOWN]!r}, {_UNKNOWN}")
        found = self._calls.pop(id, None)
        if found is None:
            if 0 < id <= self._last_id:
                self._cancelled.discard(id)
                return None
            raise RemoteProtocolError(f"the server sent a response to call {str(id)[:_MAX_SHOWN]}, {_UNKNOWN}")
        meta = read_response_meta(bytes(response.meta)) if bytes(response.meta) else _NO_META
        is_draining = meta.drain is True
        if self._pings and id in self._pings:
            self._pings.discard(id)
            return PongReceived(id, is_draining)
        return JsonRpcResponse(
            id, found, meta.metadata or NO_METADATA, is_draining, size,
            json=method_json(found, self._limits), text=bytes(response.result), error=error,
            retry_after=meta.push_back,
        )  # fmt: skip

    def _is_refusal(self, error: bytes) -> bool:
        """Whether an error without an id may reject a request in flight because of its `meta`."""
        if not self._resend or self._has_notified or _code_of(error) != INVALID_REQUEST:
            return False
        self._refused += 1
        self._refusal = _text_of(error)
        return True

    def _attribute(self) -> bytes:
        """Return the lines to send again once it is known which requests were rejected without their ids: all in
        flight.

        Raises:
            RemoteProtocolError: one of them has no `meta` that could be omitted.
        """
        in_flight = self._calls.keys() | self._cancelled
        is_known = len(in_flight) <= self._refused
        if not self._resend or (is_known and in_flight != self._resend.keys()):
            raise RemoteProtocolError(f"the server could not read a request: {self._refusal}")
        if not is_known:
            return b""
        lines = b"".join(self._resend.values())
        self._repeated.update(self._calls)
        self._resend.clear()
        self._cancelled.clear()
        self._refused = 0
        return lines

    def _resolve(self, id: int, error: bytes) -> bytes:
        """Learn from a response whether the server supports `meta`. Returns the request to send again without it;
        nothing if the response is final."""
        if _code_of(error) != INVALID_REQUEST:
            self._resolved(id)
            return b""
        line = self._resend.pop(id, b"")
        if line:
            self._repeated.add(id)
        elif id in self._repeated:
            # The server rejects requests without `meta` too, so repeating other requests is pointless.
            self._repeated.discard(id)
            self._may_resend = False
            self._resend.clear()
            self._refusal = ""
        return line

    def _resolved(self, id: int) -> None:
        """Record that the server has accepted a request."""
        if id in self._resend:
            self._support.supports_meta = True
        elif id in self._repeated:
            self._support.refused()
            self.capabilities = self._support.capabilities
            self._refusal = ""
        self._repeated.discard(id)
        self._resend.pop(id, None)
        if self._support.supports_meta is True:
            self._resend.clear()


def _code_of(error: bytes) -> int:
    """Return the code of an error; 0 if there is none."""
    try:
        return int(_ERROR.decode(error).code) if error else 0
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def _text_of(error: bytes) -> str:
    try:
        return (_ERROR.decode(error).message or "")[:_MAX_SHOWN]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return repr(error[:_MAX_SHOWN].decode(errors="replace"))
