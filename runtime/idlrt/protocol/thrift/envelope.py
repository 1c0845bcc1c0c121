"""Message envelopes of Thrift: a header before the values, and in JSON a tail after them.

The header has the type of the message, the name of the method and a sequence id that the response repeats. Its encoding
depends on the serialization: binary, compact, JSON. A serialization of another package needs an envelope to be used in
Thrift messages: a plugin of the group `idlrt.thrift_envelopes` with the name of the serialization.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md and the pages of the protocols beside it.
"""

from __future__ import annotations

import functools
import struct
from abc import ABC, abstractmethod
from typing import Final, Protocol

from idlrt.plugins import Plugins
from idlrt.protocol.thrift._binary_scanner import BinaryScanner
from idlrt.protocol.thrift._compact_scanner import CompactScanner, not_compact, not_compact_version
from idlrt.protocol.thrift._json_scanner import JsonScanner
from idlrt.protocol.thrift.message_types import MessageHeader, MessageType
from idlrt.serialization._binary_input import BinaryInput
from idlrt.serialization._compact_input import CompactInput
from idlrt.serialization._compact_layout import PROTOCOL_ID, varint
from idlrt.serialization._compact_layout import VERSION as COMPACT_VERSION
from idlrt.serialization._json_input import JsonInput
from idlrt.serialization._json_layout import VERSION as JSON_VERSION
from idlrt.serialization._json_output import quoted
from idlrt.serialization.base import DEFAULT_LIMITS, Limits, Serialization
from idlrt.serialization.errors import DecodeError, public_error
from idlrt.serialization.known import serialization
from idlrt.serialization.options import strict

__all__ = ["ENVELOPES", "BinaryEnvelope", "CompactEnvelope", "Envelope", "JsonEnvelope", "MessageScanner", "envelope"]

_VERSION: Final = 0x80010000
_pack_strict = struct.Struct(">II").pack
_pack_u32 = struct.Struct(">I").pack
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from
# Limit of the cache, so that a peer that sends invented names cannot make it grow without bounds.
_HEADS_KEPT: Final = 1024
_KEPT_NAME: Final = 128
_KINDS: Final[dict[int, MessageType]] = {kind.value: kind for kind in MessageType}


class MessageScanner(Protocol):
    """Interface of scanners, which find the end of a message without a length prefix. Scanning resumes where it
    stopped, so its total cost is linear in the bytes received.
    """

    def scan(self, buffer: bytes | bytearray) -> int | None:
        """Return the offset after the message that starts at offset 0 of `buffer`; `None` while it is incomplete.

        Args:
            buffer: the buffer of the last call, with new bytes appended.

        Raises:
            RemoteProtocolError: the message is invalid, or exceeds a limit.
        """
        ...


class Envelope(ABC):
    """Headers and tails of messages with one serialization. Thread-safe; connections share it.

    Attributes:
        serialization: serialization of the values.
        name: name of the serialization.
        limits: limits of the serialization.
        tail: bytes that end a message; empty in most serializations.
    """

    tail = b""

    def __init__(self, serialization: Serialization) -> None:
        self.serialization: Final = serialization
        self.name: Final = serialization.name
        self.limits: Final = serialization.limits
        self._head_limits = strict(serialization.limits)  # method names are compared, so they must be valid UTF-8

    @abstractmethod
    def pack_head(self, kind: MessageType, name: str, sequence_id: int) -> bytes:
        """Return the header of a message."""

    @abstractmethod
    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHeader, int]:
        """Return the header that starts at `start`, and the offset after it.

        Raises:
            RemoteProtocolError: it is invalid or incomplete.
        """

    @abstractmethod
    def scanner(self) -> MessageScanner:
        """Return a scanner for one message, including header and tail."""

    def head_parts(self, kind: MessageType, name: str) -> tuple[bytes, bytes] | None:
        """Return the parts of the header before and after the sequence id.

        `None` unless messages consist of these parts around a number in the encoding of the serialization, and of
        values without a tail.
        """
        return None

    def unpack_tail(self, data: bytes, offset: int) -> int:
        """Return the offset after the message whose values end at `offset`.

        Raises:
            RemoteProtocolError: there is no tail at `offset`.
        """
        return offset


