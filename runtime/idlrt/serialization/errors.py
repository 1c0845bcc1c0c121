"""Decode errors of all protocols and both backends, with their texts.

A reader raises a `DecodeError` with the offset and the cause. Each enclosing value adds a step to the path (`.name`,
`[3]`), and the public function adds the root: `cannot read Order.items[3].name: unexpected end of data at offset 40:
need 12 bytes, have 5`. Valid input pays nothing for paths.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.errors import RemoteProtocolError
from idlrt.printable import plural
from idlrt.serialization._sensitive import SensitiveText, hide_decoding, step_text
from idlrt.serialization.types import TypeId

__all__ = [
    "EXPANSION_FLOOR",
    "DecodeError",
    "NeedsSlowPath",
    "at_element",
    "at_field",
    "at_key",
    "at_value",
    "bad_text",
    "bad_union",
    "colliding",
    "missing",
    "out_of_range",
    "over_decoded",
    "over_limit",
    "over_long",
    "public_error",
    "too_deep",
    "too_long",
    "too_short",
    "trailing_bytes",
    "unexpected",
    "unknown_type",
    "wrong_elements",
]

_BRIEF = 40

EXPANSION_FLOOR: Final = 4 << 20
"""Memory in bytes that the values of any message may take, regardless of its length."""


class DecodeError(Exception):
    """A decode error inside a value. Internal: `public_error` converts it into the public error.

    Attributes:
        what: the text after `cannot read ...: `.
        path: steps to the value, innermost first.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []


class NeedsSlowPath(Exception):
    """The fast reader cannot handle this input; the careful one must read it. Internal to `idlrt.serialization`."""


def public_error(error: DecodeError, root: str) -> RemoteProtocolError:
    """Return the public error for a decode error.

    Args:
        root: start of the path, for example the name of a class.
    """
    path, what = error.path, error.what
    for place in range(len(path) - 1, -1, -1):
        if isinstance(path[place], SensitiveText):
            path, what = path[place:], hide_decoding(what)
            break
    return RemoteProtocolError(f"cannot read {root}{''.join(reversed(path))}: {what}")


def trailing_bytes(root: str, end: int, size: int) -> RemoteProtocolError:
    """Return the error for trailing bytes: a value ends at offset `end` of `size` bytes."""
    return RemoteProtocolError(f"cannot read {root}: {plural(size - end, 'trailing byte')} at offset {end}")


# Steps of a path.


def at_field(name: str) -> str:
    """Return the path step of a field; what is below it is not shown if the name is a `SensitiveText`."""
    return step_text(name)


def at_element(index: int) -> str:
    """Return the path step of an element of a list or set, counted from 0 in wire order."""
    return f"[{index}]"


def at_key(index: int) -> str:
    """Return the path step of a map key, counted from 0 in wire order."""
    return f"[key {index}]"


def at_value(key: Any) -> str:
    """Return the path step of the value of a map key."""
    return f"[{_brief(repr(key))}]"


# Causes.


def too_short(offset: int, wanted: int, end: int) -> DecodeError:
    """The data ends inside a value: `wanted` bytes are needed at `offset`, and the data ends at `end`."""
    have = max(end - offset, 0)
    return DecodeError(f"unexpected end of data at offset {offset}: need {plural(wanted, 'byte')}, have {have}")


def over_limit(offset: int, value: int, limit: str, most: int) -> DecodeError:
    """A length exceeds one of the `Limits`."""
    return DecodeError(f"{value} at offset {offset} exceeds the limit {limit}={most}")


def over_decoded(offset: int, received: int, limits: Any) -> DecodeError:
    """The decoded values of a message exceed the memory budget.

    Args:
        offset: end of the part that was read.
        received: size of the message on the wire, in bytes.
        limits: `Limits`, or an object with its `max_decoded` and `max_expansion`.
    """
    if limits.max_decoded <= EXPANSION_FLOOR + limits.max_expansion * received:
        return DecodeError(f"decoded values at offset {offset} exceed the limit max_decoded={limits.max_decoded}")
    bytes_received = plural(received, "received byte")
    most = f"{plural(EXPANSION_FLOOR, 'byte')} plus max_expansion={limits.max_expansion} * {bytes_received}"
    return DecodeError(f"decoded values at offset {offset} exceed {most}")


def colliding(offset: int) -> DecodeError:
    """Crafted keys of a set or map collide (see `_hash_probes`)."""
    return DecodeError(f"too many hash collisions between keys at offset {offset}")


def too_long(most: int) -> DecodeError:
    """A message without a length prefix is longer than the limit; its end is not known yet."""
    return DecodeError(f"the message exceeds the limit max_message={most}")


def too_deep(offset: int, most: int) -> DecodeError:
    """Values are nested deeper than the limit."""
    return DecodeError(f"nesting at offset {offset} exceeds the limit max_depth={most}")


def missing(offset: int, name: str) -> DecodeError:
    """A required field is missing; its struct ends at `offset`."""
    return DecodeError(f"missing required field {name!r} (struct ends at offset {offset})")


def wrong_elements(offset: int, got: int, wanted: int, got2: int = 0, wanted2: int = 0) -> DecodeError:
    """The element type of a container differs from the IDL.

    Args:
        got: type of the elements; for a map, `got` of its keys and `got2` of its values. As in `unknown_type`.
    """
    got_text = _name(got) if not wanted2 else f"{_name(got)} and {_name(got2)}"
    wanted_text = _name(wanted) if not wanted2 else f"{_name(wanted)} and {_name(wanted2)}"
    return DecodeError(f"expected elements of type {wanted_text} at offset {offset}, got {got_text}")


def unknown_type(offset: int, number: int) -> DecodeError:
    """The protocol has no type with this number.

    Args:
        number: negative if the protocol's numbers are not those of `TypeId`: minus the protocol's number.
    """
    return DecodeError(f"unknown type {abs(number)} at offset {offset}")


def over_long(offset: int, most: int) -> DecodeError:
    """A varint, which starts at `offset`, is longer than any valid one."""
    return DecodeError(f"number at offset {offset} is longer than {plural(most, 'byte')}")


def out_of_range(offset: int, value: int | str, type: str) -> DecodeError:
    """A number, which starts at `offset`, is out of range for its type (`i16`, `size`)."""
    return DecodeError(f"number {_brief(str(value))} at offset {offset} is out of range for {type}")


def unexpected(offset: int, wanted: str, got: str) -> DecodeError:
    """The text at `offset` does not have the form that the protocol requires there."""
    return DecodeError(f"expected {wanted} at offset {offset}, got {_brief(got)}")


def bad_text(offset: int, error: UnicodeDecodeError) -> DecodeError:
    """A string, whose bytes start at `offset`, is not UTF-8."""
    place = f"byte {error.start} of {len(error.object)}"
    return DecodeError(f"string at offset {offset} is not UTF-8: {error.reason} at {place}")


def bad_union(offset: int, error: Exception) -> DecodeError:
    """The class rejects the decoded values; its struct ends at `offset`."""
    return DecodeError(f"{error} (struct ends at offset {offset})")


def _brief(text: str) -> str:
    return text if len(text) <= _BRIEF else text[: _BRIEF - 3] + "..."


def _name(number: int) -> str:
    return TypeId(number).name.lower() if number in TypeId._value2member_map_ else f"type {abs(number)}"
