"""Apache Thrift's THeader: metadata and compression beside each message, and the number of its wire protocol.

A frame is, behind its length, big-endian: `u16` 0x0fff, `u16` flags, `i32` number of the call, `u16` size of
the header in words of 4 bytes; then the header, padded with zero bytes; then the message. The header is:
varint number of the wire protocol, varint count of transforms and the varint number of each, and *infos*:

| info  | what                                                                                           |
|-------|------------------------------------------------------------------------------------------------|
| 1     | metadata of this message: varint count of pairs, then key and value as varint length and bytes |
| 2     | the same for this and all later messages of the connection (fbthrift); read, never written     |
| other | padding (0), or nothing that is known: what follows up to the end of the header is skipped     |

Of the flags one is known, fbthrift's 1: who asks finds answers by their numbers, so they may come in any order.

The only transform is 1, zlib, of the whole message. An answer has the protocol, transform and flags of its
question, whatever the questions before it had. Where the header gives the call a number, that one counts and
not the one within the message: who finds calls by headers may leave the other at whatever it likes.

What is wrong inside a frame costs one call, since the number of the call is known before it. Nothing is
allocated that is not checked first: sizes against the bytes that are there and against the limits, and
unpacking stops at `Limits.max_message`, and at the memory that a message of this size may take.

Sources: https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md, `THeaderTransport.py` beside
it, and fbthrift's `THeader.cpp` for info 2 and the flag; numbers of protocols are those of `TProtocolTypes.h`.
"""

from __future__ import annotations

import functools
import struct
import zlib
from types import MappingProxyType
from typing import Final

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ConfigurationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.thrift._header_infos import MAX_HEADER, HeaderReader, Unreadable, pack_pairs, pack_varint
from idlrt.protocol.thrift.envelope import Envelope, envelope
from idlrt.protocol.thrift.framing import (
    Dialect,
    FrameSplitter,
    Opened,
    Opener,
    SpoiledFrame,
    check_frame,
    check_message,
)
from idlrt.serialization._decoded_size import budget_of
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.errors import over_decoded
from idlrt.serialization.options import lenient

__all__ = ["HeaderFramed", "HeaderZlibFramed", "header_dialect"]

_MAGIC: Final = 0x0FFF
_FIXED: Final = struct.Struct(">HHiH")
_LENGTH_AND_FIXED: Final = struct.Struct(">IHHiH")

_NUMBERS: Final = {"binary": 0, "json": 1, "compact": 2}
_PROTOCOLS: Final = {number: name for name, number in _NUMBERS.items()}
_ZLIB: Final = 1
_PAIRS, _KEPT_PAIRS = 1, 2
_ANY_ORDER: Final = 1


