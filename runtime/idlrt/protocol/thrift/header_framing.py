"""Apache Thrift's THeader: frames with metadata, compression and the id of the serialization beside each message.

After its length a frame consists of, big-endian: `u16` magic 0x0fff, `u16` flags, `i32` sequence id, `u16` size of the
header in words of 4 bytes; then the header, padded with zero bytes; then the message. The header consists of the varint
id of the serialization, the varint number of transforms and the varint id of each, and *infos*:

| info  | content                                                                                          |
|-------|--------------------------------------------------------------------------------------------------|
| 1     | metadata of this message: varint number of pairs, then key and value as varint length and bytes  |
| 2     | the same for this and all later messages of the connection (fbthrift); read, never written       |
| other | padding (0), or unknown: the rest of the header is skipped                                       |

One flag is known, fbthrift's 1: the client matches responses by sequence id, so they may be sent in any order.

The only transform is 1, zlib, of the whole message. A response has the serialization, transform and flags of its
request, whatever earlier requests had. A sequence id in the frame takes precedence over the one in the message, because
implementations that match calls by the frame may put any number into the message.

An error inside a frame fails one call, because the sequence id precedes it. Nothing is allocated before it is checked:
sizes against the available bytes and against the limits; decompression stops at `Limits.max_message`, and at the memory
that a message of this size may take.

Sources: https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md, `THeaderTransport.py` beside
it, and fbthrift's `THeader.cpp` for info 2 and the flag; numbers of protocols are those of `TProtocolTypes.h`.
"""

from __future__ import annotations

import functools
import struct
import zlib
from types import MappingProxyType
from typing import Final, TypeGuard

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ConfigurationError, LocalProtocolError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.thrift._header_fields import (
    MAX_HEADER,
    BadHeader,
    HeaderReader,
    accepts_short_pairs,
    pack_pairs,
    short_pairs,
)
from idlrt.protocol.thrift.envelope import Envelope, envelope
from idlrt.protocol.thrift.frame_buffers import LengthFrameBuffer
from idlrt.protocol.thrift.framing import (
    BadFrame,
    DecodedFrame,
    Dialect,
    FrameDecoder,
    FramePrefix,
    Framing,
    check_frame,
    check_message,
)
from idlrt.serialization._decoded_size import budget_of
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.errors import over_decoded
from idlrt.serialization.options import WriteErrors, lenient, write_errors_of

__all__ = ["FIXED", "HeaderFrameDecoder", "HeaderFramed", "HeaderZlibFramed", "header_dialect", "is_header"]

_MAGIC: Final = 0x0FFF
_FIXED: Final = struct.Struct(">HHiH")
FIXED: Final = _FIXED.size
"""Number of bytes of a frame before its header."""
_AFTER_MARK: Final = 4
_BEFORE_SIZE: Final = 8
_LENGTH_AND_FIXED: Final = struct.Struct(">IHHiH")
_pack_u16s = struct.Struct(">HH").pack
_pack_u16 = struct.Struct(">H").pack

_NUMBERS: Final = {"binary": 0, "json": 1, "compact": 2}
_PROTOCOLS: Final = {number: name for name, number in _NUMBERS.items()}
_HIGHEST: Final = max(_PROTOCOLS)
_ZLIB: Final = 1
_PAIRS, _KEPT_PAIRS = 1, 2
_PAIRS_FOLLOW: Final = bytes((_PAIRS,))
_ANY_ORDER: Final = 1


