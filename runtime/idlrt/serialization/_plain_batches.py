"""Checks of whole lists of scalars in C, by msgspec.

A batch takes any iterable of a kind and returns a new list, or `None` where an element needs a closer look: the caller
then converts the elements one by one, which accepts more, and finds the element that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

import msgspec

__all__ = ["BITS", "Batch", "checked", "finite", "numbers_as_text", "texts"]

Batch: TypeAlias = Callable[[Any], list[Any] | None]

BITS: Final = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}


def _ranged(bits: int) -> Any:
    return Annotated[int, msgspec.Meta(ge=-(1 << bits - 1), le=(1 << bits - 1) - 1)]


# msgspec keeps what it knows of a struct, and would look at `list[...]` at each call.
_LISTS: Final[dict[str, Any]] = {
    name: msgspec.defstruct("Batch", [("items", list[element])])  # type: ignore[valid-type]
    for name, element in {
        "bool": bool,
        "double": float,
        **{name: _ranged(bits) for name, bits in BITS.items()},
    }.items()
}


def checked(name: str) -> Batch:
    """Return the batch of `bool`, `double` or an integer type."""
    cls = _LISTS[name]
    convert = msgspec.convert

    def batch(items: Any) -> list[Any] | None:
        try:
            found: list[Any] = convert({"items": items}, cls).items
        except msgspec.ValidationError:
            return None
        return found

    return batch


_DOUBLES: Final = checked("double")


def finite(items: Any) -> list[Any] | None:
    """Return doubles, if all of them are finite."""
    found = _DOUBLES(items)
    # A sum that overflows is of rare numbers: they are looked at one by one.
    return found if found is not None and math.isfinite(sum(found)) else None


def numbers_as_text(name: str) -> Batch:
    """Return the batch of an integer type that gives the texts of the numbers."""
    batch = checked(name)

    def as_text(items: Any) -> list[Any] | None:
        found = batch(items)
        return None if found is None else list(map(str, found))

    return as_text


def texts(items: Any) -> list[Any] | None:
    """Return strings, if all of them are Unicode text: without lone surrogates."""
    found = list(items)
    try:
        joined = "".join(found)
        if not joined.isascii():
            joined.encode()
    except (TypeError, UnicodeEncodeError):
        return None
    return found
