"""Interface of a protocol for codecs that walk field tables: the start and end of fields, containers and numbers.

Types are numbers of `TypeId`. The bytes may say other numbers, too; those of a protocol that numbers types in its
own way are then below zero (see `errors.unknown_type`).
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Protocol

__all__ = ["Input", "Output", "bytes_of"]


class Input(Protocol):
    """Read primitives over bytes. Types are numbers of `TypeId`, or unknown numbers from the wire.

    Every method raises a `DecodeError` where the bytes do not go on as the protocol has it. After that nothing
    more may be asked.

    Attributes:
        offset: what is read next.
        end: where the bytes end.
        depth: how many structs may still begin, at first one more than `Limits.max_depth`: the outermost one.
        PROTOCOL: the name of the protocol.
        budget: bytes of memory that values may still take, set by the reader that counts (`_decoded_size`).
        received: bytes of the message as they arrived, likewise.
        MINIMUM: type → bytes that a value of it takes at least, as an element; knows all types there are.
        FIELD_HEAD: bytes that the head of a field takes at least.
        CLOSES_FIELDS: whether `end_field` does anything.
    """

    offset: int
    end: int
    depth: int
    PROTOCOL: ClassVar[str]
    budget: int = 0
    received: int = 0
    MINIMUM: ClassVar[dict[int, int]]
    FIELD_HEAD: ClassVar[int]
    CLOSES_FIELDS: ClassVar[bool]

    def begin_struct(self) -> int:
        """Start a struct; return the state for `end_struct`."""
        ...

    def field(self) -> tuple[int, int]:
        """Read the head of the next field: type and id. `(0, ...)` at the end of the struct, which is not consumed."""
        ...

    def end_field(self) -> None:
        """Finish the value of a field."""
        ...

    def end_struct(self, state: int) -> None:
        """Consume the end of the struct, which `field` has reported."""
        ...

    def list_head(self) -> tuple[int, int]:
        """Read the head of a list or set: element type and length."""
        ...

    def end_list(self) -> None:
        """Finish a list or set."""
        ...

    def map_head(self) -> tuple[int, int, int]:
        """Read the head of a map: key type, value type and length."""
        ...

    def end_map(self) -> None:
        """Finish a map."""
        ...

    def read_field_bool(self) -> bool:
        """Read a boolean that is the value of a field."""
        ...

    def read_bool(self) -> bool:
        """Read or write a boolean that is an element, a key or a value."""
        ...

    def read_i8(self) -> int: ...
    def read_i16(self) -> int: ...
    def read_i32(self) -> int: ...
    def read_i64(self) -> int: ...
    def read_double(self) -> float: ...
    def read_string(self) -> str: ...
    def read_binary(self) -> bytes: ...
    def read_uuid(self) -> uuid.UUID: ...

    def skip(self, type: int, is_field: bool) -> None:
        """Skip a value of a scalar type."""
        ...

    def passed_field(self, start: int) -> bytes:
        """Return the bytes of a skipped field value from `start` on; a boolean as an element."""
        ...


class Output(Protocol):
    """Write primitives. Types are numbers of `TypeId`.

    Attributes:
        depth: how many structs may still begin, at first one more than `Limits.max_depth`: the outermost one.
        PROTOCOL: the name of the protocol.
        CLOSES_FIELDS: whether `end_field` does anything.
    """

    depth: int
    PROTOCOL: ClassVar[str]
    CLOSES_FIELDS: ClassVar[bool]

    def begin_struct(self) -> int:
        """Start a struct; return the state for `end_struct`."""
        ...

    def field(self, type: int, id: int) -> None:
        """Write the head of a field that is not boolean."""
        ...

    def write_field_bool(self, id: int, value: Any) -> None:
        """Write a boolean field: head and value."""
        ...

    def end_field(self) -> None:
        """Finish the value of a field."""
        ...

    def end_struct(self, state: int) -> None:
        """Finish a struct."""
        ...

    def begin_list(self, element: int, length: int) -> None:
        """Write the head of a list or set."""
        ...

    def end_list(self) -> None:
        """Finish a list or set."""
        ...

    def begin_map(self, key: int, value: int, length: int) -> None:
        """Write the head of a map."""
        ...

    def end_map(self) -> None:
        """Finish a map."""
        ...

    def write_bool(self, value: Any) -> None:
        """Read or write a boolean that is an element, a key or a value."""
        ...

    def write_i8(self, value: Any) -> None: ...
    def write_i16(self, value: Any) -> None: ...
    def write_i32(self, value: Any) -> None: ...
    def write_i64(self, value: Any) -> None: ...
    def write_double(self, value: Any) -> None: ...
    def write_string(self, value: Any) -> None: ...
    def write_binary(self, value: Any) -> None: ...
    def write_uuid(self, value: Any) -> None: ...

    def write_passed(self, data: bytes) -> None:
        """Write a field value as `Input.passed_field` returned it."""
        ...

    def taken(self) -> bytes:
        """Return the bytes written so far."""
        ...


def bytes_of(value: Any) -> bytes:
    """Return the bytes of any object with the buffer protocol, also of arrays and views of numbers."""
    return memoryview(value).tobytes()
