"""Framings: where one message ends and the next begins, and the metadata beside it.

A framing has three parts. The `FrameBuffer` splits received bytes into *frames*, one complete message each. The
`FrameDecoder` takes the message out of a frame: plain frames contain only the message; others also metadata,
compression and the id of the serialization, so the decoder returns the dialect of the response too. `pack` encodes a
frame. The buffer does not look into frames, and the decoder gets complete frames only, so a new framing with a length
prefix can use `LengthFrameBuffer`.

A length is checked against `Limits.max_frame` when it is announced, before memory is allocated for it. The decompressed
message is checked against `Limits.max_message`; without compression the smaller of the two limits applies from the
beginning.

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
from idlrt.printable import plural
from idlrt.protocol.base import Capabilities
from idlrt.protocol.thrift.envelope import Envelope
from idlrt.protocol.thrift.frame_buffers import FrameBuffer, LengthFrameBuffer, MessageFrameBuffer
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization.base import DEFAULT_LIMITS, Limits

__all__ = [
    "FRAMINGS",
    "BadFrame",
    "DecodedFrame",
    "Dialect",
    "FrameBuffer",
    "FrameDecoder",
    "FramePrefix",
    "Framed",
    "Framing",
    "Unframed",
    "capabilities",
    "check_frame",
    "check_message",
]

_pack_length = struct.Struct(">I").pack


class BadFrame(RemoteProtocolError):
    """A frame that cannot be decoded, but whose call is known: it fails that call, not the connection.

    Attributes:
        code: code of the error response.
        sequence_id: sequence id of the call.
        dialect: dialect of the error response.
    """

    def __init__(self, message: str, code: ApplicationCode, sequence_id: int, dialect: Dialect) -> None:
        super().__init__(message)
        self.code = code
        self.sequence_id = sequence_id
        self.dialect = dialect


DecodedFrame = tuple[bytes, "Dialect", Metadata, int]
"""Content of a frame: the message, the dialect of the response, metadata, and the sequence id of the call if the
framing has one (0 if not: then the one in the message header applies)."""

FrameDecoder = Callable[[bytes], DecodedFrame]
"""Frame decoder of one direction of one connection. It gets the frames in their order, because a frame may carry state
for later ones.

