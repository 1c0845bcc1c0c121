"""Unknown fields: fields sent by a newer peer, preserved in the decoded value so that they can be written back.

Every generated class has a slot for them. The slot is not a field: construction, JSON and the equality of structs
ignore it. It holds one `bytes`, so that memory stays proportional to the received message: the number of the protocol
in which the values are encoded (`idlrt.serialization` numbers them), then for each field its id (2 bytes), its type (1
byte, a `TypeId`), the size of its value (4 bytes, all big-endian), and the value. Booleans are encoded as in lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

__all__ = ["UNKNOWN", "PreservesUnknown", "rebuild", "set_unknown", "unknown_ids", "unknown_of", "unknown_records"]

UNKNOWN: Final = "__thrift_unknown__"
"""Name of the slot. It cannot clash with a field: names with two leading and trailing underscores are reserved."""

_HEAD: Final = 7


class PreservesUnknown:
    """Mixin of generated structs: the slot for unknown fields, and copying that preserves it.

    `copy.copy`, `copy.deepcopy`, `copy.replace` and `pickle` preserve unknown fields; `msgspec.structs.replace` drops
    them.
    """

    if TYPE_CHECKING:
        __slots__ = ()
    else:
        __slots__ = (UNKNOWN,)

        def __copy__(self) -> Any:
            made = super().__copy__()
            encoded = unknown_of(self)
            if encoded is not None:
                set_unknown(made, encoded)
            return made

        def __replace__(self, /, **changes: Any) -> Any:
            from msgspec.structs import replace

            encoded = unknown_of(self)
            made = replace(self, **changes)
            if encoded is not None:
                set_unknown(made, encoded)
            return made

        def __reduce__(self) -> tuple[Any, ...]:
            make, arguments = super().__reduce__()
            encoded = unknown_of(self)
            return (make, arguments) if encoded is None else (rebuild, (make, arguments, encoded))


def unknown_of(value: Any) -> bytes | None:
    """Return the encoded unknown fields of a value; `None` if it has none or is not of a generated class."""
    encoded: bytes | None = getattr(value, UNKNOWN, None)
    return encoded


def set_unknown(value: Any, encoded: bytes) -> None:
    """Store encoded unknown fields in a value of a generated class, including frozen ones."""
    getattr(value.__class__, UNKNOWN).__set__(value, encoded)


def unknown_records(encoded: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Iterate over encoded unknown fields: id, type, value."""
    at = 1
    while at < len(encoded):
        start = at + _HEAD
        end = start + int.from_bytes(encoded[at + 3 : start])
        yield int.from_bytes(encoded[at : at + 2], signed=True), encoded[at + 2], encoded[start:end]
        at = end


def unknown_ids(value: Any) -> list[int]:
    """Return the ids of the unknown fields of a value."""
    return [id for id, _, _ in unknown_records(unknown_of(value) or b"")]


def rebuild(make: Callable[..., Any], arguments: tuple[Any, ...], encoded: bytes) -> Any:
    """Reconstruct a value from the result of `msgspec.Struct.__reduce__` and its unknown fields (for `pickle`)."""
    made = make(*arguments)
    set_unknown(made, encoded)
    return made