class BinaryEnvelope(Envelope):
    """Messages of the binary protocol. Strict messages start with a version and a message type, old ones with the
    length of the method name. Both are read.

    Args:
        serialization: serialization of the values.
        is_strict: whether to write strict messages, as all implementations of the last fifteen years do.
    """

    def __init__(self, serialization: Serialization, *, is_strict: bool = True) -> None:
        super().__init__(serialization)
        self._is_strict = is_strict
        self._heads: dict[bytes, tuple[MessageType, str]] = {}

    def pack_head(self, kind: MessageType, name: str, sequence_id: int) -> bytes:
        before, after = self.head_parts(kind, name)
        return before + _pack_u32(sequence_id & 0xFFFFFFFF) + after

    def head_parts(self, kind: MessageType, name: str) -> tuple[bytes, bytes]:
        data = name.encode()
        if self._is_strict:
            return _pack_strict(_VERSION | kind, len(data)) + data, b""
        return _pack_u32(len(data)) + data + bytes((kind,)), b""

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHeader, int]:
        # The headers of the few methods that a connection calls are cached.
        if len(data) - start >= 12 and data[start] & 0x80:
            (length,) = _unpack_u32(data, start + 4)
            end = start + 8 + length
            known = self._heads.get(data[start:end]) if length <= _KEPT_NAME else None
            if known is not None and end + 4 <= len(data):
                return MessageHeader(known[0], known[1], _unpack_i32(data, end)[0]), end + 4
        try:
            return self._read_head(data, start)
        except DecodeError as error:
            raise public_error(error, "message header") from None

    def _read_head(self, data: bytes, start: int) -> tuple[MessageHeader, int]:
        source = BinaryInput(data, start, self._head_limits)
        first = source.read_i32()
        is_strict = first < 0
        if is_strict:
            if first & 0xFFFFFF00 != _VERSION:
                raise DecodeError(f"unsupported version {first & 0xFFFFFF00:#x}, the binary protocol has {_VERSION:#x}")
        else:
            source.offset = start
        name = source.read_string()
        end = source.offset
        number = first & 0xFF if is_strict else source.read_i8() & 0xFF
        kind = _KINDS.get(number)
        if kind is None:
            raise DecodeError(f"unknown message type {number}")
        if is_strict and end - start - 8 <= _KEPT_NAME and len(self._heads) < _HEADS_KEPT:
            self._heads[data[start:end]] = (kind, name)
        return MessageHeader(kind, name, source.read_i32()), source.offset

    def scanner(self) -> BinaryScanner:
        return BinaryScanner(self.limits)


class CompactEnvelope(Envelope):
    """Messages of the compact protocol."""

    def pack_head(self, kind: MessageType, name: str, sequence_id: int) -> bytes:
        before, after = self.head_parts(kind, name)
        # An unsigned varint of the 32 bits: not zigzag, unlike other numbers.
        return before + varint(sequence_id & 0xFFFFFFFF) + after

    def head_parts(self, kind: MessageType, name: str) -> tuple[bytes, bytes]:
        data = name.encode()
        return bytes((PROTOCOL_ID, COMPACT_VERSION | kind << 5)), varint(len(data)) + data

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHeader, int]:
        source = CompactInput(data, start, self._head_limits)
        try:
            protocol_id = source.read_byte()
            if protocol_id != PROTOCOL_ID:
                raise DecodeError(not_compact(start, protocol_id))
            byte = source.read_byte()
            if byte & 0x1F != COMPACT_VERSION:
                raise DecodeError(not_compact_version(start + 1, byte & 0x1F))
            kind = _KINDS.get(byte >> 5)
            if kind is None:
                raise DecodeError(f"unknown message type {byte >> 5} at offset {start + 1}")
            number = source.read_u32()
            name = source.read_string()
        except DecodeError as error:
            raise public_error(error, "message header") from None
        return MessageHeader(kind, name, number - (number >> 31 << 32)), source.offset

    def scanner(self) -> CompactScanner:
        return CompactScanner(self.limits)


class JsonEnvelope(Envelope):
    """Messages of the JSON protocol: `[1,"name",1,7,{...}]`, that is, version, method, type, sequence id, values."""

    tail = b"]"

    def pack_head(self, kind: MessageType, name: str, sequence_id: int) -> bytes:
        return b"[%d,%b,%d,%d," % (JSON_VERSION, quoted(name), kind, sequence_id)

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHeader, int]:
        source = JsonInput(data, start, self._head_limits)
        try:
            source.expect(b"[")
            version = source.whole(32, "i32")
            if version != JSON_VERSION:
                what = f"unsupported version {version} before offset {source.offset}"
                raise DecodeError(f"{what}, the JSON protocol has {JSON_VERSION}")
            source.expect(b",")
            name = source.text()
            source.expect(b",")
            number = source.whole(32, "i32")
            kind = _KINDS.get(number)
            if kind is None:
                raise DecodeError(f"unknown message type {number} before offset {source.offset}")
            source.expect(b",")
            sequence_id = source.whole(32, "i32")
            source.expect(b",")
        except DecodeError as error:
            raise public_error(error, "message header") from None
        return MessageHeader(kind, name, sequence_id), source.offset

    def unpack_tail(self, data: bytes, offset: int) -> int:
        source = JsonInput(data, offset, self.limits)
        try:
            source.expect(b"]")
        except DecodeError as error:
            raise public_error(error, "message end") from None
        return source.offset

    def scanner(self) -> JsonScanner:
        return JsonScanner(self.limits)


ENVELOPES: Final[Plugins[Envelope]] = Plugins("idlrt.thrift_envelopes")


def envelope(name: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """Return the shared envelope of a serialization with these limits.

    Raises:
        UnknownPlugin: the serialization is unknown, or has no envelope.
    """
    return _envelope(name, limits)


@functools.lru_cache(maxsize=64)
def _envelope(name: str, limits: Limits) -> Envelope:
    values = serialization(name, limits)
    if name == "binary":  # built in, because searching all installed packages takes milliseconds
        return BinaryEnvelope(values)
    if name == "compact":
        return CompactEnvelope(values)
    return ENVELOPES.make(name, values)
