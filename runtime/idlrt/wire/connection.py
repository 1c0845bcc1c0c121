"""The two ends of a connection, as bytes in, events out, and bytes to send. No sockets, clocks or threads.

`ServerConnection` learns the dialect from the first bytes and answers each call in the dialect that its frame
asks for. `ClientConnection` speaks the dialect it was made with, numbers its calls and finds the call that an
answer belongs to, so any number may be under way and answers may come in any order.

Both know names: a server the methods that it serves, a client the service that it calls among several
(Thrift's multiplexed names, `Service:method`; answers have the method's plain name).

Two rules keep a connection in step. Whatever fails while a message is read from a frame whose end is known
costs one call, not the connection. And what fails before anything was returned to be sent has left no trace:
nothing half-written ever leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.spec import DeclaredError, Method
from idlrt.wire.calls import CallReader, call_reader
from idlrt.wire.dialect import Detector, Dialect
from idlrt.wire.events import CallReceived, ClientEvent, ReplyReceived, ServerEvent, StreamBroken
from idlrt.wire.foreign import ForeignProtocol, foreign_server
from idlrt.wire.framing import NO_METADATA, Metadata, SpoiledFrame
from idlrt.wire.message import decode_refusal, encode_refusal, method_codec
from idlrt.wire.types import MessageKind

__all__ = ["ClientConnection", "ServerConnection", "answer_of"]

_REPLY, _EXCEPTION = MessageKind.REPLY, MessageKind.EXCEPTION


class ServerConnection:
    """The server's end.

    Args:
        detector: tells what the client speaks.
        methods: what is served, by its name on the wire.

    Attributes:
        is_broken: whether nothing can be read any more.
        is_at_eof: whether the client sends no more.
    """

    __slots__ = ("_calls", "_detector", "_dialect", "_methods", "_prefix", "is_at_eof", "is_broken")

    def __init__(self, detector: Detector, methods: Mapping[str, Method[..., Any]]) -> None:
        self._detector = detector
        self._methods = methods
        self._dialect: Dialect | None = None
        self._calls: CallReader | None = None
        self._prefix = b""
        self.is_broken = False
        self.is_at_eof = False

    @property
    def dialect(self) -> Dialect | None:
        """What the client began to speak, once it has said enough."""
        return self._dialect

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of an unfinished message has arrived."""
        return not self._prefix if self._calls is None else self._calls.is_empty

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """What the client sent, in order. Nothing once the stream has broken."""
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
                data, self._prefix = self._prefix, b""
            self._calls.receive(data, events)
        except ForeignProtocol as error:
            self.is_broken = True
            events.append(StreamBroken(error, error.answer))
        except RemoteProtocolError as error:
            self.is_broken = True
            events.append(StreamBroken(error))
        return events

    def receive_eof(self) -> list[ServerEvent]:
        """The client sends no more. One event if that was within a message."""
        self.is_at_eof = True
        if self.is_broken or self.is_between_messages:
            return []
        self.is_broken = True
        return [StreamBroken(RemoteProtocolError("the client stopped sending within a message"))]

    def arguments(self, call: CallReceived) -> tuple[Any, ...]:
        """The arguments of a call whose method is served. Raises as `measured_arguments`."""
        return self.measured_arguments(call)[0]

    def measured_arguments(self, call: CallReceived) -> tuple[tuple[Any, ...], int]:
        """The arguments of a call whose method is served, and the bytes of memory that they take at most.

        Raises:
            RemoteProtocolError: they cannot be read; `refuse` the call, the connection is still good.
        """
        if call.arguments is not None:
            return call.arguments, call.decoded
        if call.trouble is not None:
            raise RemoteProtocolError(call.trouble)
        method = call.method
        assert method is not None
        return method_codec(method, call.dialect.protocol).measure_arguments(call.message, call.start, call.received)

    def reply(self, call: CallReceived, result: Any, metadata: Metadata = NO_METADATA) -> bytes:
        """The bytes of a reply with `result`, to a call whose method is served.

        Args:
            metadata: goes with it as far as the framing carries any.

        Raises:
            LocalProtocolError: it cannot be written; `refuse` the call instead.
            ApplicationError: the method has a result and `result` is `None`; `refuse` the call with it.
        """
        method, dialect = call.method, call.dialect
        assert method is not None
        return method_codec(method, dialect.protocol).pack_result(dialect, call.sequence_id, result, metadata)

    def throw(self, call: CallReceived, error: DeclaredError, metadata: Metadata = NO_METADATA) -> bytes | None:
        """The bytes of a reply with an exception that the IDL declares; `None` if it does not for this method.

        Raises:
            LocalProtocolError: it cannot be written; `refuse` the call instead.
        """
        method, dialect = call.method, call.dialect
        assert method is not None
        return method_codec(method, dialect.protocol).pack_thrown(dialect, call.sequence_id, error, metadata)

    def refuse(self, call: CallReceived, error: ApplicationError, metadata: Metadata = NO_METADATA) -> bytes:
        """The bytes that tell the client that its call was refused or broke. It gets them whatever the limits are."""
        dialect = call.dialect
        name = call.method.name if call.method is not None else (call.name.partition(":")[2] or call.name)
        try:
            return dialect.pack(_EXCEPTION, name, call.sequence_id, encode_refusal(dialect.protocol, error), metadata)
        except (LocalProtocolError, TypeError, ValueError, AttributeError):
            # The text or the metadata is over a limit, or whoever raised it gave no text, or no number.
            brief = ApplicationError("the reason does not fit into a message", _code_of(error.code))
            return dialect.pack(_EXCEPTION, name, call.sequence_id, encode_refusal(dialect.protocol, brief))