class HeaderFramed:
    """Each message with its length and a header in front. It carries metadata, and reads compressed messages.

    Args:
        flags: 16 bits that stand in the header of each message. Apache's specification defines none.
    """

    name = "header"
    has_metadata = True
    _transforms: tuple[int, ...] = ()

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, flags: int = 0) -> None:
        self.limits = limits
        self.is_unordered = bool(flags & _ANY_ORDER)
        self._flags = flags
        # Headers without metadata, by protocol.
        self._bare = {name: _padded(self._begin(name)) for name in _NUMBERS}

    def _begin(self, protocol: str) -> bytes:
        return bytes((_NUMBERS[protocol], len(self._transforms), *self._transforms))

    def check(self, envelope: Envelope) -> None:
        """See `Framing.check`."""
        if envelope.name not in _NUMBERS:
            known = ", ".join(sorted(_NUMBERS))
            raise ConfigurationError(
                f"the framing {self.name} cannot carry the protocol {envelope.name!r}, which has no number there; "
                f"those that have: {known}"
            )

    def in_any_order(self) -> HeaderFramed:
        """See `Framing.in_any_order`."""
        return type(self)(self.limits, flags=self._flags | _ANY_ORDER)

    def splitter(self, envelope: Envelope) -> FrameSplitter:
        """See `Framing.splitter`."""
        return FrameSplitter(self.limits)

    def opener(self, dialect: Dialect) -> Opener:
        """See `Framing.opener`. Each frame says itself how an answer has to look."""
        # Only clients ask for answers in any order. A text beside an answer must not cost the answer.
        texts = lenient(self.limits) if self.is_unordered else self.limits
        return _HeaderOpener(self.limits, texts).open

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        """See `Framing.pack`."""
        check_message(len(head) + len(body), self.limits)
        if metadata:
            header = self._begin(envelope.name) + pack_varint(_PAIRS) + pack_pairs(metadata, self.limits)
            if len(header) > MAX_HEADER:
                raise LocalProtocolError(f"cannot send a header of {len(header)} bytes: the most is {MAX_HEADER}")
            header = _padded(header)
        else:
            header = self._bare[envelope.name]
        message = self._transform(head + body)
        size = _FIXED.size + len(header) + len(message)
        check_frame(size, self.limits)
        fixed = _LENGTH_AND_FIXED.pack(size, _MAGIC, self._flags, sequence_id, len(header) // 4)
        return b"".join((fixed, header, message))

    def _transform(self, message: bytes) -> bytes:
        return message


class HeaderZlibFramed(HeaderFramed):
    """`HeaderFramed` that compresses what it sends."""

    name = "header_zlib"
    _transforms = (_ZLIB,)

    def _transform(self, message: bytes) -> bytes:
        return zlib.compress(message)


def _padded(header: bytes) -> bytes:
    return header + bytes(-len(header) % 4)


@functools.lru_cache(maxsize=64)
def header_dialect(protocol: str, is_compressed: bool, flags: int, limits: Limits) -> Dialect:
    """Return the dialect that answers a question with these in its header; it is shared by connections."""
    framing = (HeaderZlibFramed if is_compressed else HeaderFramed)(limits, flags=flags)
    return Dialect(envelope(protocol, limits), framing)


class _HeaderOpener:
    """Opens the frames of one direction of a connection. It keeps the metadata that holds for all of them.

    Most peers send the same header again and again, so what the last one said is kept too.

    Args:
        limits: of the dialects in which to answer.
        texts: those for metadata.
    """

    __slots__ = ("_kept", "_last", "_limits", "_said", "_texts")

    def __init__(self, limits: Limits, texts: Limits) -> None:
        self._limits = limits
        self._texts = texts
        self._kept: dict[str, str] = {}
        self._last: tuple[int, int, bytes] | None = None
        self._said: tuple[Dialect, bool, Metadata]

    def open(self, frame: bytes) -> Opened:
        """See `Opener`."""
        if len(frame) < _FIXED.size:
            raise RemoteProtocolError(f"cannot read a frame of {len(frame)} bytes: its header needs {_FIXED.size}")
        magic, flags, sequence_id, words = _FIXED.unpack_from(frame)
        if magic != _MAGIC:
            raise RemoteProtocolError(f"cannot read a frame: it begins with {magic:04x}, a header with {_MAGIC:04x}")
        start = _FIXED.size + words * 4
        protocol = "binary"
        try:
            header = flags, words, frame[_FIXED.size : start]
            if header != self._last:
                self._last = None
                reader = HeaderReader(frame, _FIXED.size, start)
                protocol = self._protocol(reader)
                is_compressed = self._is_compressed(reader)
                metadata = self._metadata(reader)
                self._said = header_dialect(protocol, is_compressed, flags, self._limits), is_compressed, metadata
                self._last = header
            answering, is_compressed, metadata = self._said
            protocol = answering.envelope.name
            message = self._unpack(frame, start) if is_compressed else self._bare(frame, start)
        except Unreadable as error:
            answering = header_dialect(protocol, False, flags, self._limits)
            what = f"cannot read the frame of call {sequence_id}: {error}"
            raise SpoiledFrame(what, error.code, sequence_id, answering) from None
        return message, answering, metadata, sequence_id

    def _protocol(self, reader: HeaderReader) -> str:
        number = reader.varint()
        name = _PROTOCOLS.get(number)
        if name is None:
            raise Unreadable(f"there is no protocol {number}; known: {_known()}", ApplicationCode.INVALID_PROTOCOL)
        return name

    def _is_compressed(self, reader: HeaderReader) -> bool:
        count = reader.varint()
        if count > 1:
            # One transform is known, and unpacking the same bytes over and over is what an attacker wants.
            raise Unreadable(f"it has {count} transforms, at most 1 is read", ApplicationCode.INVALID_TRANSFORM)
        if count == 1 and (number := reader.varint()) != _ZLIB:
            what = f"there is no transform {number}; known: {_ZLIB} (zlib)"
            raise Unreadable(what, ApplicationCode.INVALID_TRANSFORM)
        return count == 1

    def _metadata(self, reader: HeaderReader) -> Metadata:
        own: dict[str, str] = {}
        kept: dict[str, str] = {}
        while not reader.is_at_end:
            info = reader.varint()
            if info == _PAIRS:
                reader.pairs(own, self._texts)
            elif info == _KEPT_PAIRS:
                reader.pairs(kept, self._texts)
            else:
                break
        if kept:
            self._keep(kept)
        if not self._kept and not own:
            return NO_METADATA
        # Not to be changed, since the next frame may have the same.
        return MappingProxyType({**self._kept, **own})

    def _keep(self, pairs: dict[str, str]) -> None:
        together = {**self._kept, **pairs}
        size = sum(len(key) + len(value) for key, value in together.items())
        # As much as one header can hold: a connection does not gather more by sending many.
        if size > MAX_HEADER or len(together) > self._limits.max_container:
            raise Unreadable(
                f"metadata for all messages has grown to {len(together)} pairs of {size} characters: the limits are "
                f"max_container={self._limits.max_container} and {MAX_HEADER}"
            )
        self._kept = together

    def _bare(self, frame: bytes, start: int) -> bytes:
        size, most = len(frame) - start, self._limits.max_message
        if size > most:
            raise Unreadable(f"its message has {size} bytes: the limit is max_message={most}")
        return frame[start:]

    def _unpack(self, frame: bytes, start: int) -> bytes:
        limits = self._limits
        # A message counts among what its values need, so more than their budget is not unpacked.
        budget = budget_of(limits, len(frame))
        most = min(limits.max_message, budget)
        unpacking = zlib.decompressobj()
        try:
            with memoryview(frame) as view:
                message = unpacking.decompress(view[start:], most + 1)
        except zlib.error as error:
            raise Unreadable(f"its zlib data cannot be unpacked: {error}") from None
        if len(message) > most and budget < limits.max_message:
            raise Unreadable(over_decoded(most, len(frame), limits).what)
        if len(message) > most:
            raise Unreadable(f"its message has more than {most} bytes once unpacked: the limit is max_message={most}")
        if not unpacking.eof:
            raise Unreadable("its zlib data is incomplete")
        if unpacking.unused_data:
            raise Unreadable(f"{len(unpacking.unused_data)} bytes follow its zlib data")
        return message


def _known() -> str:
    return ", ".join(f"{number} ({name})" for number, name in _PROTOCOLS.items())
