"""Thrift's messages around values: a head, the values, and in JSON a tail.

The head has the kind of the message, the name of the method and a number that the answer repeats. It looks different
with each serialization: binary, compact, JSON. A serialization of another package that Thrift messages are to have
brings its envelope along, as a plugin of the group `idlrt.thrift_envelopes` under the serialization's name.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md and the pages of the protocols beside it.
"""

from __future__ import annotations

import functools
import struct
from abc import ABC, abstractmethod
from typing import Final, Protocol

from idlrt.plugins import Plugins
from idlrt.protocol.thrift._binary_scanner import BinaryScanner
from idlrt.protocol.thrift._compact_scanner import CompactScanner
from idlrt.protocol.thrift._json_scanner import JsonScanner
from idlrt.protocol.thrift.kinds import MessageHead, MessageKind
from idlrt.serialization._binary_input import BinaryInput
from idlrt.serialization._compact_input import CompactInput
from idlrt.serialization._compact_layout import PROTOCOL_ID, varint
from idlrt.serialization._compact_layout import VERSION as COMPACT_VERSION
from idlrt.serialization._json_input import JsonInput
from idlrt.serialization._json_layout import VERSION as JSON_VERSION
from idlrt.serialization._json_output import quoted
from idlrt.serialization.base import DEFAULT_LIMITS, Limits, Serialization
from idlrt.serialization.errors import Fault, whole
from idlrt.serialization.known import serialization
from idlrt.serialization.options import strict

__all__ = ["ENVELOPES", "BinaryEnvelope", "CompactEnvelope", "Envelope", "JsonEnvelope", "MessageScanner", "envelope"]

_VERSION: Final = 0x80010000
_pack_strict = struct.Struct(">II").pack
_pack_u32 = struct.Struct(">I").pack
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from
# A peer that makes names up cannot make this grow without end.
_HEADS_KEPT: Final = 1024
_KEPT_NAME: Final = 128
_KINDS: Final[dict[int, MessageKind]] = {kind.value: kind for kind in MessageKind}


class MessageScanner(Protocol):
    """Finds where a message ends that has no length in front. Resumes where it stopped: linear in bytes seen."""

    def scan(self, buffer: bytes | bytearray) -> int | None:
        """Return the offset after the message that starts at offset 0 of `buffer`; `None` while it is incomplete.

        Args:
            buffer: what it was at the last call, and more.

        Raises:
            RemoteProtocolError: it is no message, or over a limit.
        """
        ...


class Envelope(ABC):
    """Heads and tails of messages whose values have one serialization. Thread-safe; connections share it.

    Attributes:
        serialization: of the values.
        name: the serialization's.
        limits: the serialization's.
        tail: the bytes that close a message; there are none in most protocols.
    """

    tail = b""

    def __init__(self, serialization: Serialization) -> None:
        self.serialization: Final = serialization
        self.name: Final = serialization.name
        self.limits: Final = serialization.limits
        self._head_limits = strict(serialization.limits)  # names of methods are compared

    @abstractmethod
    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """Return the head of a message."""

    @abstractmethod
    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """Return the head that starts at `start`, and the offset after it.

        Raises:
            RemoteProtocolError: it is not one.
        """

    @abstractmethod
    def scanner(self) -> MessageScanner:
        """Return a scanner for one message, head and tail included."""

    def head_parts(self, kind: MessageKind, name: str) -> tuple[bytes, bytes] | None:
        """Return what stands in the head of a message before and after its sequence id.

        `None` if messages are not these parts around a number as the serialization has it, and values without a tail.
        """
        return None

    def unpack_tail(self, data: bytes, offset: int) -> int:
        """Return the offset after the message whose values end at `offset`.

        Raises:
            RemoteProtocolError: something else than the tail stands there.
        """
        return offset


class BinaryEnvelope(Envelope):
    """Messages of the binary protocol. Strict ones start with a version and their kind, old ones with the length of the
    method's name. Both are read.

    Args:
        is_strict: write strict messages, as every peer of the last fifteen years does.
    """

    def __init__(self, serialization: Serialization, *, is_strict: bool = True) -> None:
        super().__init__(serialization)
        self._is_strict = is_strict
        self._heads: dict[bytes, tuple[MessageKind, str]] = {}

    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """See `Envelope.pack_head`."""
        before, after = self.head_parts(kind, name)
        return before + _pack_u32(sequence_id & 0xFFFFFFFF) + after

    def head_parts(self, kind: MessageKind, name: str) -> tuple[bytes, bytes]:
        """See `Envelope.head_parts`."""
        data = name.encode()
        if self._is_strict:
            return _pack_strict(_VERSION | kind, len(data)) + data, b""
        return _pack_u32(len(data)) + data + bytes((kind,)), b""

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """See `Envelope.unpack_head`."""
        # The same few methods are called again and again: their heads are looked up whole.
        if len(data) - start >= 12 and data[start] & 0x80:
            (length,) = _unpack_u32(data, start + 4)
            end = start + 8 + length
            known = self._heads.get(data[start:end]) if length <= _KEPT_NAME else None
            if known is not None and end + 4 <= len(data):
                return MessageHead(known[0], known[1], _unpack_i32(data, end)[0]), end + 4
        try:
            return self._read_head(data, start)
        except Fault as fault:
            raise whole(fault, "the message's head") from None

    def _read_head(self, data: bytes, start: int) -> tuple[MessageHead, int]:
        source = BinaryInput(data, start, self._head_limits)
        first = source.read_i32()
        is_strict = first < 0
        if is_strict:
            if first & 0xFFFFFF00 != _VERSION:
                raise Fault(f"version {(first & 0xFFFFFFFF) >> 16:#x} is not binary's {_VERSION >> 16:#x}")
        else:
            source.offset = start
        name = source.read_string()
        end = source.offset
        number = first & 0xFF if is_strict else source.read_i8() & 0xFF
        kind = _KINDS.get(number)
        if kind is None:
            raise Fault(f"there is no kind of message {number}")
        if is_strict and end - start - 8 <= _KEPT_NAME and len(self._heads) < _HEADS_KEPT:
            self._heads[data[start:end]] = (kind, name)
        return MessageHead(kind, name, source.read_i32()), source.offset

    def scanner(self) -> BinaryScanner:
        """See `Envelope.scanner`."""
        return BinaryScanner(self.limits)


