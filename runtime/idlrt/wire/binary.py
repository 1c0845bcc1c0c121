"""Thrift's binary protocol, strict and old.

Strict messages start with a version and their kind; old ones with the length of the method's name. Both
are read; `strict` says which one is written.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

from idlrt.errors import LocalProtocolError
from idlrt.spec import Field
from idlrt.wire._binary_input import BinaryInput
from idlrt.wire._binary_layout import MINIMUM_SIZES
from idlrt.wire._binary_reader import compile_many_reader, compile_record_reader, compile_struct_reader
from idlrt.wire._binary_scanner import BinaryScanner
from idlrt.wire._binary_values import PADDING, Read, Reader, ReadMany
from idlrt.wire._binary_writer import Nested, Write, compile_record_writer, compile_struct_writer
from idlrt.wire._decoded_size import costs_of_class, costs_of_record
from idlrt.wire._reading import Fast, Reading
from idlrt.wire._tables import TableProtocol
from idlrt.wire._walk_reader import WalkReader
from idlrt.wire.explain import WRITE_ERRORS, explain_record, explain_struct
from idlrt.wire.faults import Fault, goes_on, whole
from idlrt.wire.options import WriteErrors, write_errors_of
from idlrt.wire.protocol import DEFAULT_LIMITS, Backend, Limits, MessageHead, RecordCodec
from idlrt.wire.types import MessageKind

__all__ = ["BinaryProtocol"]

T = TypeVar("T")

_VERSION = 0x80010000
_join = b"".join
_pack_strict = struct.Struct(">II").pack
_pack_u32 = struct.Struct(">I").pack
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from
# A peer that makes names up cannot make this grow without end.
_HEADS_KEPT = 1024
_KEPT_NAME = 128
_KINDS: dict[int, MessageKind] = {kind.value: kind for kind in MessageKind}


class BinaryProtocol(TableProtocol):
    """The binary protocol. See `WireProtocol`.

    Args:
        limits: what is accepted when reading.
        strict: write messages with a version in front, as every peer of the last fifteen years does.
        backend: who reads and writes; the best there is, if not given.
    """

    name = "binary"

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, strict: bool = True, backend: Backend | None = None) -> None:
        super().__init__(limits, backend=backend)
        self.strict = strict
        self._walk = WalkReader(BinaryInput, limits)
        self._heads: dict[bytes, tuple[MessageKind, str]] = {}

    def _make_struct(self, cls: type[T]) -> _Codec[T]:
        return _Codec(cls, self, self._walk)

    def _make_record(self, fields: tuple[Field[Any], ...], defaults: tuple[Any, ...], label: str) -> RecordCodec:
        return _RecordCodec(fields, defaults, label, self, self._walk)

    def codec(self, cls: type[T]) -> _Codec[T]:
        """The codec in Python of a class, for codecs of classes that refer to it."""
        return cast("_Codec[T]", self.struct(cls))

    def pack_head(self, kind: MessageKind, name: str, sequence_id: int) -> bytes:
        """See `WireProtocol.pack_head`."""
        before, after = self.head_parts(kind, name)
        return before + _pack_u32(sequence_id & 0xFFFFFFFF) + after

    def head_parts(self, kind: MessageKind, name: str) -> tuple[bytes, bytes]:
        """See `TableProtocol.head_parts`."""
        data = name.encode()
        if self.strict:
            return _pack_strict(_VERSION | kind, len(data)) + data, b""
        return _pack_u32(len(data)) + data + bytes((kind,)), b""

    def unpack_head(self, data: bytes, start: int = 0) -> tuple[MessageHead, int]:
        """See `WireProtocol.unpack_head`."""
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
        """See `WireProtocol.scanner`."""
        return BinaryScanner(self.limits)


def _padded(read: Read, max_depth: int) -> Fast:
    """What reads from bytes that have no padding yet."""

    def fast(data: bytes, start: int) -> tuple[Any, int]:
        return read(data + PADDING, start, len(data), max_depth)

    return fast


class _Codec(Generic[T]):
    """The codec of one class: a `StructCodec`, and the functions that other codecs call."""

    __slots__ = (
        "_cls",
        "_max_depth",
        "_protocol",
        "_read_many",
        "_reading",
        "_text_errors",
        "_write_many",
        "read",
        "write",
    )

    def __init__(self, cls: type[T], protocol: BinaryProtocol, walk: WalkReader) -> None:
        self._cls = cls
        self._protocol = protocol
        self._max_depth = protocol.limits.max_depth
        self._read_many: ReadMany | None = None
        self._write_many: Write | None = None
        self._text_errors: WriteErrors = write_errors_of(protocol.limits)
        self.write = compile_struct_writer(cls, _nested_writers(protocol), protocol.limits)
        self.read = compile_struct_reader(cls, _reader(cls.__name__, protocol))
        self._reading = Reading(
            _padded(self.read, self._max_depth),
            lambda: walk.struct(cls),
            lambda: costs_of_class(cls, MINIMUM_SIZES, BinaryInput.FIELD_HEAD),
            cls.__name__,
            walk,
            protocol.limits,
        )

    @property
    def read_many(self) -> ReadMany:
        """Reads values in a row; compiled when it is first needed."""
        if self._read_many is None:
            self._read_many = compile_many_reader(self._cls, _reader(self._cls.__name__, self._protocol), self.read)
        return self._read_many

    @property
    def write_many(self) -> Write:
        """Writes values in a row; compiled when it is first needed."""
        if self._write_many is None:
            self._write_many = compile_struct_writer(
                self._cls, _nested_writers(self._protocol), self._protocol.limits, is_many=True
            )
        return self._write_many

    def encode(self, value: T) -> bytes:
        """See `StructCodec.encode`."""
        parts: list[bytes] = []
        try:
            self.write(value, parts, self._max_depth)
            return _join(parts)
        except WRITE_ERRORS as error:
            raise LocalProtocolError(explain_struct(value, error, self._max_depth, self._text_errors)) from error

    def decode(self, data: bytes, start: int = 0) -> tuple[T, int]:
        """See `StructCodec.decode`."""
        return self._reading.decode(data, start)

    def decode_whole(self, data: bytes, /) -> T:
        """See `StructCodec.decode_whole`."""
        value, end = self.decode(data)
        if end != len(data):
            raise goes_on(self._cls.__name__, end, len(data))
        return value


class _RecordCodec:
    """A `RecordCodec`."""

    __slots__ = ("_fields", "_label", "_max_depth", "_reading", "_text_errors", "_write")

    def __init__(
        self,
        fields: tuple[Field[Any], ...],
        defaults: tuple[Any, ...],
        label: str,
        protocol: BinaryProtocol,
        walk: WalkReader,
    ) -> None:
        self._fields = fields
        self._label = label
        self._max_depth = protocol.limits.max_depth
        self._text_errors: WriteErrors = write_errors_of(protocol.limits)
        self._write = compile_record_writer(fields, _nested_writers(protocol), protocol.limits)
        read = compile_record_reader(fields, defaults, _reader(label, protocol))
        self._reading = Reading(
            _padded(read, self._max_depth),
            lambda: walk.record(fields, defaults),
            lambda: costs_of_record(fields, MINIMUM_SIZES, BinaryInput.FIELD_HEAD),
            label,
            walk,
            protocol.limits,
        )

    def encode(self, values: Sequence[Any]) -> bytes:
        """See `RecordCodec.encode`."""
        parts: list[bytes] = []
        try:
            self._write(values, parts, self._max_depth)
            return _join(parts)
        except WRITE_ERRORS as error:
            raise LocalProtocolError(
                explain_record(self._fields, values, error, self._max_depth, self._label, self._text_errors)
            ) from error

    def decode(self, data: bytes, start: int = 0, received: int = 0) -> tuple[tuple[Any, ...], int]:
        """See `RecordCodec.decode`."""
        return self._reading.decode(data, start, received)

    def decode_measured(self, data: bytes, start: int = 0, received: int = 0) -> tuple[tuple[Any, ...], int, int]:
        """See `RecordCodec.decode_measured`."""
        return self._reading.decode_measured(data, start, received)


def _reader(label: str, protocol: BinaryProtocol) -> Reader:
    def nested(cls: type[Any]) -> Read:
        return protocol.codec(cls).read

    def nested_many(cls: type[Any]) -> ReadMany:
        return protocol.codec(cls).read_many

    return Reader(label, protocol.limits, nested, nested_many)


def _nested_writers(protocol: BinaryProtocol) -> Nested:
    def nested(cls: type[Any], is_many: bool) -> Write:
        codec = protocol.codec(cls)
        return codec.write_many if is_many else codec.write

    return nested
