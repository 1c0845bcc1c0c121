"""Skipping of values in complete binary messages.

Raises `DecodeError` where Python would not raise anything, otherwise any exception of Python. The careful
`BinaryInput` then reads the message again to find the cause.
"""

from __future__ import annotations

import struct

from idlrt.serialization._binary_layout import FIXED_SIZES, MINIMUM_SIZES
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import over_limit, too_deep, too_short, unknown_type
from idlrt.serialization.types import TypeId

__all__ = ["skip"]

_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_list = struct.Struct(">BI").unpack_from
_unpack_map = struct.Struct(">BBI").unpack_from


def skip(data: bytes, offset: int, end: int, type: int, depth: int, limits: Limits) -> int:
    """Return the offset after a value of `type` that starts at `offset`.

    Args:
        end: end of the message; `data` may be longer (see `_binary_reader.PADDING`).
        depth: how many structs may still nest; containers count too, because nothing else bounds them.
        limits: enforced as for known fields, so that scanning and decoding a message give the same errors.
    """
    size = FIXED_SIZES.get(type)
    if size is not None:
        return offset + size
    if type == TypeId.STRING:
        (length,) = _unpack_u32(data, offset)
        if length > limits.max_string:
            raise over_limit(offset + 4, length, "max_string", limits.max_string)
        if offset + 4 + length > end:
            raise too_short(offset + 4, length, end)
        return int(offset + 4 + length)
    if depth < (1 if type == TypeId.STRUCT else 0):
        raise too_deep(offset, limits.max_depth)
    if type == TypeId.STRUCT:
        while number := data[offset]:
            offset = skip(data, offset + 3, end, number, depth - 1, limits)
            if offset > end:
                break
        return offset + 1
    if type in (TypeId.LIST, TypeId.SET):
        element, length = _unpack_list(data, offset)
        return _skip_elements(data, offset + 5, end, (element,), length, depth, limits)
    if type == TypeId.MAP:
        key, value, length = _unpack_map(data, offset)
        return _skip_elements(data, offset + 6, end, (key, value), length, depth, limits)
    raise unknown_type(offset, type)


def _skip_elements(
    data: bytes, offset: int, end: int, types: tuple[int, ...], length: int, depth: int, limits: Limits
) -> int:
    if length == 0:
        return offset
    minimum = 0
    for type in types:
        if type not in MINIMUM_SIZES:
            raise unknown_type(offset, type)
        minimum += MINIMUM_SIZES[type]
    if length * minimum > end - offset:
        raise too_short(offset, length * minimum, end)
    if length > limits.max_container:
        raise over_limit(offset, length, "max_container", limits.max_container)
    if all(type in FIXED_SIZES for type in types):
        return offset + length * minimum
    for _ in range(length):
        for type in types:
            offset = skip(data, offset, end, type, depth - 1, limits)
    return offset
