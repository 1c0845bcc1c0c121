"""What can be wrong with bytes, and where: every error of reading, for all protocols and both backends.

A reader raises a `Fault`, which knows only what is wrong at an offset. On its way out each value that was
being read adds its step (`.name`, `[3]`), and who was asked to read adds the root: the text is then
`cannot read Order.items[3].name: it needs 12 bytes at offset 40, 5 are left`. Nothing is paid for that
while nothing goes wrong.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.errors import RemoteProtocolError
from idlrt.serialization.types import TypeId

__all__ = [
    "EXPANSION_FLOOR",
    "Fault",
    "NotFast",
    "at_element",
    "at_field",
    "at_key",
    "at_value",
    "bad_text",
    "bad_union",
    "colliding",
    "goes_on",
    "missing",
    "out_of_range",
    "over_decoded",
    "over_limit",
    "over_long",
    "too_deep",
    "too_long",
    "too_short",
    "unexpected",
    "unknown_type",
    "whole",
    "wrong_elements",
]

_BRIEF = 40

EXPANSION_FLOOR: Final = 4 << 20
"""Bytes of memory that the values of any message may take, however short it is."""


class Fault(Exception):
    """What is wrong. Never leaves `idlrt.serialization`: `whole` makes the error of it.

    Attributes:
        what: the words behind `cannot read ...: `.
        path: the steps that lead to the value, innermost first.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []


class NotFast(Exception):
    """A fast reader met what only a careful one reads. Never leaves `idlrt.serialization`."""


def whole(fault: Fault, root: str) -> RemoteProtocolError:
    """The error that a caller sees.

    Args:
        root: what was to be read, for example the name of a class.
    """
    return RemoteProtocolError(f"cannot read {root}{''.join(reversed(fault.path))}: {fault.what}")


def goes_on(root: str, end: int, size: int) -> RemoteProtocolError:
    """The error for `size` bytes that should be one value, which ends at the offset `end`."""
    return RemoteProtocolError(f"cannot read {root}: it ends at offset {end}, {size - end} bytes follow")


# Steps of a path.


def at_field(name: str) -> str:
    """The step to a field."""
    return f".{name}"


def at_element(index: int) -> str:
    """The step to an element of a list or set, counted from 0 in the order of the wire."""
    return f"[{index}]"


def at_key(index: int) -> str:
    """The step to the key of a pair of a map, counted likewise."""
    return f"[key {index}]"


def at_value(key: Any) -> str:
    """The step to the value of a key."""
    return f"[{_brief(repr(key))}]"


# What is wrong.


def too_short(offset: int, wanted: int, end: int) -> Fault:
    """The message ends within a value: `wanted` bytes should stand at `offset`, and `end` is where it ends."""
    return Fault(f"it needs {wanted} bytes at offset {offset}, {max(end - offset, 0)} are left")


def over_limit(offset: int, value: int, limit: str, most: int) -> Fault:
    """A length is more than this side accepts."""
    return Fault(f"{value} at offset {offset} is over the limit {limit}={most}")


def over_decoded(offset: int, received: int, limits: Any) -> Fault:
    """The values of a message need more memory than this side accepts.

    Args:
        offset: up to which the message was read.
        received: its bytes, as they arrived.
        limits: `Limits`, or what has its `max_decoded` and `max_expansion`.
    """
    if limits.max_decoded <= EXPANSION_FLOOR + limits.max_expansion * received:
        return Fault(f"decoded values at offset {offset} exceed the limit max_decoded={limits.max_decoded}")
    most = f"{EXPANSION_FLOOR} bytes plus max_expansion={limits.max_expansion} times the {received} bytes received"
    return Fault(f"decoded values at offset {offset} exceed {most}")


def colliding(offset: int) -> Fault:
    """Keys of a set or map were made to collide (see `_hash_probes`)."""
    return Fault(f"too many hash collisions between keys at offset {offset}")


def too_long(most: int) -> Fault:
    """A message without a length in front goes on behind what this side accepts. How far is not known yet."""
    return Fault(f"it has more than {most} bytes, and is over the limit max_message={most}")


def too_deep(offset: int, most: int) -> Fault:
    """Values are nested deeper than this side accepts."""
    return Fault(f"nesting at offset {offset} is over the limit max_depth={most}")


def missing(offset: int, name: str) -> Fault:
    """A required field did not come; its struct ends at `offset`."""
    return Fault(f"its required field {name!r} is missing (it ends at offset {offset})")


def wrong_elements(offset: int, got: int, wanted: int, got2: int = 0, wanted2: int = 0) -> Fault:
    """A container holds values of another type than the IDL says.

    Args:
        got: the type of the elements; of a map `got` of its keys and `got2` of its values. As in `unknown_type`.
    """
    got_text = _name(got) if not wanted2 else f"{_name(got)} and {_name(got2)}"
    wanted_text = _name(wanted) if not wanted2 else f"{_name(wanted)} and {_name(wanted2)}"
    return Fault(f"its elements at offset {offset} are {got_text}, not {wanted_text}")


def unknown_type(offset: int, number: int) -> Fault:
    """A type number that the protocol does not have.

    Args:
        number: below zero if the protocol's own numbers are not those of `TypeId`: minus the protocol's number.
    """
    return Fault(f"there is no type {abs(number)} (at offset {offset})")


def over_long(offset: int, most: int) -> Fault:
    """A number of variable length, which starts at `offset`, goes on after the bytes that any number takes."""
    return Fault(f"its number at offset {offset} is longer than {most} bytes")


def out_of_range(offset: int, value: int | str, type: str) -> Fault:
    """A number, which starts at `offset`, is more or less than its type (`i16`, `size`) holds."""
    return Fault(f"its number {_brief(str(value))} at offset {offset} does not fit {type}")


def unexpected(offset: int, wanted: str, got: str) -> Fault:
    """Text of another form stands at `offset` than the protocol has there."""
    return Fault(f"it needs {wanted} at offset {offset}, not {_brief(got)}")


def bad_text(offset: int, error: UnicodeDecodeError) -> Fault:
    """A string, whose bytes start at `offset`, is not UTF-8."""
    return Fault(
        f"its text at offset {offset} is not utf-8: {error.reason} at byte {error.start} of {len(error.object)}"
    )


def bad_union(offset: int, error: Exception) -> Fault:
    """A class refuses the values that came; its struct ends at `offset`."""
    return Fault(f"{error} (it ends at offset {offset})")


def _brief(text: str) -> str:
    return text if len(text) <= _BRIEF else text[: _BRIEF - 3] + "..."


def _name(number: int) -> str:
    return TypeId(number).name.lower() if number in TypeId._value2member_map_ else f"type {abs(number)}"