class CompactEnvelope(Envelope):
    """Messages of the compact protocol."""

    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """See `Envelope.pack_head`."""
        before, after = self.head_parts(kind, name)
        # As what its 32 bits are without a sign: not zigzag, unlike other numbers.
        return before + varint(sequence_id & 0xFFFFFFFF) + after

    def head_parts(self, kind: MessageKind, name: str) -> tuple[bytes, bytes]:
        """See `Envelope.head_parts`."""
        data = name.encode()
        return bytes((PROTOCOL_ID, COMPACT_VERSION | kind << 5)), varint(len(data)) + data

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """See `Envelope.unpack_head`."""
        source = CompactInput(data, start, self._head_limits)
        try:
            protocol_id = source.read_byte()
            if protocol_id != PROTOCOL_ID:
                raise Fault(f"{protocol_id:#04x} at offset {start} is not compact's {PROTOCOL_ID:#04x}")
            byte = source.read_byte()
            if byte & 0x1F != COMPACT_VERSION:
                raise Fault(f"version {byte & 0x1F} at offset {start + 1} is not compact's {COMPACT_VERSION}")
            kind = _KINDS.get(byte >> 5)
            if kind is None:
                raise Fault(f"there is no kind of message {byte >> 5} (at offset {start + 1})")
            number = source.read_u32()
            name = source.read_string()
        except Fault as fault:
            raise whole(fault, "the message's head") from None
        return MessageHead(kind, name, number - (number >> 31 << 32)), source.offset

    def scanner(self) -> CompactScanner:
        """See `Envelope.scanner`."""
        return CompactScanner(self.limits)


class JsonEnvelope(Envelope):
    """Messages of the JSON protocol: `[1,"name",1,7,{...}]`, that is, version, method, kind, sequence id, values."""

    tail = b"]"

    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """See `Envelope.pack_head`."""
        return b"[%d,%b,%d,%d," % (JSON_VERSION, quoted(name), kind, sequence_id)

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """See `Envelope.unpack_head`."""
        source = JsonInput(data, start, self._head_limits)
        try:
            source.expect(b"[")
            version = source.whole(32, "i32")
            if version != JSON_VERSION:
                raise Fault(f"version {version} before offset {source.offset} is not JSON's {JSON_VERSION}")
            source.expect(b",")
            name = source.text()
            source.expect(b",")
            number = source.whole(32, "i32")
            kind = _KINDS.get(number)
            if kind is None:
                raise Fault(f"there is no kind of message {number} (before offset {source.offset})")
            source.expect(b",")
            sequence_id = source.whole(32, "i32")
            source.expect(b",")
        except Fault as fault:
            raise whole(fault, "the message's head") from None
        return MessageHead(kind, name, sequence_id), source.offset

    def unpack_tail(self, data: bytes, offset: int) -> int:
        """See `Envelope.unpack_tail`."""
        source = JsonInput(data, offset, self.limits)
        try:
            source.expect(b"]")
        except Fault as fault:
            raise whole(fault, "the message's end") from None
        return source.offset

    def scanner(self) -> JsonScanner:
        """See `Envelope.scanner`."""
        return JsonScanner(self.limits)


ENVELOPES: Final[Plugins[Envelope]] = Plugins("idlrt.thrift_envelopes")


def envelope(name: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """Return the envelope of the serialization of this name and these limits; connections share it.

    Raises:
        UnknownPlugin: there is no serialization of that name, or none that Thrift messages can have.
    """
    return _envelope(name, limits)


@functools.lru_cache(maxsize=64)
def _envelope(name: str, limits: Limits) -> Envelope:
    values = serialization(name, limits)
    if name == "binary":  # linked: looking at all installed packages costs milliseconds
        return BinaryEnvelope(values)
    if name == "compact":
        return CompactEnvelope(values)
    return ENVELOPES.make(name, values)