class HeaderFramed:
    """THeader framing: each message follows its length and a header. Carries metadata, and reads compressed messages.

    Args:
        limits: limits of messages and frames.
        flags: 16 flag bits of each frame. Apache's specification defines none.
    """

    name = "header"
    has_metadata = True
    _transforms: tuple[int, ...] = ()

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, flags: int = 0) -> None:
        self.limits = limits
        self.is_unordered = bool(flags & _ANY_ORDER)
        self._flags = flags
        self._text_errors: WriteErrors = write_errors_of(limits)
        # Headers without metadata, by serialization.
        self._bare = {name: _padded(self._start(name)) for name in _NUMBERS}

    def _start(self, protocol: str) -> bytes:
        return bytes((_NUMBERS[protocol], len(self._transforms), *self._transforms))

    def check(self, envelope: Envelope) -> None:
        if envelope.name not in _NUMBERS:
            known = ", ".join(sorted(_NUMBERS))
            what = f"framing {self.name!r} does not support serialization {envelope.name!r}"
            raise ConfigurationError(f"{what} (supported: {known})")

    def in_any_order(self) -> HeaderFramed:
        return type(self)(self.limits, flags=self._flags | _ANY_ORDER)

    def frame_buffer(self, envelope: Envelope) -> LengthFrameBuffer:
        return LengthFrameBuffer(self.limits)

    def frame_decoder(self, dialect: Dialect) -> FrameDecoder:
        """Return a frame decoder. `dialect` is ignored, because each frame determines the dialect of its response."""
        return self.header_frame_decoder().open

    def header_frame_decoder(self) -> HeaderFrameDecoder:
        """Return a decoder of the frames of one direction of one connection."""
        # Only clients set the flag. Invalid UTF-8 in the metadata of a response must not fail the call.
        texts = lenient(self.limits) if self.is_unordered else self.limits
        return HeaderFrameDecoder(self.limits, texts)

    def frame_prefix(self, envelope: Envelope, metadata: Metadata = NO_METADATA) -> FramePrefix | None:
        """Return the prefix of frames with this metadata; `None` if messages are not sent unchanged.

        Raises:
            LocalProtocolError: the metadata cannot be encoded.
        """
        # The exact class: derived classes may transform messages.
        if type(self) is not HeaderFramed:
            return None
        header, limits = self._header(envelope.name, metadata), self.limits
        return FramePrefix(
            before=_pack_u16s(_MAGIC, self._flags),
            after=_pack_u16(len(header) // 4) + header,
            limits=limits,
            most=min(limits.max_message, limits.max_frame),
        )

    def pack(
        self, envelope: Envelope, sequence_id: int, head: bytes, body: bytes, metadata: Metadata = NO_METADATA
    ) -> bytes:
        limits = self.limits
        size = len(head) + len(body)
        if size > limits.max_message:
            check_message(size, limits)
        header = self._header(envelope.name, metadata)
        message = self._transform(head + body)
        size = FIXED + len(header) + len(message)
        if size > limits.max_frame:
            check_frame(size, limits)
        fixed = _LENGTH_AND_FIXED.pack(size, _MAGIC, self._flags, sequence_id, len(header) // 4)
        return b"".join((fixed, header, message))

    def _header(self, protocol: str, metadata: Metadata) -> bytes:
        """Return the header of a frame, padded."""
        if not metadata:
            return self._bare[protocol]
        header = self._start(protocol) + _PAIRS_FOLLOW + pack_pairs(metadata, self.limits, self._text_errors)
        if len(header) > MAX_HEADER:
            raise LocalProtocolError(
                f"cannot send a header of {plural(len(header), 'byte')}: the limit is {MAX_HEADER} bytes"
            )
        return _padded(header)

    def _transform(self, message: bytes) -> bytes:
        return message


class HeaderZlibFramed(HeaderFramed):
    """`HeaderFramed` that compresses sent messages with zlib."""

    name = "header_zlib"
    _transforms = (_ZLIB,)

    def _transform(self, message: bytes) -> bytes:
        return zlib.compress(message)


def is_header(framing: Framing) -> TypeGuard[HeaderFramed]:
    """Whether a framing is exactly one of this module: frames of derived classes may be different."""
    return type(framing) is HeaderFramed or type(framing) is HeaderZlibFramed


def _padded(header: bytes) -> bytes:
    return header + bytes(-len(header) % 4)


@functools.lru_cache(maxsize=64)
def header_dialect(protocol: str, is_compressed: bool, flags: int, limits: Limits) -> Dialect:
    """Return the shared dialect of responses to requests with this serialization, compression and flags."""
    framing = (HeaderZlibFramed if is_compressed else HeaderFramed)(limits, flags=flags)
    return Dialect(envelope(protocol, limits), framing)


class HeaderFrameDecoder:
    """Decodes the frames of one direction of a connection, and keeps its persistent metadata.

    Most peers send the same header repeatedly, so the last decoded header is cached. A frame has the same header if it
    starts with `mark`, and continues with `header` after its sequence id.

    Args:
        limits: limits of the dialects of responses.
        texts: limits of metadata.

    Attributes:
        mark: magic number and flags of the last header.
        header: size and content of the last header.
        dialect: dialect of the response.
        metadata: metadata of the message.
        is_plain: whether a header is cached, with uncompressed messages.
        persistent: persistent metadata, for all messages of the connection.
        accepts_short: whether pairs that `short_pairs` reads can never exceed a limit.
    """

    __slots__ = (
        "_is_compressed", "_is_known", "_limits", "_texts", "accepts_short", "dialect", "header", "is_plain",
        "mark", "metadata", "persistent",
    )  # fmt: skip

    def __init__(self, limits: Limits, texts: Limits) -> None:
        self._limits = limits
        self._texts = texts
        self.accepts_short = accepts_short_pairs(texts)
        self.persistent: dict[str, str] = {}
        self._is_known = self._is_compressed = self.is_plain = False
        self.mark = self.header = b""
        self.metadata = NO_METADATA
        self.dialect: Dialect

    def open(self, frame: bytes) -> DecodedFrame:
        """Decode a frame. It is an `FrameDecoder`."""
        if len(frame) < FIXED:
            size = plural(len(frame), "byte")
            raise RemoteProtocolError(f"cannot read a frame of {size}: THeader frames have at least {FIXED} bytes")
        magic, flags, sequence_id, words = _FIXED.unpack_from(frame)
        if magic != _MAGIC:
            what = f"it starts with {magic:04x}, expected {_MAGIC:04x} (THeader)"
            raise RemoteProtocolError(f"cannot read a frame: {what}")
        start = FIXED + words * 4
        protocol = "binary"
        try:
            if not (self._is_known and frame.startswith(self.mark) and frame.startswith(self.header, _BEFORE_SIZE)):
                self._is_known = self.is_plain = False
                metadata = self._short(frame, start)
                if metadata is not None:
                    protocol = _PROTOCOLS[frame[FIXED]]
                    self._is_compressed, self.metadata = False, metadata
                else:
                    reader = HeaderReader(frame, FIXED, start)
                    protocol = self._protocol(reader)
                    self._is_compressed = self._compressed(reader)
                    self.metadata = self._metadata(reader)
                self.dialect = header_dialect(protocol, self._is_compressed, flags, self._limits)
                self.mark, self.header = frame[:_AFTER_MARK], frame[_BEFORE_SIZE:start]
                self._is_known, self.is_plain = True, not self._is_compressed
            protocol = self.dialect.envelope.name
            message = self._unpack(frame, start) if self._is_compressed else self._bare(frame, start)
        except BadHeader as error:
            answering = header_dialect(protocol, False, flags, self._limits)
            what = f"cannot read the frame of call {sequence_id}: {error}"
            raise BadFrame(what, error.code, sequence_id, answering) from None
        return message, self.dialect, self.metadata, sequence_id

    def _short(self, frame: bytes, start: int) -> Metadata | None:
        """Return the metadata of a header of the common form: short, without transforms and persistent metadata.

        `None` if it has another form, or is invalid.
        """
        if start - FIXED < 4 or start > len(frame) or frame[FIXED] > _HIGHEST or frame[FIXED + 1]:
            return None
        info = frame[FIXED + 2]
        if info == _PAIRS and self.accepts_short:
            own = short_pairs(frame, FIXED + 3, start, self._texts)
            if own is None:
                return None
        elif info:
            return None
        else:
            own = None
        if not own:
            return MappingProxyType(self.persistent) if self.persistent else NO_METADATA
        # Read-only, because the next frame may share it.
        return MappingProxyType({**self.persistent, **own} if self.persistent else own)

    def _protocol(self, reader: HeaderReader) -> str:
        number = reader.varint()
        name = _PROTOCOLS.get(number)
        if name is None:
            what = f"unknown serialization id {number} (known: {_known()})"
            raise BadHeader(what, ApplicationCode.INVALID_PROTOCOL)
        return name

    def _compressed(self, reader: HeaderReader) -> bool:
        count = reader.varint()
        if count > 1:
            # There is only one transform, and nested compression would allow a decompression bomb.
            raise BadHeader(f"{count} transforms, at most 1 is supported", ApplicationCode.INVALID_TRANSFORM)
        if count == 1 and (number := reader.varint()) != _ZLIB:
            what = f"unknown transform id {number} (known: {_ZLIB} zlib)"
            raise BadHeader(what, ApplicationCode.INVALID_TRANSFORM)
        return count == 1

    def _metadata(self, reader: HeaderReader) -> Metadata:
        own: dict[str, str] = {}
        persistent: dict[str, str] = {}
        while not reader.is_at_end:
            info = reader.varint()
            if info == _PAIRS:
                reader.pairs(own, self._texts)
            elif info == _KEPT_PAIRS:
                reader.pairs(persistent, self._texts)
            else:
                break
        if persistent:
            self._keep(persistent)
        if not self.persistent and not own:
            return NO_METADATA
        # Read-only, because the next frame may share it.
        return MappingProxyType({**self.persistent, **own})

    def _keep(self, pairs: dict[str, str]) -> None:
        together = {**self.persistent, **pairs}
        size = sum(len(key) + len(value) for key, value in together.items())
        # The maximum of one header, so that a connection cannot accumulate more with many frames.
        if size > MAX_HEADER or len(together) > self._limits.max_container:
            found = f"{plural(len(together), 'pair')} with {plural(size, 'character')}"
            raise BadHeader(
                f"persistent metadata has {found}: the limits are max_container={self._limits.max_container} and "
                f"{MAX_HEADER} characters"
            )
        self.persistent = together

    def _bare(self, frame: bytes, start: int) -> bytes:
        size, most = len(frame) - start, self._limits.max_message
        if size > most:
            raise BadHeader(f"the message has {plural(size, 'byte')}: the limit is max_message={most}")
        return frame[start:]

    def _unpack(self, frame: bytes, start: int) -> bytes:
        limits = self._limits
        # The message counts towards the memory budget of its values, so no more than the budget is decompressed.
        budget = budget_of(limits, len(frame))
        most = min(limits.max_message, budget)
        unpacking = zlib.decompressobj()
        try:
            with memoryview(frame) as view:
                message = unpacking.decompress(view[start:], most + 1)
        except zlib.error as error:
            raise BadHeader(f"cannot decompress zlib data: {error}") from None
        if len(message) > most and budget < limits.max_message:
            raise BadHeader(over_decoded(most, len(frame), limits).what)
        if len(message) > most:
            raise BadHeader(f"the decompressed message exceeds max_message={most}")
        if not unpacking.eof:
            raise BadHeader("incomplete zlib data")
        if unpacking.unused_data:
            raise BadHeader(f"{plural(len(unpacking.unused_data), 'trailing byte')} after zlib data")
        return message


def _known() -> str:
    return ", ".join(f"{number} {name}" for number, name in _PROTOCOLS.items())