def _code_of(code: object) -> int:
    """The code of a refusal, as far as it is one."""
    if isinstance(code, int) and -(1 << 31) <= code < 1 << 31:
        return code
    return ApplicationCode.INTERNAL_ERROR


class ClientConnection:
    """The client's end. Not safe for threads: one at a time.

    Args:
        dialect: what to speak.
        service: the name of the service among several that the server has; empty for a server that has one.
        first_sequence_id: number of the first call. Several connections that share a stream use distinct ranges.
        max_sequence_id: number after which counting goes on with 1; above the calls that are in flight at a time.

    Attributes:
        dialect: what is spoken.
    """

    __slots__ = (
        "_calls", "_first", "_forgotten", "_highest", "_is_broken", "_max_sequence_id", "_most", "_open", "_prefix",
        "_sequence_id", "_splitter", "dialect",
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
        self._prefix = f"{service}:" if service else ""
        self._splitter = dialect.framing.splitter(dialect.protocol)
        self._open = dialect.framing.opener(dialect)
        self._sequence_id = self._highest = first_sequence_id - 1
        self._max_sequence_id = max_sequence_id
        self._calls: dict[int, Method[..., Any]] = {}
        self._forgotten: set[int] = set()
        self._is_broken = False
        # What has come, until it is known that the server may speak Thrift; then `None`.
        self._first: bytes | None = b""
        # What an answer may have at most that is read in one go; nothing where a frame is more than length and message.
        limits = dialect.protocol.limits
        self._most = min(limits.max_message, limits.max_frame) if dialect.is_fused else 0

    @property
    def waiting(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    @property
    def is_idle(self) -> bool:
        """Whether no call is under way, and nothing has come but answers."""
        return not self._calls and not self._is_broken and not self._first and self._splitter.is_empty

    @property
    def forgotten(self) -> int:
        """How many calls were given up whose answers may still come."""
        return len(self._forgotten)

    def call(
        self, method: Method[..., Any], arguments: tuple[Any, ...], metadata: Metadata = NO_METADATA
    ) -> tuple[int, bytes]:
        """Start a call: its number, and the bytes to send. A oneway call is over with that.

        Args:
            metadata: goes with it as far as the framing carries any.

        Raises:
            LocalProtocolError: the arguments or the metadata cannot be written; nothing has started.
        """
        dialect = self.dialect
        sequence_id = self._next_sequence_id()
        name = self._prefix + method.name if self._prefix else method.name
        data = method_codec(method, dialect.protocol).pack_call(dialect, name, sequence_id, arguments, metadata)
        if not method.is_oneway:
            self._calls[sequence_id] = method
        return sequence_id, data

    def _next_sequence_id(self) -> int:
        # A signed 32-bit number for the sake of peers; an id in use is stepped over.
        while True:
            sequence_id = self._sequence_id = self._sequence_id % self._max_sequence_id + 1
            if sequence_id > self._highest:
                self._highest = sequence_id
                return sequence_id
            if sequence_id not in self._calls and sequence_id not in self._forgotten:
                return sequence_id

    def forget(self, sequence_id: int) -> None:
        """Nobody waits for this call any more: when its answer comes it is dropped."""
        if self._calls.pop(sequence_id, None) is not None:
            self._forgotten.add(sequence_id)

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """What the server sent, in order. Nothing once the stream has broken."""
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
            events.append(StreamBroken(error))
        return events

    def _is_between(self) -> bool:
        """Whether nothing of an unfinished message has arrived."""
        return not self._first and self._splitter.is_empty

    def _read(self, frame: bytes) -> ReplyReceived | None:
        """The answer in a frame; `None` if nobody waits for it."""
        try:
            message, dialect, metadata, number = self._open(frame)
        except SpoiledFrame as error:
            method = self._waiting_for(error.sequence_id, "")
            if method is None:
                return None
            return ReplyReceived(_EXCEPTION, method, error.sequence_id, error.dialect, b"", 0, NO_METADATA, str(error))
        return self._find(dialect, message, metadata, number, len(frame))

    def _find(
        self, dialect: Dialect, message: bytes, metadata: Metadata, number: int, received: int
    ) -> ReplyReceived | None:
        """The answer in a message; `None` if nobody waits for it."""
        head, start = dialect.protocol.unpack_head(message)
        kind, sequence_id = head.kind, number or head.sequence_id
        if kind is not _REPLY and kind is not _EXCEPTION:
            raise RemoteProtocolError(f"the server sent a {kind.name.lower()} message, which only clients send")
        method = self._waiting_for(sequence_id, head.name)
        if method is None:
            return None
        return ReplyReceived(kind, method, sequence_id, dialect, message, start, metadata, None, received)

    def _waiting_for(self, sequence_id: int, name: str) -> Method[..., Any] | None:
        """The method of a call that is answered; `None` if nobody waits for the answer."""
        method = self._calls.pop(sequence_id, None)
        if method is not None:
            return method
        if 0 < sequence_id <= self._highest:
            # Given up, or oneway: some servers refuse those with an answer.
            self._forgotten.discard(sequence_id)
            return None
        raise RemoteProtocolError(f"the server answered call {sequence_id} ({name!r}), which was not made")

    def receive_eof(self) -> list[ClientEvent]:
        """The server sends no more. One event if that was within a message."""
        if self._is_broken or self._is_between():
            return []
        self._is_broken = True
        return [StreamBroken(RemoteProtocolError("the server stopped sending within a message"))]


def answer_of(reply: ReplyReceived) -> Any:
    """What a call returns.

    Raises:
        DeclaredError: the one that the server threw.
        ApplicationError: the server refused the call or broke.
        RemoteProtocolError: the answer cannot be read; the connection is still good.
    """
    if reply.fault is not None:
        raise RemoteProtocolError(reply.fault)
    protocol = reply.dialect.protocol
    if reply.kind is _EXCEPTION:
        raise decode_refusal(protocol, reply.message, reply.start, reply.received)
    return method_codec(reply.method, protocol).decode_result(reply.message, reply.start, reply.received)
