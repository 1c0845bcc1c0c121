"""Codecs that walk the field table over primitives, and the serialization base that builds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from idlrt.errors import LocalProtocolError
from idlrt.serialization._decoded_size import costs_of_class, costs_of_record
from idlrt.serialization._reading import Reading
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization._walk_reader import WalkReader
from idlrt.serialization._walk_writer import WalkWriter
from idlrt.serialization.base import DEFAULT_LIMITS, Backend, Limits, RecordCodec, StructCodec
from idlrt.serialization.errors import trailing_bytes
from idlrt.serialization.explain import WRITE_ERRORS, explain_record, explain_struct
from idlrt.serialization.options import WriteErrors, write_errors_of
from idlrt.spec import Field

__all__ = ["WalkSerialization"]

T = TypeVar("T")


class WalkSerialization(TableSerialization):
    """A `TableSerialization` over primitives.

    Attributes:
        INPUT: the class of `_walk_primitives.Input`, made of `(data, offset, limits)`.
        OUTPUT: the class of `_walk_primitives.Output`, made of `(limits)`.
    """

    INPUT: ClassVar[type[Any]]
    OUTPUT: ClassVar[type[Any]]

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, backend: Backend | None = None) -> None:
        super().__init__(limits, backend=backend)
        self._readers = WalkReader(self.INPUT, limits, counts=False), WalkReader(self.INPUT, limits)
        self._writer = WalkWriter(self.OUTPUT, limits)

    def _make_struct(self, cls: type[T]) -> StructCodec[T]:
        fast, careful = self._readers
        minimum, head = self.INPUT.MINIMUM, self.INPUT.FIELD_HEAD
        reading = Reading(
            fast.fast(fast.struct(cls)),
            lambda: careful.struct(cls),
            lambda: costs_of_class(cls, minimum, head),
            cls.__name__,
            careful,
            self.limits,
        )
        return _StructCodec(cls, reading, self._writer, self.limits)

    def _make_record(self, fields: tuple[Field[Any], ...], defaults: tuple[Any, ...], label: str) -> RecordCodec:
        fast, careful = self._readers
        minimum, head = self.INPUT.MINIMUM, self.INPUT.FIELD_HEAD
        reading = Reading(
            fast.fast(fast.record(fields, defaults)),
            lambda: careful.record(fields, defaults),
            lambda: costs_of_record(fields, minimum, head),
            label,
            careful,
            self.limits,
        )
        return _RecordCodec(fields, label, reading, self._writer, self.limits)


class _StructCodec(Generic[T]):
    __slots__ = ("_label", "_max_depth", "_reading", "_text_errors", "_write", "_writer")

    def __init__(self, cls: type[T], reading: Reading, writer: WalkWriter, limits: Limits) -> None:
        self._label = cls.__name__
        self._max_depth = limits.max_depth
        self._text_errors: WriteErrors = write_errors_of(limits)
        self._reading = reading
        self._writer = writer
        self._write = writer.struct(cls)

    def encode(self, value: T) -> bytes:
        """Return the bytes of `value`."""
        try:
            return self._writer.write(self._write, value)
        except WRITE_ERRORS as error:
            raise LocalProtocolError(explain_struct(value, error, self._max_depth, self._text_errors)) from error

    def decode(self, data: bytes, start: int = 0) -> tuple[T, int]:
        """Return the value at `start`, and the offset after it."""
        return self._reading.decode(data, start)

    def decode_whole(self, data: bytes, /) -> T:
        """Return the value of which `data` consists."""
        value, end = self.decode(data)
        if end != len(data):
            raise trailing_bytes(self._label, end, len(data))
        return value


class _RecordCodec:
    __slots__ = ("_fields", "_label", "_max_depth", "_reading", "_text_errors", "_write", "_writer")

    def __init__(
        self, fields: tuple[Field[Any], ...], label: str, reading: Reading, writer: WalkWriter, limits: Limits
    ) -> None:
        self._fields = fields
        self._label = label
        self._max_depth = limits.max_depth
        self._text_errors: WriteErrors = write_errors_of(limits)
        self._reading = reading
        self._writer = writer
        self._write = writer.record(fields)

    def encode(self, values: Sequence[Any]) -> bytes:
        """Return the bytes of `values`, in table order; `None` is omitted."""
        try:
            return self._writer.write(self._write, values)
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
