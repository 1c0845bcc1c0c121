"""The client's end of a JSON-RPC connection. See the package for the rules.

Some servers refuse requests with members that the specification does not have, such as `meta`, as invalid; so they have
not worked on them. Until a server has shown that it takes `meta`, a request that carries nothing but best-effort values
is kept, and sent once more without them if it is refused so. What is found out is kept for the server (`MetaSupport`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idlrt.core.metadata import AMBIENT, NO_METADATA, Metadata
from idlrt.errors import ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.base import Capabilities
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
from idlrt.protocol.jsonrpc.messages import BadMessage, check_text, request_line
from idlrt.protocol.jsonrpc.meta import ResponseMeta, read_response_meta, write_request_meta
from idlrt.protocol.jsonrpc.server import CAPABILITIES, PING
from idlrt.protocol.jsonrpc.values import MethodJson, method_json
from idlrt.serialization import Limits
from idlrt.spec import VOID, Method, method

__all__ = ["ClientConnection", "JsonRpcResponse", "MetaSupport"]

_PLAIN: Final = Capabilities()
_ABSENT: Final = msgspec.Raw()
_NO_META: Final = ResponseMeta()
_FIRST: Final = b"{[ \t\r\n"
# What other protocols' responses begin with.
_FOREIGN: Final = {b"H": "HTTP", b"\x15": "TLS", b"\0": "Thrift or HTTP/2", b"\x80": "Thrift", b"\x82": "Thrift"}
_MAX_SHOWN: Final = 100


class _Ping:
    def ping(self) -> None:
        """Stands for the method of pings."""


_PING: Final = method(_Ping.ping, result=VOID)


class _Error(msgspec.Struct, frozen=True, gc=False):
    code: int
    message: str = ""
    data: msgspec.Raw = _ABSENT


class _Response(msgspec.Struct, frozen=True, gc=False):
    """The members of a response. `method`: a message of the server's own accord."""

    id: int | float | str | None = None
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    meta: msgspec.Raw = _ABSENT
    method: msgspec.Raw = _ABSENT


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_RESPONSES: Final = msgspec.json.Decoder(list[_Response])
_ERROR: Final = msgspec.json.Decoder(_Error)


