"""Client side of a Thrift connection.

It uses the dialect with which it was created, numbers its requests and matches responses by these sequence ids, so any
number of requests may be in flight and responses may arrive in any order.

Complete responses of the common form are read without copying: in plain frames, and after a THeader that equals the
previous one. All others, and those that arrive in parts, are read step by step, with the same events.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import RemoteProtocolError
from idlrt.protocol.events import NO_CONTEXT, ClientEvent, ConnectionBroken, PongReceived, RequestContext
from idlrt.protocol.foreign import ForeignProtocol, foreign_server
from idlrt.protocol.thrift.framing import BadFrame, Dialect, capabilities
from idlrt.protocol.thrift.header_framing import FIXED, HeaderFrameDecoder, is_header
from idlrt.protocol.thrift.header_requests import HeaderRequests
from idlrt.protocol.thrift.message import MethodCodec, method_codec
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.requests import ThriftResponse
from idlrt.protocol.thrift.typed_metadata import is_draining, request_metadata
from idlrt.spec import VOID, Method, method

__all__ = ["PING", "ClientConnection"]

_REPLY, _EXCEPTION = MessageType.REPLY, MessageType.EXCEPTION
_SMALLEST: Final = 4 + FIXED
# Size of a frame with the smallest header of the binary protocol: length, version, empty name and sequence id.
_SMALLEST_PLAIN: Final = 16
# Length of a frame, and of the name in a strict header of the binary protocol.
_unpack_lengths = struct.Struct(">I4xI").unpack_from
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from


class _Ping:
    def idlrt_ping(self) -> None:
        """Stand for a method that no server has."""


PING: Final = method(_Ping.idlrt_ping, result=VOID)
"""Method of pings. Thrift has no heartbeat, so a ping calls a method that no server has: any response (`unknown method`
from this runtime and from Apache Thrift) shows that the server reads calls and speaks the protocol."""


class ClientConnection:
    """Client side of a connection; an `idlrt.protocol.base.ClientConnection`.

    Args:
        dialect: dialect of the connection.
        service: name of the service to call on a server with several (multiplexed names); empty for plain names.
        first_sequence_id: sequence id of the first call. Connections that share a stream use distinct ranges.
        max_sequence_id: sequence id after which numbering restarts at 1; greater than the number of calls in flight.

    Attributes:
        capabilities: capabilities of the dialect.
        dialect: dialect of the connection.
    """

    __slots__ = (
        "_calls", "_cancelled", "_first", "_frame_buffer", "_frame_decoder", "_has_rest", "_headers", "_highest",
        "_is_broken", "_max_message", "_max_sequence_id", "_most", "_open", "_pings", "_prefix", "_sequence_id",
        "capabilities", "dialect",
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
        self._frame_buffer = dialect.framing.frame_buffer(dialect.envelope)
        framing = dialect.framing
        self._headers: HeaderRequests | None = None
        self._frame_decoder: HeaderFrameDecoder | None = None
        # Whether a part of a frame is in the frame_buffer.
        self._has_rest = False
        self._sequence_id = self._highest = first_sequence_id - 1
        self._max_sequence_id = max_sequence_id
        self._calls: dict[int, Method[..., Any]] = {}
        self._cancelled: set[int] = set()
        self._pings: set[int] = set()
        self._is_broken = False
        # First bytes of the server, until they are known to be Thrift; `None` after that.
        self._first: bytes | None = b""
        # Maximum size of frames and messages that are read without copying; 0 in other framings.
        self._most = self._max_message = 0
        if dialect.is_fused:
            limits = dialect.envelope.limits
            self._most = min(limits.max_message, limits.max_frame)
        elif is_header(framing):
            self._most, self._max_message = framing.limits.max_frame, framing.limits.max_message
            self._frame_decoder = framing.header_frame_decoder()
            if dialect.prefix is not None:
                self._headers = HeaderRequests(framing, dialect.envelope)
        self._open = framing.frame_decoder(dialect) if self._frame_decoder is None else self._frame_decoder.open

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    @property
    def is_idle(self) -> bool:
        return not self._calls and not self._is_broken and not self._first and not self._has_rest

    @property
    def cancelled(self) -> int:
        return len(self._cancelled)

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        dialect = self.dialect
        envelope = dialect.envelope
        sequence_id = self._sequence_id % self._max_sequence_id + 1
        if sequence_id > self._highest:
            self._sequence_id = self._highest = sequence_id
        else:
            sequence_id = self._next_sequence_id()
        name = self._prefix + method.name if self._prefix else method.name
        codec: MethodCodec = method.codecs.get(envelope) or method_codec(method, envelope)
        prefix: bytes | None = None
        if self._headers is not None and not metadata:
            prefix = self._headers.prefix(context, sequence_id)
        if prefix is not None:
            data = codec.pack_with_prefix(
                dialect, prefix, codec.arguments, codec.call_kind, name, sequence_id, arguments
            )  # fmt: skip
        else:
            if self.capabilities.metadata and (context is not NO_CONTEXT or metadata):
                metadata = request_metadata(metadata, context)
            data = codec.pack_call(dialect, name, sequence_id, arguments, metadata)
        if not method.is_oneway:
            self._calls[sequence_id] = method
        return sequence_id, data

    def ping(self) -> tuple[int, bytes]:
        sequence_id, data = self.request(PING, ())
        self._pings.add(sequence_id)
        return sequence_id, data

    def _next_sequence_id(self) -> int:
        # Ids fit a signed 32-bit number, as peers expect; ids in use are skipped.
        while True:
            sequence_id = self._sequence_id = self._sequence_id % self._max_sequence_id + 1
            if sequence_id > self._highest:
                self._highest = sequence_id
                return sequence_id
            if sequence_id not in self._calls and sequence_id not in self._cancelled:
                return sequence_id

    def cancel(self, id: int) -> bytes:
        if self._calls.pop(id, None) is not None:
            self._cancelled.add(id)
            self._pings.discard(id)
        return b""

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        if self._is_broken:
            return events
        try:
            if self._first is not None:
                data = self._first + data
                verdict = foreign_server(data) if data else False
                if isinstance(verdict, ForeignProtocol):
                    raise verdict
                self._first = None if verdict else data
                if not verdict:
                    return events
            if not self._has_rest:
                if self._frame_decoder is not None:
                    at = self._read_whole(self._frame_decoder, data, events)
                    if at == len(data):
                        return events
                    data = data[at:]
                elif _SMALLEST_PLAIN <= (size := len(data)) <= self._most:
                    length, name_size = _unpack_lengths(data)
                    if length == size - 4:
                        # The common case: one complete reply. The code below does the same in more steps.
                        event: ClientEvent | None = self._read_reply(data, name_size)
                        if event is None:
                            event = self._find(self.dialect, data[4:], NO_METADATA, 0, length)
                        return [event] if event is not None else events
            self._has_rest = True
            self._frame_buffer.add(data)
            while (frame := self._frame_buffer.next()) is not None:
                event = self._read(frame)
                if event is not None:
                    events.append(event)
            self._has_rest = not self._frame_buffer.is_empty
        except RemoteProtocolError as error:
            self._is_broken = True
            events.append(ConnectionBroken(error))
        return events

    def _read_whole(self, frame_decoder: HeaderFrameDecoder, data: bytes, events: list[ClientEvent]) -> int:
        """Read the complete frames at the beginning of `data`. Returns the offset after them.

        Raises:
            RemoteProtocolError: the connection cannot be read any further.
        """
        at, size = 0, len(data)
        while size - at >= _SMALLEST:
            (length,) = _unpack_u32(data, at)
            begin = at + 4
            end = begin + length
            if end > size or length > self._most:
                break  # incomplete, or rejected by the frame_buffer
            start = begin + 8 + len(frame_decoder.header)
            if (
                frame_decoder.is_plain
                and data.startswith(frame_decoder.mark, begin)
                and data.startswith(frame_decoder.header, begin + 8)
                and (method := self._calls.get(sequence_id := _unpack_i32(data, begin + 4)[0])) is not None
                and (codec := method.codecs.get((dialect := frame_decoder.dialect).envelope)) is not None
                and (head := codec.reply_head) is not None
                and data.startswith(head, start)
                and (body := start + len(head) + 4) <= end
                and end - start <= self._max_message
                and not self._pings
            ):
                del self._calls[sequence_id]
                metadata = frame_decoder.metadata
                events.append(
                    ThriftResponse(
                        sequence_id, method, metadata, bool(metadata) and is_draining(metadata), length,
                        is_refusal=False, dialect=dialect, message=data[start:end], start=body - start,
                    )
                )  # fmt: skip
            elif (event := self._read(data[begin:end])) is not None:
                events.append(event)
            at = end
        return at

    def _read_reply(self, data: bytes, name_size: int) -> ThriftResponse | None:
        """Return the event of a plain frame with the common header of replies; `None` for all other frames, which
        `_find` reads step by step.

        Args:
            data: the frame, including its length.
            name_size: size of the method name in bytes, if the header is a strict one of the binary protocol. Other
                headers have other data there, and do not match.
        """
        size = len(data)
        if name_size > size - _SMALLEST_PLAIN:
            return None
        (sequence_id,) = _unpack_i32(data, 12 + name_size)
        if (
            (method := self._calls.get(sequence_id)) is not None
            and (codec := method.codecs.get((dialect := self.dialect).envelope)) is not None
            and (head := codec.reply_head) is not None
            and len(head) == 8 + name_size
            and data.startswith(head, 4)
            and not self._pings
        ):
            del self._calls[sequence_id]
            return ThriftResponse(
                sequence_id, method, NO_METADATA, False, size - 4,
                is_refusal=False, dialect=dialect, message=data[4:], start=12 + name_size,
            )  # fmt: skip
        return None

    def _is_between(self) -> bool:
        """Whether no part of an unfinished message has arrived."""
        return not self._first and not self._has_rest

    def _read(self, frame: bytes) -> ClientEvent | None:
        """Return the event of a frame; `None` if its request was cancelled."""
        try:
            message, dialect, metadata, number = self._open(frame)
        except BadFrame as error:
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
                decode_error=str(error),
            )
        return self._find(dialect, message, metadata, number, len(frame))

    def _find(self, dialect: Dialect, message: bytes, metadata: Metadata, number: int, size: int) -> ClientEvent | None:
        """Return the event of a message; `None` if its request was cancelled."""
        head, start = dialect.envelope.unpack_head(message)
        kind, sequence_id = head.kind, number or head.sequence_id
        if kind is not _REPLY and kind is not _EXCEPTION:
            raise RemoteProtocolError(f"the server sent a message of type {kind.name}, expected REPLY or EXCEPTION")
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
        """Return the method of an answered request; `None` if the request was cancelled."""
        found = self._calls.pop(sequence_id, None)
        if found is not None:
            return found
        if 0 < sequence_id <= self._highest:
            # Cancelled, or oneway: some servers reject oneway requests with a response.
            self._cancelled.discard(sequence_id)
            return None
        raise RemoteProtocolError(f"the server sent a response to call {sequence_id} ({name!r}), which does not exist")

    def receive_eof(self) -> list[ClientEvent]:
        if self._is_broken or self._is_between():
            return []
        self._is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the server closed the connection within a message"))]
