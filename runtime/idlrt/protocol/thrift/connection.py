"""The two ends of a Thrift connection.

`ServerConnection` learns the dialect from the first bytes and answers each request in the dialect that its frame asks
for. `ClientConnection` speaks the dialect it was made with, numbers its requests and finds the request that an answer
belongs to, so any number may be in flight and answers may come in any order.

Both know names: a server the methods that it serves, a client the service that it calls among several (Thrift's
multiplexed names, `Service:method`; answers have the method's plain name).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.base import Capabilities, ServerEvent
from idlrt.protocol.events import (
    NO_CONTEXT,
    ClientEvent,
    ConnectionBroken,
    PingReceived,
    PongReceived,
    RequestContext,
    RequestReceived,
)
from idlrt.protocol.foreign import ForeignProtocol, foreign_server
from idlrt.protocol.thrift.calls import CallReader, call_reader
from idlrt.protocol.thrift.framing import Dialect, Framing, SpoiledFrame
from idlrt.protocol.thrift.infos import is_draining, request_metadata, response_metadata
from idlrt.protocol.thrift.kinds import MessageKind
from idlrt.protocol.thrift.message import encode_refusal, method_codec
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import Detector
from idlrt.spec import VOID, DeclaredError, Method, method

__all__ = ["PING", "ClientConnection", "ServerConnection", "capabilities"]

_REPLY, _EXCEPTION = MessageKind.REPLY, MessageKind.EXCEPTION

_PLAIN: Final = Capabilities()
_RICH: Final = Capabilities(metadata=True, context=True, drain=True)


class _Ping:
    def idlrt_ping(self) -> None:
        """No server has this method."""


PING: Final = method(_Ping.idlrt_ping, result=VOID)
"""Thrift has no heartbeat, so a ping calls a method that no server has: whatever the server answers (ours and Apache's
say `unknown method`), it has read the call and spoken the protocol."""


def capabilities(framing: Framing) -> Capabilities:
    """Return the capabilities of connections with a framing."""
    return _RICH if framing.has_metadata else _PLAIN


class ServerConnection:
    """The server's end. See `idlrt.protocol.base.ServerConnection`.

    Args:
        detector: tells what the client speaks.
        methods: what is served, by its name on the wire.
    """

    __slots__ = ("_calls", "_detector", "_dialect", "_methods", "_prefix", "capabilities", "is_at_eof", "is_broken")

    def __init__(self, detector: Detector, methods: Mapping[str, Method[..., Any]]) -> None:
        self._detector = detector
        self._methods = methods
        self._dialect: Dialect | None = None
        self._calls: CallReader | None = None
        self._prefix = b""
        self.capabilities = _PLAIN
        self.is_broken = False
        self.is_at_eof = False

    @property
    def dialect(self) -> Dialect | None:
        """What the client began to speak, once it has said enough."""
        return self._dialect

    @property
    def is_between_messages(self) -> bool:
        """See `ServerConnection.is_between_messages`."""
        return not self._prefix if self._calls is None else self._calls.is_empty

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """See `ServerConnection.receive_data`."""
        events: list[ServerEvent] = []
        if self.is_broken:
            return events
        try:
            if self._calls is None:
                self._prefix += data
                dialect = self._dialect = self._detector.detect(self._prefix)
                if dialect is None:
                    return events
                self._calls = call_reader(dialect, self._methods)
                self.capabilities = capabilities(dialect.framing)
                data, self._prefix = self._prefix, b""
            self._calls.receive(data, events)
        except ForeignProtocol as error:
            self.is_broken = True
            events.append(ConnectionBroken(error, error.answer))
        except RemoteProtocolError as error:
            self.is_broken = True
            events.append(ConnectionBroken(error))
        return events

    def receive_eof(self) -> list[ServerEvent]:
        """See `ServerConnection.receive_eof`."""
        self.is_at_eof = True
        if self.is_broken or self.is_between_messages:
            return []
        self.is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the client stopped sending within a message"))]

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        """See `ServerConnection.arguments`."""
        if request.arguments is not None:
            return request.arguments, request.decoded
        if request.trouble is not None:
            raise RemoteProtocolError(request.trouble)
        found = request.method
        assert found is not None
        own = cast("ThriftRequest", request)
        return method_codec(found, own.dialect.envelope).measure_arguments(own.message, own.start, own.size)

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """See `ServerConnection.respond`."""
        own: Any = request  # a `ThriftRequest`; `cast` would cost a call
        found, dialect = request.method, own.dialect
        assert found is not None
        if is_draining:
            metadata = response_metadata(metadata, is_draining)
        return method_codec(found, dialect.envelope).pack_result(dialect, request.id, result, metadata)

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        """See `ServerConnection.respond_error`."""
        found, dialect = request.method, cast("ThriftRequest", request).dialect
        assert found is not None
        carried = response_metadata(metadata, is_draining)
        return method_codec(found, dialect.envelope).pack_thrown(dialect, request.id, error, carried)

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        """See `ServerConnection.refuse`."""
        dialect = cast("ThriftRequest", request).dialect
        envelope = dialect.envelope
        name = request.method.name if request.method is not None else (request.key.partition(":")[2] or request.key)
        try:
            carried = response_metadata(metadata, is_draining, error.retry_after)
            return dialect.pack(_EXCEPTION, name, request.id, encode_refusal(envelope, error), carried)
        except (LocalProtocolError, TypeError, ValueError, AttributeError):
            # The text or the metadata is over a limit, or whoever raised it gave no text, or no number.
            brief = ApplicationError("the reason does not fit into a message", _code_of(error.code))
            return dialect.pack(_EXCEPTION, name, request.id, encode_refusal(envelope, brief))

    def pong(self, ping: PingReceived) -> bytes:
        """See `ServerConnection.pong`: Thrift has no heartbeat."""
        return b""

    def drain_notice(self) -> bytes:
        """See `ServerConnection.drain_notice`: Thrift says it with the next response."""
        return b""


def _code_of(code: object) -> int:
    """The code of a refusal, as far as it is one."""
    if isinstance(code, int) and -(1 << 31) <= code < 1 << 31:
        return code
    return ApplicationCode.INTERNAL_ERROR


class ClientConnection:
    """The client's end. See `idlrt.protocol.base.ClientConnection`.

    Args:
        dialect: what to speak.
        service: the name of the service among several that the server has; empty for a server that has one.
        first_sequence_id: number of the first call. Several connections that share a stream use distinct ranges.
        max_sequence_id: number after which counting goes on with 1; above the calls that are in flight at a time.

    Attributes:
        capabilities: of what is spoken.
        dialect: what is spoken.
    """

    __slots__ = (
        "_calls", "_cancelled", "_first", "_highest", "_is_broken", "_max_sequence_id", "_most", "_open", "_pings",
        "_prefix", "_sequence_id", "_splitter", "capabilities", "dialect",
    )  # fmt: skip

    def __init__(
        self,
        dialect: Dialect,
        service: str = "",
        *,
        first_sequence_id: int = 1,
        max_sequence_id: int = 0x7FFFFFFF,
    ) -> None:
        self.dialect = dialect
        self.capabilities = capabilities(dialect.framing)
        self._prefix = f"{service}:" if service else ""
        self._splitter = dialect.framing.splitter(dialect.envelope)
        self._open = dialect.framing.opener(dialect)
        self._sequence_id = self._highest = first_sequence_id - 1
        self._max_sequence_id = max_sequence_id
        self._calls: dict[int, Method[..., Any]] = {}
        self._cancelled: set[int] = set()
        self._pings: set[int] = set()
        self._is_broken = False
        # What has come, until it is known that the server may speak Thrift; then `None`.
        self._first: bytes | None = b""
        # What an answer may have at most that is read in one go; nothing where a frame is more than length and message.
        limits = dialect.envelope.limits
        self._most = min(limits.max_message, limits.max_frame) if dialect.is_fused else 0

    @property
    def in_flight(self) -> int:
        """See `ClientConnection.in_flight`."""
        return len(self._calls)

    @property
    def is_idle(self) -> bool:
        """See `ClientConnection.is_idle`."""
        return not self._calls and not self._is_broken and not self._first and self._splitter.is_empty

    @property
    def cancelled(self) -> int:
        """See `ClientConnection.cancelled`."""
        return len(self._cancelled)

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        """See `ClientConnection.request`."""
        dialect = self.dialect
        if (context is not NO_CONTEXT or metadata) and self.capabilities.metadata:
            metadata = request_metadata(metadata, context)
        sequence_id = self._next_sequence_id()
        name = self._prefix + method.name if self._prefix else method.name
        data = method_codec(method, dialect.envelope).pack_call(dialect, name, sequence_id, arguments, metadata)
        if not method.is_oneway:
            self._calls[sequence_id] = method
        return sequence_id, data

    def ping(self) -> tuple[int, bytes]:
        """See `ClientConnection.ping`."""
        sequence_id, data = self.request(PING, ())
        self._pings.add(sequence_id)
        return sequence_id, data

    def _next_sequence_id(self) -> int:
        # A signed 32-bit number for the sake of peers; an id in use is stepped over.
        while True:
            sequence_id = self._sequence_id = self._sequence_id % self._max_sequence_id + 1
            if sequence_id > self._highest:
                self._highest = sequence_id
                return sequence_id
            if sequence_id not in self._calls and sequence_id not in self._cancelled:
                return sequence_id

    def cancel(self, id: int) -> bytes:
        """See `ClientConnection.cancel`."""
        if self._calls.pop(id, None) is not None:
            self._cancelled.add(id)
            self._pings.discard(id)
        return b""

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """See `ClientConnection.receive_data`."""
        events: list[ClientEvent] = []
        if self._is_broken:
            return events
        try:
            if (
                4 < len(data) <= self._most
                and int.from_bytes(data[:4]) == len(data) - 4
                and self._first is None
                and self._splitter.is_empty
            ):
                # The usual case: one whole answer. What is below would do the same with more steps.
                event = self._find(self.dialect, data[4:], NO_METADATA, 0, len(data) - 4)
                return [event] if event is not None else events
            if self._first is not None:
                data = self._first + data
                told = foreign_server(data) if data else False
                if isinstance(told, ForeignProtocol):
                    raise told
                self._first = None if told else data
                if not told:
                    return events
            self._splitter.add(data)
            while (frame := self._splitter.next()) is not None:
                event = self._read(frame)
                if event is not None:
                    events.append(event)
        except RemoteProtocolError as error:
            self._is_broken = True
            events.append(ConnectionBroken(error))
        return events

    def _is_between(self) -> bool:
        """Whether nothing of an unfinished message has arrived."""
        return not self._first and self._splitter.is_empty

    def _read(self, frame: bytes) -> ClientEvent | None:
        """The event for a frame; `None` if its request was cancelled."""
        try:
            message, dialect, metadata, number = self._open(frame)
        except SpoiledFrame as error:
            found = self._waiting_for(error.sequence_id, "")
            if found is None:
                return None
            if error.sequence_id in self._pings:
                return self._pong(error.sequence_id, NO_METADATA)
            return ThriftResponse(
                error.sequence_id,
                found,
                size=len(frame),
                is_refusal=False,
                dialect=error.dialect,
                message=b"",
                start=0,
                trouble=str(error),
            )
        return self._find(dialect, message, metadata, number, len(frame))

    def _find(self, dialect: Dialect, message: bytes, metadata: Metadata, number: int, size: int) -> ClientEvent | None:
        """The event for a message; `None` if its request was cancelled."""
        head, start = dialect.envelope.unpack_head(message)
        kind, sequence_id = head.kind, number or head.sequence_id
        if kind is not _REPLY and kind is not _EXCEPTION:
            raise RemoteProtocolError(f"the server sent a {kind.name.lower()} message, which only clients send")
        found = self._waiting_for(sequence_id, head.name)
        if found is None:
            return None
        if self._pings and sequence_id in self._pings:
            return self._pong(sequence_id, metadata)
        is_last = bool(metadata) and is_draining(metadata)
        return ThriftResponse(
            sequence_id, found, metadata, is_last, size,
            is_refusal=kind is _EXCEPTION, dialect=dialect, message=message, start=start,
        )  # fmt: skip

    def _pong(self, sequence_id: int, metadata: Metadata) -> PongReceived:
        self._pings.discard(sequence_id)
        return PongReceived(sequence_id, is_draining(metadata))

    def _waiting_for(self, sequence_id: int, name: str) -> Method[..., Any] | None:
        """The method of a request that is answered; `None` if it was cancelled."""
        found = self._calls.pop(sequence_id, None)
        if found is not None:
            return found
        if 0 < sequence_id <= self._highest:
            # Cancelled, or oneway: some servers refuse those with an answer.
            self._cancelled.discard(sequence_id)
            return None
        raise RemoteProtocolError(f"the server answered call {sequence_id} ({name!r}), which was not made")

    def receive_eof(self) -> list[ClientEvent]:
        """See `ClientConnection.receive_eof`."""
        if self._is_broken or self._is_between():
            return []
        self._is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the server stopped sending within a message"))]
