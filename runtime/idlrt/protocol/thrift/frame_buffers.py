"""Frame buffers: they split the bytes of one direction of a connection into frames, one complete message each.

A frame buffer resumes where it stopped, so a peer that sends byte by byte costs no more than one that sends everything
at once. A length is checked against its limit when it is announced, before memory is allocated for the frame.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md (framed, unframed)
"""

from __future__ import annotations

import struct
from typing import Protocol

from idlrt.errors import RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.thrift.envelope import Envelope, MessageScanner
from idlrt.serialization.base import Limits

__all__ = ["FrameBuffer", "LengthFrameBuffer", "MessageFrameBuffer"]

_unpack_length = struct.Struct(">I").unpack_from


class FrameBuffer(Protocol):
    """Interface of frame buffers, one for each direction of a connection."""

    def add(self, data: bytes) -> None:
        """Append received bytes."""
        ...

    def next(self) -> bytes | None:
        """Return the next complete frame, without its length; `None` while it is incomplete.

        Raises:
            RemoteProtocolError: the end of the message cannot be determined, or it exceeds a limit.
        """
        ...

    @property
    def is_empty(self) -> bool:
        """Whether no part of an unfinished frame has arrived."""
        ...


class LengthFrameBuffer:
    """Frame buffer for frames with a length prefix, a big-endian `u32`.

    Holds at most one unfinished frame and the last bytes added.

    Args:
        limits: limits of the connection.
        limit: name of the limit that applies to frames, `max_frame` or `max_message`.
    """

    __slots__ = ("_buffer", "_limit", "_max", "_needed", "_offset")

    def __init__(self, limits: Limits, limit: str = "max_frame") -> None:
        self._limit = limit
        self._max: int = getattr(limits, limit)
        self._buffer: bytes | bytearray = b""
        self._offset = 0
        # Bytes needed from `_offset` on to make progress: those of the length, then also those of the frame.
        self._needed = 4

    def add(self, data: bytes) -> None:
        buffer = self._buffer
        if self._offset == len(buffer):
            self._buffer = data
        elif isinstance(buffer, bytearray):
            # Deleting from the front of a bytearray does not move the remaining bytes.
            del buffer[: self._offset]
            buffer += data
        else:
            self._buffer = bytearray(memoryview(buffer)[self._offset :])
            self._buffer += data
        self._offset = 0

    def next(self) -> bytes | None:
        buffer, start = self._buffer, self._offset
        available = len(buffer) - start
        needed = self._needed
        if available < needed:
            return None
        if needed == 4:
            (length,) = _unpack_length(buffer, start)
            if length > self._max:
                most = f"{self._limit}={self._max}"
                raise RemoteProtocolError(f"cannot read a frame of {plural(length, 'byte')}: the limit is {most}")
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
        return self._offset == len(self._buffer)


class MessageFrameBuffer:
    """Frame buffer for messages without a length prefix, based on the scanner of their envelope.

    Holds at most one unfinished message and the last bytes added.
    """

    __slots__ = ("_buffer", "_envelope", "_scanner")

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._buffer = bytearray()
        self._scanner: MessageScanner | None = None

    def add(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
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
        return not self._buffer
