"""Bytes of messages: where one ends and the next begins, and what travels beside it.

A framing does three things. A `Splitter` cuts what arrives into *frames*, one whole message each; it keeps
its place, so a peer that sends byte by byte costs no more than one that sends all at once. An `Opener` takes
the message out of a frame: plain framings hold nothing else, richer ones also metadata, compression, the
number of a wire protocol, so it says too how an answer has to look. And a message is packed. Splitting never
looks into a frame and opening never waits for one, so a new framing that has a length in front uses
`FrameSplitter` and writes only the rest.

A length is checked against `Limits.max_frame` when it is announced, before anything is kept for it. What a
frame holds once it is unpacked is checked against `Limits.max_message`; where nothing is packed the smaller
of the two holds from the beginning.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md (framed, unframed)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol, Self

import msgspec

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, LocalProtocolError, RemoteProtocolError
from idlrt.plugins import Plugins
from idlrt.protocol.thrift.envelope import Envelope, MessageScanner
from idlrt.protocol.thrift.kinds import MessageKind
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization.base import DEFAULT_LIMITS, Limits

__all__ = [
    "FRAMINGS",
    "Dialect",
    "FrameSplitter",
    "Framed",
    "Framing",
    "Opened",
    "Opener",
    "Splitter",
    "SpoiledFrame",
    "Unframed",
    "check_frame",
    "check_message",
]

_pack_length = struct.Struct(">I").pack
_unpack_length = struct.Struct(">I").unpack_from


class SpoiledFrame(RemoteProtocolError):
    """A frame that cannot be opened, although it is known which call it belongs to: it costs that one only.

    Attributes:
        code: what a refusal says.
        sequence_id: the number of the call.
        dialect: what a refusal is sent in.
    """

    def __init__(self, message: str, code: ApplicationCode, sequence_id: int, dialect: Dialect) -> None:
        super().__init__(message)
        self.code = code
        self.sequence_id = sequence_id
        self.dialect = dialect


Opened = tuple[bytes, "Dialect", Metadata, int]
"""What was in a frame: the message, the dialect to answer in, metadata, and the number of the call as far as
the framing has one (0 if not: then the one in the message's head counts)."""

Opener = Callable[[bytes], Opened]
"""Opens the frames of one direction of one connection, in their order. It may keep what one says about the next.

Raises `SpoiledFrame`, or `RemoteProtocolError` if nothing can be told of the frame: that ends the connection.
"""


class Splitter(Protocol):
    """Cuts the bytes of one connection into frames."""

    def add(self, data: bytes) -> None:
        """Bytes that arrived."""
        ...

    def next(self) -> bytes | None:
        """The next whole frame, without its length; `None` until more bytes arrive.

        Raises:
            RemoteProtocolError: where messages end cannot be told any more, or one is over a limit.
        """
        ...

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an unfinished frame has arrived."""
        ...


class Framing(Protocol):
    """Bytes of messages. An instance has its limits and may be shared by connections and threads.

    Attributes:
        name: under which it is registered.
        has_metadata: whether it carries any.
        is_unordered: whether the other side finds calls by their numbers, so that answers need no order.
    """

    name: str
    has_metadata: bool
    is_unordered: bool

    def in_any_order(self) -> Framing:
        """The framing of a client that finds answers by their numbers, so that it says so as far as it can."""
        ...

    def check(self, envelope: Envelope) -> None:
        """Say whether messages of `envelope` can be carried.

        Raises:
            ConfigurationError: they cannot.
        """
        ...

    def splitter(self, envelope: Envelope) -> Splitter:
        """A splitter for one direction of one connection."""
        ...

    def opener(self, dialect: Dialect) -> Opener:
        """An opener for one direction of one connection, which is spoken in `dialect`."""
        ...

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """The bytes of one message. Metadata that the framing cannot carry is left out.

        Args:
            envelope: of the head and the body.
            sequence_id: the number in the head.

        Raises:
            LocalProtocolError: the message is over a limit, or the metadata cannot be written.
        """
        ...


FRAMINGS: Final[Plugins[Framing]] = Plugins("idlrt.framings")


def check_message(size: int, limits: Limits) -> None:
    """See whether a message of `size` bytes may be sent.

    Raises:
        LocalProtocolError: it is over `max_message`.
    """
    if size > limits.max_message:
        most = limits.max_message
        raise LocalProtocolError(f"cannot send a message of {size} bytes: the limit is max_message={most}")


def check_frame(size: int, limits: Limits) -> None:
    """See whether a frame of `size` bytes may be sent.

    Raises:
        LocalProtocolError: it is over `max_frame`.
    """
    if size > limits.max_frame:
        raise LocalProtocolError(f"cannot send a frame of {size} bytes: the limit is max_frame={limits.max_frame}")


class FrameSplitter:
    """Cuts frames that have their length in front, as `u32`, big-endian.

    Holds at most one unfinished frame and the last bytes added.

    Args:
        limit: the name of the limit that holds for a frame, `max_frame` or `max_message`.
    """

    __slots__ = ("_buffer", "_limit", "_max", "_needed", "_offset")

    def __init__(self, limits: Limits, limit: str = "max_frame") -> None:
        self._limit = limit
        self._max: int = getattr(limits, limit)
        self._buffer: bytes | bytearray = b""
        self._offset = 0
        # Bytes from `_offset` on without which there is nothing to do: the length, then also the frame.
        self._needed = 4

    def add(self, data: bytes) -> None:
        """See `Splitter.add`."""
        buffer = self._buffer
        if self._offset == len(buffer):
            self._buffer = data
        elif isinstance(buffer, bytearray):
            # Taking bytes from the front of a bytearray does not move the others.
            del buffer[: self._offset]
            buffer += data
        else:
            self._buffer = bytearray(memoryview(buffer)[self._offset :])
            self._buffer += data
        self._offset = 0

    def next(self) -> bytes | None:
        """See `Splitter.next`."""
        buffer, start = self._buffer, self._offset
        available = len(buffer) - start
        needed = self._needed
        if available < needed:
            return None
        if needed == 4:
            (length,) = _unpack_length(buffer, start)
            if length > self._max:
                most = f"{self._limit}={self._max}"
                raise RemoteProtocolError(f"cannot read a frame of {length} bytes: the limit is {most}")
            needed = self._needed = 4 + length
            if available < needed:
                return None
        end = start + needed
        self._offset = end
        self._needed = 4
        if isinstance(buffer, bytes):
            return buffer[start + 4 : end]
        with memoryview(buffer) as view:
            frame = bytes(view[start + 4 : end])
        if end == len(buffer):
            self._buffer, self._offset = b"", 0
        return frame

    @property
    def is_empty(self) -> bool:
        """See `Splitter.is_empty`."""
        return self._offset == len(self._buffer)


class MessageSplitter:
    """Cuts messages that have no length in front, with the scanner of their envelope.

    Holds at most one unfinished message and the last bytes added.
    """

    __slots__ = ("_buffer", "_envelope", "_scanner")

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._buffer = bytearray()
        self._scanner: MessageScanner | None = None

    def add(self, data: bytes) -> None:
        """See `Splitter.add`."""
        self._buffer += data

    def next(self) -> bytes | None:
        """See `Splitter.next`."""
        buffer = self._buffer
        if not buffer:
            return None
        if self._scanner is None:
            self._scanner = self._envelope.scanner()
        end = self._scanner.scan(buffer)
        if end is None:
            return None
        self._scanner = None
        with memoryview(buffer) as view:
            frame = bytes(view[:end])
        del buffer[:end]
        return frame

    @property
    def is_empty(self) -> bool:
        """See `Splitter.is_empty`."""
        return not self._buffer


class _Plain:
    """What framings have in common that carry any message and nothing beside it."""

    has_metadata = False
    is_unordered = False

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits

    def in_any_order(self) -> Self:
        """See `Framing.in_any_order`."""
        return self

    def check(self, envelope: Envelope) -> None:
        """See `Framing.check`."""

    def opener(self, dialect: Dialect) -> Opener:
        """See `Framing.opener`."""

        def open(frame: bytes) -> Opened:
            return frame, dialect, NO_METADATA, 0

        return open


class Framed(_Plain):
    """Each message with its length in front, as `u32`: what Thrift's non-blocking servers speak."""

    name = "framed"

    def splitter(self, envelope: Envelope) -> FrameSplitter:
        """See `Framing.splitter`."""
        limits = self.limits
        return FrameSplitter(limits, "max_frame" if limits.max_frame <= limits.max_message else "max_message")

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """See `Framing.pack`."""
        size = len(head) + len(body)
        if size > self.limits.max_message or size > self.limits.max_frame:
            check_message(size, self.limits)
            check_frame(size, self.limits)
        return b"".join((_pack_length(size), head, body))


class Unframed(_Plain):
    """Messages one after the other, nothing in between: what Thrift's simple and threaded servers speak."""

    name = "unframed"

    def splitter(self, envelope: Envelope) -> MessageSplitter:
        """See `Framing.splitter`."""
        return MessageSplitter(envelope)

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """See `Framing.pack`."""
        check_message(len(head) + len(body), self.limits)
        return head + body


class Dialect(msgspec.Struct, frozen=True, eq=False):
    """An envelope in a framing: how the two sides of a connection speak.

    Attributes:
        is_fused: whether the native backend reads and writes whole messages, frames included, in one go.

    Raises:
        ConfigurationError: the framing cannot carry the serialization.
    """

    envelope: Envelope
    framing: Framing
    is_fused: bool = False

    def __post_init__(self) -> None:
        envelope, framing = self.envelope, self.framing
        framing.check(envelope)
        values = envelope.serialization
        # The very class: what is derived from it may have something else in its frames.
        if type(framing) is Framed and isinstance(values, TableSerialization) and values.backend == "native":
            is_fused = envelope.head_parts(MessageKind.CALL, "") is not None
            msgspec.structs.force_setattr(self, "is_fused", is_fused)

    def __repr__(self) -> str:
        return f"{self.framing.name} {self.envelope.name}"

    def pack(
        self, kind: MessageKind, name: str, sequence_id: int, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """The bytes of one message.

        Args:
            name: of the method, as it stands on the wire.
            body: with the envelope's tail, as `idlrt.protocol.thrift.message` writes it.

        Raises:
            LocalProtocolError: the message is over a limit, or the metadata cannot be written.
        """
        head = self.envelope.pack_head(kind, name, sequence_id)
        return self.framing.pack(self.envelope, sequence_id, head, body, metadata)