class JsonRpcResponse(ResponseReceived, frozen=True, gc=False, kw_only=True):
    """A response, not decoded yet.

    Attributes:
        json: reads its result.
        text: of the result; empty if there is none.
        error: text of the error; empty if there is none.
        retry_after: push-back, in seconds.
    """

    json: MethodJson
    text: bytes
    error: bytes
    retry_after: float | None = None

    def result(self) -> Any:
        """See `ResponseReceived.result`."""
        if self.error and self.error != b"null":
            raise self._failure()
        if not self.text:
            raise RemoteProtocolError(f"the response of {self.method.full_name} has neither a result nor an error")
        return self.json.result_of(self.text)

    def _failure(self) -> Exception:
        try:
            error = _ERROR.decode(self.error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            return RemoteProtocolError(f"cannot read the error of {self.method.full_name}: {wrong}")
        if error.code == DECLARED and (declared := self.json.error_of(bytes(error.data))) is not None:
            return declared
        return ApplicationError(error.message, application_code(error.code)).push_back(self.retry_after)


class MetaSupport:
    """Whether a server takes requests with `meta`. Threads may share it.

    Attributes:
        takes_meta: `None` until that is known.
        capabilities: of connections to the server.
    """

    def __init__(self) -> None:
        self.takes_meta: bool | None = None
        self.capabilities = CAPABILITIES

    def refused(self) -> None:
        """Note that the server takes no `meta`."""
        self.takes_meta = False
        self.capabilities = _PLAIN


class ClientConnection:
    """The client's end. See `idlrt.protocol.base.ClientConnection`.

    Args:
        limits: what is accepted.
        service: the name of the service among several that the server has; empty for its first one.
        support: what is known of the server; connections to it share it.
    """

    __slots__ = (
        "_calls", "_cancelled", "_doubtful", "_has_begun", "_is_broken", "_last_id", "_limits", "_lines", "_pings",
        "_prefix", "_repeated", "_support", "capabilities",
    )  # fmt: skip

    def __init__(self, limits: Limits, service: str = "", support: MetaSupport | None = None) -> None:
        self._limits = limits
        self._support = support if support is not None else MetaSupport()
        # Requests without `meta`, by their ids, to be sent if the server refuses them with it; and those that were.
        self._doubtful: dict[int, bytes] = {}
        self._repeated: set[int] = set()
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
        """See `ClientConnection.in_flight`."""
        return len(self._calls)

    @property
    def cancelled(self) -> int:
        """See `ClientConnection.cancelled`."""
        return len(self._cancelled)

    @property
    def is_idle(self) -> bool:
        """See `ClientConnection.is_idle`."""
        return not self._calls and not self._is_broken and self._lines.is_empty

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        """See `ClientConnection.request`. Oneway calls are notifications."""
        params = method_json(method, self._limits).write_arguments(arguments)
        id, is_oneway = self._last_id + 1, method.is_oneway
        name, id_text = self._prefix + method.name, b"" if is_oneway else str(id).encode()
        meta = write_request_meta(metadata, context) if metadata or context is not NO_CONTEXT else b""
        takes_meta, is_ambient = self._support.takes_meta, True
        if meta and takes_meta is not True:
            is_ambient = metadata.keys() <= AMBIENT
            if takes_meta is False and not is_ambient:
                raise LocalProtocolError(f"cannot send the metadata of {method.full_name}: the server takes none")
            if is_ambient and (is_oneway or takes_meta is False):
                meta = b""
        line = request_line(name, params, id_text, meta)
        size = len(line) - 1
        if size > self._limits.max_message:
            what = f"it has {size} bytes, more than the limit max_message={self._limits.max_message}"
            raise LocalProtocolError(f"cannot send the call of {method.full_name}: {what}")
        self._last_id = id
        if not is_oneway:
            self._calls[id] = method
            if meta and is_ambient and takes_meta is None:
                self._doubtful[id] = request_line(name, params, id_text, b"")
        return id, line

    def ping(self) -> tuple[int, bytes]:
        """See `ClientConnection.ping`: `rpc.ping`, which other servers refuse, and so answer too."""
        id = self._last_id = self._last_id + 1
        self._calls[id] = _PING
        self._pings.add(id)
        return id, request_line(PING, b"", str(id).encode(), b"")

    def cancel(self, id: int) -> bytes:
        """See `ClientConnection.cancel`."""
        if self._calls.pop(id, None) is not None:
            self._cancelled.add(id)
            self._pings.discard(id)
        return b""

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """See `ClientConnection.receive_data`."""
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
        """See `ClientConnection.receive_eof`."""
        if self._is_broken or self._lines.is_empty:
            return []
        self._is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the server stopped sending within a message"))]

    def _check_first(self, first: bytes) -> None:
        """Tell other protocols by the first byte: their responses may have no line that ends."""
        if first not in _FIRST:
            name = _FOREIGN.get(first)
            speaks = f"seems to speak {name}" if name else "speaks another protocol"
            what = f"it {speaks} (its response begins with the byte {first.hex()}); this client speaks JSON-RPC"
            raise ForeignProtocol(what, name or "unknown")
        self._has_begun = True

    def _read(self, line: bytes, events: list[ClientEvent]) -> None:
        """Add the events of a line."""
        try:
            check_text(line)
            responses = [_RESPONSE.decode(line)] if line[:1] != b"[" else _RESPONSES.decode(line)
        except (BadMessage, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            shown = repr(line[:_MAX_SHOWN].decode(errors="replace"))
            raise RemoteProtocolError(f"the server sent a line that is no response ({error}): {shown}") from None
        for response in responses:
            event = self._event(response, len(line))
            if event is not None:
                events.append(event)

    def _event(self, response: _Response, size: int) -> ClientEvent | None:
        """The event of a response; `None` if there is none for it."""
        id, error = response.id, bytes(response.error)
        if bytes(response.method):
            return None  # a request or a notification of the server: others do that
        if self._doubtful or self._repeated:
            repeated = self._resolve(id, _code_of(error))
            if repeated is not None:
                return DataToSend(repeated) if repeated else None
        if id is None and error:
            raise RemoteProtocolError(f"the server could not read a request: {_text_of(error)}")
        if not isinstance(id, int):
            raise RemoteProtocolError(f"the server answered call {str(id)[:_MAX_SHOWN]!r}, which was not made")
        found = self._calls.pop(id, None)
        if found is None:
            if 0 < id <= self._last_id:
                self._cancelled.discard(id)
                return None
            raise RemoteProtocolError(f"the server answered call {str(id)[:_MAX_SHOWN]}, which was not made")
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

    def _resolve(self, id: object, code: int) -> bytes | None:
        """Find out by a response whether the server takes `meta`. Returns what to send instead of a request that it
        does not take, empty if that was cancelled; `None` if the response is that of the request.

        Servers that refuse a request may leave out its id. They refuse all such requests, so it may be any of them.
        """
        if code != INVALID_REQUEST and isinstance(id, int):
            if id in self._doubtful:
                self._support.takes_meta = True
            elif id in self._repeated:
                self._support.refused()
                self.capabilities = self._support.capabilities
            self._repeated.discard(id)
            if self._support.takes_meta is True:
                self._doubtful.clear()
        found = next(iter(self._doubtful), None) if id is None else id
        if code != INVALID_REQUEST or not isinstance(found, int) or found not in self._doubtful:
            return None
        line = self._doubtful.pop(found)
        if found not in self._calls:
            self._cancelled.discard(found)
            return b""
        self._repeated.add(found)
        return line


def _code_of(error: bytes) -> int:
    """The code of an error; 0 if there is none."""
    try:
        return _ERROR.decode(error).code if error else 0
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def _text_of(error: bytes) -> str:
    try:
        return _ERROR.decode(error).message[:_MAX_SHOWN]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return repr(error[:_MAX_SHOWN].decode(errors="replace"))
