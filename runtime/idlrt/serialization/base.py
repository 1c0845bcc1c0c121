"""Interfaces of serializations: values to bytes and back. They know no messages, frames or sockets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.named import NamedMeta
from idlrt.spec import Field

__all__ = [
    "DEFAULT_LIMITS",
    "Backend",
    "Limits",
    "RecordCodec",
    "Serialization",
    "StructCodec",
]

T = TypeVar("T")

Backend: TypeAlias = Literal["native", "pure"]
"""Codec backend: native (C) or pure (Python)."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, metaclass=NamedMeta):
    """Limits on input, checked before memory is allocated.

    Attributes:
        max_frame: bytes of one frame on the wire, without its length. The default is Apache Thrift's.
        max_message: bytes of one message including its head, after decompression, with or without a frame.
        max_string: bytes of one string or binary value.
        max_container: elements of one list or set, pairs of one map.
        max_depth: nesting of structs. Enforced in writing too, so that a value which contains itself is an error.
        max_decoded: memory of the decoded values of one message, in bytes, including the message itself.
        max_expansion: memory of the decoded values in bytes per byte of the message on the wire (compressed, if it
            was), in addition to 4 MiB for any message. Usual messages need 5 to 50, wide structs without values 200,
            highly compressed messages more. The lower of the two limits applies.

    Raises:
        ConfigurationError: a limit is not a whole number of 0 or more.
    """

    max_frame: int = 16_384_000
    max_message: int = 16_384_000
    max_string: int = 16_384_000
    max_container: int = 16_384_000
    max_depth: int = 64
    max_decoded: int = 512 << 20
    max_expansion: int = 256

    def __post_init__(self) -> None:
        for name in Limits.__struct_fields__:
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ConfigurationError(f"{name} of Limits must be a whole number of 0 or more, not {value!r}")


DEFAULT_LIMITS = Limits()


class StructCodec(Protocol[T]):
    """Codec of a struct, union or exception class."""

    def encode(self, value: T) -> bytes:
        """Return the bytes of `value`.

        Raises:
            LocalProtocolError: the value cannot be written; the message has the path of the field.
        """
        ...

    def decode(self, data: bytes, start: int = 0) -> tuple[T, int]:
        """Return the value at `start`, and the offset after it.

        Raises:
            RemoteProtocolError: it cannot be read, or is over a limit.
        """
        ...

    def decode_whole(self, data: bytes, /) -> T:
        """Return the value of which `data` consists.

        Raises:
            RemoteProtocolError: as `decode`, or bytes go on after the value.
        """
        ...


class RecordCodec(Protocol):
    """Codec of a record: fields without a class, such as the arguments or the result of a call."""

    def encode(self, values: Sequence[Any]) -> bytes:
        """Return the bytes of `values`, one for each field in table order; `None` is omitted."""
        ...

    def decode(self, data: bytes, start: int = 0, received: int = 0) -> tuple[tuple[Any, ...], int]:
        """Return a value for each field in table order, defaults for absent ones; and the offset after.

        Args:
            received: bytes of the message as they arrived, if that is not what `data` has from `start` on.
        """
        ...

    def decode_measured(self, data: bytes, start: int = 0, received: int = 0) -> tuple[tuple[Any, ...], int, int]:
        """Decode as `decode`, and return an upper bound of the memory of the values in bytes (`_decoded_size`)."""
        ...


class Serialization(Protocol):
    """Conversion between values and bytes. An instance has limits, caches compiled codecs, and is thread-safe.

    Attributes:
        name: registered name.
        limits: limits on input.
    """

    name: str
    limits: Limits

    def struct(self, cls: type[T]) -> StructCodec[T]:
        """Return the codec of a generated class, compiled on first use."""
        ...

    def record(
        self, fields: tuple[Field[Any], ...], defaults: tuple[Any, ...] = (), label: str = "arguments"
    ) -> RecordCodec:
        """Return a codec of a record. `defaults` are for absent fields, each a value or a function that makes
        one, `None` where it is shorter. A required field that is absent is an error. Not kept: keep it where the
        fields are kept. Paths in messages start with `label`."""
        ...
