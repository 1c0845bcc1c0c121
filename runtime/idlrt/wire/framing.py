"""Bytes of messages: where one ends and the next begins, and what travels beside it.

A framing does two things. A `Splitter` cuts what arrives into *frames*, one whole message each; it keeps
its place, so a peer that sends byte by byte costs no more than one that sends all at once. And a frame is
packed and opened: plain framings hold nothing but the message, richer ones (THeader) also metadata as
text, compression, the number of a wire protocol. Splitting never looks into a frame and opening never
waits for one, so a new framing that has a length in front uses `FrameSplitter` and writes only the rest.

A length is checked against `Limits.max_message` when it is announced, before anything is kept for it.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md (framed, unframed)
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.plugins import Plugins
from idlrt.wire.protocol import DEFAULT_LIMITS, Limits, MessageScanner, WireProtocol

__all__ = ["FRAMINGS", "NO_METADATA", "FrameSplitter", "Framed", "Framing", "Metadata", "Splitter", "Unframed"]

Metadata = Mapping[str, str]
"""What travels beside a message: trace context, deadline, tags, tokens. Absent with plain framings."""

NO_METADATA: Final[Metadata] = MappingProxyType({})

_pack_length = struct.Struct(">I").pack
_unpack_length = struct.Struct(">I").unpack_from


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
    """Bytes of messages. An instance has its limits and may be shared by connections and threads."""

    name: str
    has_metadata: bool

    def splitter(self, protocol: WireProtocol) -> Splitter:
        """A splitter for one direction of one connection."""
        ...

    def pack(self, head: bytes, body: bytes, metadata: Metadata = NO_METADATA) -> bytes:
        """The bytes of one message. Metadata that the framing cannot carry is left out.

        Raises:
            LocalProtocolError: the message is over `max_message`.
        """
        ...

    def open(self, frame: bytes) -> tuple[bytes, Metadata]:
        """The message in a frame, and its metadata.

        Raises:
            RemoteProtocolError: the frame cannot be read.
        """
        ...


FRAMINGS: Final[Plugins[Framing]] = Plugins("idlrt.framings")


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_message:
        most = limits.max_message
        raise LocalProtocolError(f"cannot send a message of {size} bytes: the limit is max_message={most}")


class FrameSplitter:
    """Cuts frames that have their length in front, as `u32`, big-endian.

    Holds at most one unfinished frame and the last bytes added.
    """

    __slots__ = ("_buffer", "_max", "_needed", "_offset")

    def __init__(self, limits: Limits) -> None:
        self._max = limits.max_message
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
                most = self._max
                raise RemoteProtocolError(f"cannot read a frame of {length} bytes: the limit is max_message={most}")
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
    """Cuts messages that have no length in front, with the scanner of their protocol.

    Holds at most one unfinished message and the last bytes added.
    """

    __slots__ = ("_buffer", "_protocol", "_scanner")

    def __init__(self, protocol: WireProtocol) -> None:
        self._protocol = protocol
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
            self._scanner = self._protocol.scanner()
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


class Framed:
    """Each message with its length in front, as `u32`: what Thrift's non-blocking servers speak."""

    name = "framed"
    has_metadata = False

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits

    def splitter(self, protocol: WireProtocol) -> FrameSplitter:
        """See `Framing.splitter`."""
        return FrameSplitter(self.limits)

    def pack(self, head: bytes, body: bytes, metadata: Metadata = NO_METADATA) -> bytes:
        """See `Framing.pack`."""
        size = len(head) + len(body)
        if size > self.limits.max_message:
            _check_size(size, self.limits)
        return b"".join((_pack_length(size), head, body))

    def open(self, frame: bytes) -> tuple[bytes, Metadata]:
        """See `Framing.open`."""
        return frame, NO_METADATA


class Unframed:
    """Messages one after the other, nothing in between: what Thrift's simple and threaded servers speak."""

    name = "unframed"
    has_metadata = False

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits

    def splitter(self, protocol: WireProtocol) -> MessageSplitter:
        """See `Framing.splitter`."""
        return MessageSplitter(protocol)

    def pack(self, head: bytes, body: bytes, metadata: Metadata = NO_METADATA) -> bytes:
        """See `Framing.pack`."""
        _check_size(len(head) + len(body), self.limits)
        return head + body

    def open(self, frame: bytes) -> tuple[bytes, Metadata]:
        """See `Framing.open`."""
        return frame, NO_METADATA
