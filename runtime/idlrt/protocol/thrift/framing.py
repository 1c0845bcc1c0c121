"""Bytes of messages: where one ends and the next begins, and what travels beside it.

A framing does three things. A `Splitter` cuts what arrives into *frames*, one whole message each. An `Opener`
takes the message out of a frame: plain framings hold nothing else, richer ones also metadata, compression, the
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
from idlrt.protocol.base import Capabilities
from idlrt.protocol.thrift.envelope import Envelope
from idlrt.protocol.thrift.kinds import MessageKind
from idlrt.protocol.thrift.splitters import FrameSplitter, MessageSplitter, Splitter
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization.base import DEFAULT_LIMITS, Limits

__all__ = [
    "FRAMINGS",
    "Dialect",
    "FramePrefix",
    "Framed",
    "Framing",
    "Opened",
    "Opener",
    "Splitter",
    "SpoiledFrame",
    "Unframed",
    "capabilities",
    "check_frame",
    "check_message",
]

_pack_length = struct.Struct(">I").pack


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


class FramePrefix(msgspec.Struct, frozen=True, gc=False):
    """Bytes between the length of a frame and its message, for framings that send messages as they are.

    Attributes:
        before: what stands before the sequence id, which is an `i32`.
        after: what stands behind it.
        limits: those for messages and frames that are sent.
        most: bytes of a frame that is within these limits, whatever its prefix is.
    """

    before: bytes
    after: bytes
    limits: Limits
    most: int


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


_PLAIN: Final = Capabilities()
_RICH: Final = Capabilities(metadata=True, context=True, drain=True)


def capabilities(framing: Framing) -> Capabilities:
    """Return the capabilities of connections with a framing."""
    return _RICH if framing.has_metadata else _PLAIN


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
        is_native: whether the native backend writes head and values of a message in one go.
        is_fused: whether it reads and writes whole messages, frames included, in one go.
        prefix: of the frames of messages without metadata; `None` if frames are not a length, a prefix and the message
            as it is.

    Raises:
        ConfigurationError: the framing cannot carry the serialization.
    """

    envelope: Envelope
    framing: Framing
    is_native: bool = False
    is_fused: bool = False
    prefix: FramePrefix | None = None

    def __post_init__(self) -> None:
        envelope, framing = self.envelope, self.framing
        framing.check(envelope)
        values = envelope.serialization
        if isinstance(values, TableSerialization) and values.backend == "native":
            is_native = envelope.head_parts(MessageKind.CALL, "") is not None
            msgspec.structs.force_setattr(self, "is_native", is_native)
            # The very class: what is derived from it may have something else in its frames.
            msgspec.structs.force_setattr(self, "is_fused", is_native and type(framing) is Framed)
        # No part of `Framing`: plugins need not have it.
        prefix_of = getattr(framing, "frame_prefix", None)
        if prefix_of is not None:
            msgspec.structs.force_setattr(self, "prefix", prefix_of(envelope))

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
