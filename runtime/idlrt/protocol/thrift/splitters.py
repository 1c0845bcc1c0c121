"""Splitters: they cut the bytes of one direction of a connection into frames, one whole message each.

A splitter keeps its place, so a peer that sends byte by byte costs no more than one that sends all at once. A length is
checked against its limit when it is announced, before anything is kept for the frame.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md (framed, unframed)
"""

from __future__ import annotations

import struct
from typing import Protocol

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.thrift.envelope import Envelope, MessageScanner
from idlrt.serialization.base import Limits

__all__ = ["FrameSplitter", "MessageSplitter", "Splitter"]

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