Raises `BadFrame`, or `RemoteProtocolError` if not even the call is known, which ends the connection.
"""


class FramePrefix(msgspec.Struct, frozen=True, gc=False):
    """Bytes between the length of a frame and its message, for framings that send messages unchanged.

    Attributes:
        before: bytes before the sequence id, which is an `i32`.
        after: bytes after it.
        limits: limits of sent messages and frames.
        most: size in bytes up to which a frame is within these limits, whatever its prefix is.
    """

    before: bytes
    after: bytes
    limits: Limits
    most: int


class Framing(Protocol):
    """Interface of framings. An instance has its limits and may be shared by connections and threads.

    Attributes:
        name: registered name.
        has_metadata: whether frames carry metadata.
        is_unordered: whether the peer matches responses by sequence id, so that they may be sent in any order.
    """

    name: str
    has_metadata: bool
    is_unordered: bool

    def in_any_order(self) -> Framing:
        """Return the framing of a client that matches responses by sequence id; it tells the server if it can."""
        ...

    def check(self, envelope: Envelope) -> None:
        """Check that the framing supports messages of `envelope`.

        Raises:
            ConfigurationError: it does not.
        """
        ...

    def frame_buffer(self, envelope: Envelope) -> FrameBuffer:
        """Return a frame buffer for one direction of one connection."""
        ...

    def frame_decoder(self, dialect: Dialect) -> FrameDecoder:
        """Return a frame decoder for one direction of one connection in `dialect`."""
        ...

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """Return the frame of one message. Framings without metadata ignore `metadata`.

        Args:
            envelope: envelope of the message.
            sequence_id: sequence id in the header.
            head: header of the message.
            body: values of the message.
            metadata: metadata of the message.

        Raises:
            LocalProtocolError: the message exceeds a limit, or the metadata cannot be encoded.
        """
        ...


_PLAIN: Final = Capabilities()
_RICH: Final = Capabilities(metadata=True, context=True, drain=True)


def capabilities(framing: Framing) -> Capabilities:
    """Return the capabilities of connections with a framing."""
    return _RICH if framing.has_metadata else _PLAIN


FRAMINGS: Final[Plugins[Framing]] = Plugins("idlrt.framings")


def check_message(size: int, limits: Limits) -> None:
    """Check that a message of `size` bytes may be sent.

    Raises:
        LocalProtocolError: it exceeds `max_message`.
    """
    if size > limits.max_message:
        most = limits.max_message
        raise LocalProtocolError(f"cannot send a message of {plural(size, 'byte')}: the limit is max_message={most}")


def check_frame(size: int, limits: Limits) -> None:
    """Check that a frame of `size` bytes may be sent.

    Raises:
        LocalProtocolError: it exceeds `max_frame`.
    """
    if size > limits.max_frame:
        raise LocalProtocolError(
            f"cannot send a frame of {plural(size, 'byte')}: the limit is max_frame={limits.max_frame}"
        )


class _Plain:
    """Base class of framings without metadata, which support every envelope."""

    has_metadata = False
    is_unordered = False

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits

    def in_any_order(self) -> Self:
        return self

    def check(self, envelope: Envelope) -> None:
        """Accept every envelope."""

    def frame_decoder(self, dialect: Dialect) -> FrameDecoder:
        def open(frame: bytes) -> DecodedFrame:
            return frame, dialect, NO_METADATA, 0

        return open


class Framed(_Plain):
    """Framed transport: each message follows its length, a `u32`. Thrift's non-blocking servers require it."""

    name = "framed"

    def frame_buffer(self, envelope: Envelope) -> LengthFrameBuffer:
        limits = self.limits
        return LengthFrameBuffer(limits, "max_frame" if limits.max_frame <= limits.max_message else "max_message")

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        size = len(head) + len(body)
        if size > self.limits.max_message or size > self.limits.max_frame:
            check_message(size, self.limits)
            check_frame(size, self.limits)
        return b"".join((_pack_length(size), head, body))


class Unframed(_Plain):
    """Unframed transport: messages follow each other directly. Thrift's simple and threaded servers use it."""

    name = "unframed"

    def frame_buffer(self, envelope: Envelope) -> MessageFrameBuffer:
        return MessageFrameBuffer(envelope)

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        check_message(len(head) + len(body), self.limits)
        return head + body


class Dialect(msgspec.Struct, frozen=True, eq=False):
    """The wire format of a connection: an envelope in a framing.

    Attributes:
        envelope: envelope of messages, which determines the serialization.
        framing: framing of messages.
        is_native: whether the native backend writes header and values of a message in one step.
        is_fused: whether it reads and writes whole messages, including frames, in one step.
        prefix: prefix of frames without metadata; `None` if frames do not consist of a length, a prefix and the
            unchanged message.

    Raises:
        ConfigurationError: the framing does not support the serialization.
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
            is_native = envelope.head_parts(MessageType.CALL, "") is not None
            msgspec.structs.force_setattr(self, "is_native", is_native)
            # The exact class: frames of derived classes may be different.
            msgspec.structs.force_setattr(self, "is_fused", is_native and type(framing) is Framed)
        # Not part of `Framing`: optional for plugins.
        prefix_of = getattr(framing, "frame_prefix", None)
        if prefix_of is not None:
            msgspec.structs.force_setattr(self, "prefix", prefix_of(envelope))

    def __repr__(self) -> str:
        return f"{self.framing.name} {self.envelope.name}"

    def pack(
        self, kind: MessageType, name: str, sequence_id: int, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """Return the bytes of one message.

        Args:
            kind: type of the message.
            name: name of the method on the wire.
            sequence_id: sequence id of the call.
            body: values and tail, as `idlrt.protocol.thrift.message` writes them.
            metadata: metadata of the message.

        Raises:
            LocalProtocolError: the message exceeds a limit, or the metadata cannot be encoded.
        """
        head = self.envelope.pack_head(kind, name, sequence_id)
        return self.framing.pack(self.envelope, sequence_id, head, body, metadata)
