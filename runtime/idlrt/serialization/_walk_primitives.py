"""What a protocol is to those who walk a table of fields: how a field, a container, a number begins and ends.

Types are numbers of `TypeId`. The bytes may say other numbers, too; those of a protocol that numbers types in its
own way are then below zero (see `faults.unknown_type`).
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Protocol

__all__ = ["Input", "Output", "bytes_of"]


class Input(Protocol):
    """Bytes that are read from the front. Types are numbers of `TypeId`, and others where the bytes say so.

    Every method raises a `Fault` where the bytes do not go on as the protocol has it. After that nothing
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
        """A struct begins; answers what `end_struct` wants back."""
        ...

    def field(self) -> tuple[int, int]:
        """The head of the next field: type and id. `(0, ...)` at the end of the struct, which stays unread."""
        ...

    def end_field(self) -> None:
        """The value of a field has been read."""
        ...

    def end_struct(self, state: int) -> None:
        """Pass the end of the struct that `field` saw."""
        ...

    def list_head(self) -> tuple[int, int]:
        """The head of a list or set: the type of the elements, and how many there are."""
        ...

    def end_list(self) -> None:
        """All elements have been read."""
        ...

    def map_head(self) -> tuple[int, int, int]:
        """The head of a map: the types of keys and values, and how many pairs there are."""
        ...

    def end_map(self) -> None:
        """All pairs have been read."""
        ...

    def read_field_bool(self) -> bool:
        """A boolean that is the value of a field."""
        ...

    def read_bool(self) -> bool:
        """A boolean that is an element, a key or a value."""
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
        """Pass a value of a type that is neither struct nor container."""
        ...

    def passed_field(self, start: int) -> bytes:
        """The bytes from `start` on of the value of a field that was passed; of a boolean, as an element has it."""
        ...


class Output(Protocol):
    """Bytes that are written one after the other. Types are numbers of `TypeId`.

    Attributes:
        depth: how many structs may still begin, at first one more than `Limits.max_depth`: the outermost one.
        PROTOCOL: the name of the protocol.
        CLOSES_FIELDS: whether `end_field` does anything.
    """

    depth: int
    PROTOCOL: ClassVar[str]
    CLOSES_FIELDS: ClassVar[bool]

    def begin_struct(self) -> int:
        """A struct begins; answers what `end_struct` wants back."""
        ...

    def field(self, type: int, id: int) -> None:
        """The head of a field that is no boolean."""
        ...

    def write_field_bool(self, id: int, value: Any) -> None:
        """A whole field that is a boolean."""
        ...

    def end_field(self) -> None:
        """The value of a field, a boolean too, has been written."""
        ...

    def end_struct(self, state: int) -> None:
        """All fields have been written."""
        ...

    def begin_list(self, element: int, length: int) -> None:
        """The head of a list or set."""
        ...

    def end_list(self) -> None:
        """All elements have been written."""
        ...

    def begin_map(self, key: int, value: int, length: int) -> None:
        """The head of a map."""
        ...

    def end_map(self) -> None:
        """All pairs have been written."""
        ...

    def write_bool(self, value: Any) -> None:
        """A boolean that is an element, a key or a value."""
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
        """The value of a field, as `Input.passed_field` gave it; of a boolean too."""
        ...

    def taken(self) -> bytes:
        """Everything that was written."""
        ...


def bytes_of(value: Any) -> bytes:
    """The bytes of anything that shows its bytes: arrays and views of numbers too."""
    return memoryview(value).tobytes()
