"""Fields that only a newer peer knows, kept in the value that came with them so that they can be written again.

Every generated class has a slot for them that is no field: construction, JSON and the equality of structs know nothing
of it. It holds one `bytes`, so what is kept is never much more than what came: the number of the protocol that the
values are written in (`idlrt.serialization` numbers them), then for each field its id (2 bytes), its type (1 byte, a
`TypeId`), the size of its value (4 bytes, all big-endian), and its value. A boolean has the form of an element of a
list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

__all__ = ["UNKNOWN", "KeepsUnknown", "rebuilt", "set_unknown", "unknown_ids", "unknown_of", "unknown_records"]

UNKNOWN: Final = "__thrift_unknown__"
"""The name of the slot. No field of an IDL can be called so: names that begin and end so are Python's."""

_HEAD: Final = 7


class KeepsUnknown:
    """A base of generated structs: the slot, and copies that keep what is in it.

    `copy.copy`, `copy.deepcopy`, `copy.replace` and `pickle` do; `msgspec.structs.replace` makes a value without.
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
    """What is kept in a value; `None` if nothing is, or if it is of no generated class."""
    kept: bytes | None = getattr(value, UNKNOWN, None)
    return kept


def set_unknown(value: Any, kept: bytes) -> None:
    """Keep `kept` in a value of a generated class, a frozen one too."""
    getattr(value.__class__, UNKNOWN).__set__(value, kept)


def unknown_records(kept: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields that are kept: id, type, value."""
    at = 1
    while at < len(kept):
        start = at + _HEAD
        end = start + int.from_bytes(kept[at + 3 : start])
        yield int.from_bytes(kept[at : at + 2], signed=True), kept[at + 2], kept[start:end]
        at = end


def unknown_ids(value: Any) -> list[int]:
    """The ids of the fields that are kept in a value."""
    return [id for id, _, _ in unknown_records(unknown_of(value) or b"")]


def rebuilt(make: Callable[..., Any], arguments: tuple[Any, ...], kept: bytes) -> Any:
    """A value with what is kept in it, of what `__reduce__` of `msgspec.Struct` says."""
    made = make(*arguments)
    set_unknown(made, kept)
    return made
