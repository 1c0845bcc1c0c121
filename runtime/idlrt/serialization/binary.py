"""Thrift's binary protocol: fixed-size big-endian numbers; fields are preceded by type and id.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

from idlrt.errors import LocalProtocolError
from idlrt.serialization._binary_input import BinaryInput
from idlrt.serialization._binary_layout import MINIMUM_SIZES
from idlrt.serialization._binary_reader import compile_many_reader, compile_record_reader, compile_struct_reader
from idlrt.serialization._binary_values import PADDING, Read, Reader, ReadMany
from idlrt.serialization._binary_writer import Nested, Write, compile_record_writer, compile_struct_writer
from idlrt.serialization._decoded_size import costs_of_class, costs_of_record
from idlrt.serialization._reading import Fast, Reading
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization._walk_reader import WalkReader
from idlrt.serialization.base import DEFAULT_LIMITS, Backend, Limits, RecordCodec
from idlrt.serialization.errors import trailing_bytes
from idlrt.serialization.explain import WRITE_ERRORS, explain_record, explain_struct
from idlrt.serialization.options import WriteErrors, write_errors_of
from idlrt.spec import Field

__all__ = ["BinarySerialization"]

T = TypeVar("T")

_join = b"".join


class BinarySerialization(TableSerialization):
    """The binary protocol, a `Serialization`.

    Args:
        limits: what is accepted when reading.
        backend: who reads and writes; the best there is, if not given.
    """

    name = "binary"

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, backend: Backend | None = None) -> None:
        super().__init__(limits, backend=backend)
        self._walk = WalkReader(BinaryInput, limits)

    def _make_struct(self, cls: type[T]) -> _Codec[T]:
        return _Codec(cls, self, self._walk)

    def _make_record(self, fields: tuple[Field[Any], ...], defaults: tuple[Any, ...], label: str) -> RecordCodec:
        return _RecordCodec(fields, defaults, label, self, self._walk)

    def codec(self, cls: type[T]) -> _Codec[T]:
        """Return the Python codec of a class, for codecs of classes that refer to it."""
        return cast("_Codec[T]", self.struct(cls))


def _padded(read: Read, max_depth: int) -> Fast:
    """Return a reader of bytes without padding."""

    def fast(data: bytes, start: int) -> tuple[Any, int]:
        return read(data + PADDING, start, len(data), max_depth)

    return fast


class _Codec(Generic[T]):
    """Codec of a class: a `StructCodec`, and the functions that other codecs call."""

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

    def __init__(self, cls: type[T], protocol: BinarySerialization, walk: WalkReader) -> None:
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
        """Reader of consecutive values, compiled on first use."""
        if self._read_many is None:
            self._read_many = compile_many_reader(self._cls, _reader(self._cls.__name__, self._protocol), self.read)
        return self._read_many

    @property
    def write_many(self) -> Write:
        """Writer of consecutive values, compiled on first use."""
        if self._write_many is None:
            self._write_many = compile_struct_writer(
                self._cls, _nested_writers(self._protocol), self._protocol.limits, is_many=True
            )
        return self._write_many

    def encode(self, value: T) -> bytes:
        """Return the bytes of `value`."""
        parts: list[bytes] = []
        try:
            self.write(value, parts, self._max_depth)
            return _join(parts)
        except WRITE_ERRORS as error:
            raise LocalProtocolError(explain_struct(value, error, self._max_depth, self._text_errors)) from error

    def decode(self, data: bytes, start: int = 0) -> tuple[T, int]:
        """Return the value at `start`, and the offset after it."""
        return self._reading.decode(data, start)

    def decode_whole(self, data: bytes, /) -> T:
        """Return the value of which `data` consists."""
        value, end = self.decode(data)
        if end != len(data):
            raise trailing_bytes(self._cls.__name__, end, len(data))
        return value


class _RecordCodec:
    """Codec of a record, a `RecordCodec`."""

    __slots__ = ("_fields", "_label", "_max_depth", "_reading", "_text_errors", "_write")

    def __init__(
        self,
        fields: tuple[Field[Any], ...],
        defaults: tuple[Any, ...],
        label: str,
        protocol: BinarySerialization,
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
        """Return the bytes of `values`, in table order; `None` is omitted."""
        parts: list[bytes] = []
        try:
            self._write(values, parts, self._max_depth)
            return _join(parts)
        except WRITE_ERRORS as error:
            raise LocalProtocolError(
                explain_record(self._fields, values, error, self._max_depth, self._label, self._text_errors)
            ) from error

    def decode(self, data: bytes, start: int = 0, received: int = 0) -> tuple[tuple[Any, ...], int]:
        """Return a value for each field in table order, and the offset after them."""
        return self._reading.decode(data, start, received)

    def decode_measured(self, data: bytes, start: int = 0, received: int = 0) -> tuple[tuple[Any, ...], int, int]:
        """Decode as `decode`; also return an upper bound of the memory of the values, in bytes."""
        return self._reading.decode_measured(data, start, received)


def _reader(label: str, protocol: BinarySerialization) -> Reader:
    def nested(cls: type[Any]) -> Read:
        return protocol.codec(cls).read

    def nested_many(cls: type[Any]) -> ReadMany:
        return protocol.codec(cls).read_many

    return Reader(label, protocol.limits, nested, nested_many)


def _nested_writers(protocol: BinarySerialization) -> Nested:
    def nested(cls: type[Any], is_many: bool) -> Write:
        codec = protocol.codec(cls)
        return codec.write_many if is_many else codec.write

    return nested
