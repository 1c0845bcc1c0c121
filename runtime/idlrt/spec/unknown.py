"""Unknown fields: fields sent by a newer peer, preserved in the decoded value so that they can be written back.

Every generated class has a slot for them. The slot is not a field: construction, JSON and the equality of structs
ignore it. It holds one `bytes`, so that memory stays proportional to the received message: the number of the protocol
in which the values are encoded (`idlrt.serialization` numbers them), then for each field its id (2 bytes), its type (1
byte, a `TypeId`), the size of its value (4 bytes, all big-endian), and the value. Booleans are encoded as in lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

__all__ = ["UNKNOWN", "KeepsUnknown", "rebuilt", "set_unknown", "unknown_ids", "unknown_of", "unknown_records"]

UNKNOWN: Final = "__thrift_unknown__"
"""Name of the slot. It cannot clash with a field: names with two leading and trailing underscores are reserved."""

_HEAD: Final = 7


class KeepsUnknown:
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
            kept = unknown_of(self)
            if kept is not None:
                set_unknown(made, kept)
            return made

        def __replace__(self, /, **changes: Any) -> Any:
            from msgspec.structs import replace

            kept = unknown_of(self)
            made = replace(self, **changes)
            if kept is not None:
                set_unknown(made, kept)
            return made

        def __reduce__(self) -> tuple[Any, ...]:
            make, arguments = super().__reduce__()
            kept = unknown_of(self)
            return (make, arguments) if kept is None else (rebuilt, (make, arguments, kept))


def unknown_of(value: Any) -> bytes | None:
    """Return the encoded unknown fields of a value; `None` if it has none or is not of a generated class."""
    kept: bytes | None = getattr(value, UNKNOWN, None)
    return kept


def set_unknown(value: Any, kept: bytes) -> None:
    """Store encoded unknown fields in a value of a generated class, including frozen ones."""
    getattr(value.__class__, UNKNOWN).__set__(value, kept)


def unknown_records(kept: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Iterate over encoded unknown fields: id, type, value."""
    at = 1
    while at < len(kept):
        start = at + _HEAD
        end = start + int.from_bytes(kept[at + 3 : start])
        yield int.from_bytes(kept[at : at + 2], signed=True), kept[at + 2], kept[start:end]
        at = end


def unknown_ids(value: Any) -> list[int]:
    """Return the ids of the unknown fields of a value."""
    return [id for id, _, _ in unknown_records(unknown_of(value) or b"")]


def rebuilt(make: Callable[..., Any], arguments: tuple[Any, ...], kept: bytes) -> Any:
    """Reconstruct a value from the result of `msgspec.Struct.__reduce__` and its unknown fields (for `pickle`)."""
    made = make(*arguments)
    set_unknown(made, kept)
    return made
