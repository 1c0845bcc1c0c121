"""Keeping unknown fields as they are read, and writing them again: in the protocol in which they came as they are, in
another one value by value.

Bytes say of a value all that is needed to write it in another protocol, but for one thing: in binary and compact a
`string` and a `binary` look the same, in JSON one is text and the other base64. So a value in which there are some is
not translated between JSON and the others; guessing would corrupt it where the guess is wrong.

What is kept has the form that `idlrt.spec.unknown` describes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from idlrt.serialization._binary_layout import MINIMUM_SIZES
from idlrt.serialization._walk_primitives import Input, Output
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import DecodeError
from idlrt.serialization.types import TypeId
from idlrt.spec import unknown_records

__all__ = ["UntranslatableError", "keep", "keep_binary", "kept_in_binary", "mark_of", "translated", "write_kept"]

_NAMES: Final = ("binary", "compact", "json")
"""Protocols by the number stored with unknown fields."""

_BOOL, _STRING, _STRUCT, _MAP, _SET, _LIST = map(
    int, (TypeId.BOOL, TypeId.STRING, TypeId.STRUCT, TypeId.MAP, TypeId.SET, TypeId.LIST)
)
_SCALARS: Final = {
    int(type): type.name.lower()
    for type in (TypeId.BOOL, TypeId.I8, TypeId.I16, TypeId.I32, TypeId.I64, TypeId.DOUBLE, TypeId.UUID)
}

# Kept fields were within the limits of their reader.
_NO_LIMITS: Final = Limits(max_message=1 << 60, max_string=1 << 60, max_container=1 << 60, max_depth=1 << 30)


class UntranslatableError(ValueError):
    """An unknown field of a union cannot be written in this protocol; the text names it and the reason."""


def mark_of(protocol: str) -> bytes | None:
    """Return the prefix of unknown fields that are kept in a protocol; `None` if it cannot keep them."""
    return bytes([_NAMES.index(protocol)]) if protocol in _NAMES else None


def keep(kept: bytearray, mark: bytes, id: int, type: int, value: bytes) -> None:
    """Add a field to the kept ones."""
    if not kept:
        kept += mark
    kept += id.to_bytes(2, signed=True) + bytes([type]) + len(value).to_bytes(4) + value


def keep_binary(
    kept: bytearray | None, data: bytes, offset: int, end: int, ids: frozenset[bytes] | None
) -> bytearray | None:
    """Add a field in binary, given by its start and end offsets.

    Args:
        kept: `None` if there is none yet.
        ids: those that are known, as they stand in the bytes; `None` if nothing is kept.
    """
    if kept is None:
        kept = bytearray()
    if ids is not None and data[offset + 1 : offset + 3] not in ids:
        start = offset + 3
        if not kept:
            kept += b"\0"
        kept += data[offset + 1 : start] + data[offset : offset + 1] + (end - start).to_bytes(4) + data[start:end]
    return kept


def write_kept(out: Output, kept: bytes, *, is_union: bool) -> None:
    """Write kept fields after the known ones.

    Raises:
        UntranslatableError: one cannot be written in this protocol, and a union has nothing else. A struct goes
            without.
    """
    for id, type, value in unknown_records(translated(kept, out.PROTOCOL, is_union=is_union)):
        if type == _BOOL and out.PROTOCOL == "compact":  # the head has it
            out.write_field_bool(id, value == b"\1")
        else:
            out.field(type, id)
            out.write_passed(value)
        out.end_field()


def kept_in_binary(kept: bytes, is_union: bool) -> bytes:
    """Return kept fields in binary. Raises as `write_kept`."""
    out = _writer("binary")()
    write_kept(out, kept, is_union=is_union)
    data: bytes = out.taken()
    return data


def translated(kept: bytes, protocol: str, *, is_union: bool) -> bytes:
    """Return kept fields converted to another protocol. Raises as `write_kept`."""
    origin = _NAMES[kept[0]]
    if origin == protocol:
        return kept
    made = bytearray()
    mark = mark_of(protocol) or b""
    for id, type, value in unknown_records(kept):
        out = _writer(protocol)()
        try:
            _copy(_reader(origin)(value), out, type)
        except (UntranslatableError, DecodeError) as error:
            if is_union:
                what = f"has an unknown field {id} that came in {origin} and cannot be written in {protocol}"
                raise UntranslatableError(f"{what}: {error}") from None
            continue
        keep(made, mark, id, type, out.taken())
    return bytes(made)


@cache
def _reader(protocol: str) -> Callable[[bytes], Any]:
    """Return the factory of the primitives that read a value."""
    from idlrt.serialization._binary_input import BinaryInput
    from idlrt.serialization._compact_input import CompactInput
    from idlrt.serialization._json_input import JsonInput

    made: Any = {"binary": BinaryInput, "compact": CompactInput, "json": JsonInput}[protocol]
    # Something stands behind each number of JSON.
    after = b" " if protocol == "json" else b""
    return lambda value: made(value + after, 0, _NO_LIMITS)


@cache
def _writer(protocol: str) -> Callable[[], Any]:
    """Return the factory of the primitives that write a value."""
    from idlrt.serialization._binary_output import BinaryOutput
    from idlrt.serialization._compact_output import CompactOutput
    from idlrt.serialization._json_output import JsonOutput

    made: Any = {"binary": BinaryOutput, "compact": CompactOutput, "json": JsonOutput}[protocol]
    return lambda: made(_NO_LIMITS)


def _copy(source: Input, out: Output, type: int) -> None:
    """Copy a value from input to output; a boolean as an element."""
    if type in _SCALARS:
        name = _SCALARS[type]
        getattr(out, f"write_{name}")(getattr(source, f"read_{name}")())
    elif type == _STRING:
        if "json" in (source.PROTOCOL, out.PROTOCOL):
            raise UntranslatableError("its bytes do not say whether a string in it is text or binary")
        out.write_binary(source.read_binary())
    elif type == _STRUCT:
        before, state = source.begin_struct(), out.begin_struct()
        while (head := source.field())[0]:
            if head[0] == _BOOL:
                out.write_field_bool(head[1], source.read_field_bool())
            else:
                out.field(head[0], head[1])
                _copy(source, out, head[0])
            source.end_field()
            out.end_field()
        source.end_struct(before)
        out.end_struct(state)
    elif type == _MAP:
        key, value, length = source.map_head()
        out.begin_map(_element(key), _element(value), length)
        for _ in range(length):
            _copy(source, out, key)
            _copy(source, out, value)
        source.end_map()
        out.end_map()
    else:
        element, length = source.list_head()
        out.begin_list(_element(element), length)
        for _ in range(length):
            _copy(source, out, element)
        source.end_list()
        out.end_list()


def _element(type: int) -> int:
    """Return the type of elements; in empty containers it may be any number, also of no type."""
    return type if type in MINIMUM_SIZES else _BOOL
