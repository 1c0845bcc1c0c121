"""Skipping of unknown fields over the primitives of any protocol."""

from __future__ import annotations

from typing import Any, Final

from idlrt.serialization._walk_primitives import Input
from idlrt.serialization.base import Limits
from idlrt.serialization.errors import DecodeError, at_field, over_limit, too_deep, too_short, unknown_type
from idlrt.serialization.types import TypeId

__all__ = ["skip_field"]

_STRUCT: Final = int(TypeId.STRUCT)
_MAP: Final = int(TypeId.MAP)
_SET: Final = int(TypeId.SET)
_LIST: Final = int(TypeId.LIST)


def skip_field(source: Input, head: tuple[int, int], limits: Limits) -> bytes:
    """Skip an unknown field; return the bytes of its value."""
    start = source.offset
    try:
        _skip(source, head[0], source.depth, limits, is_field=True)
        value = source.passed_field(start)
        source.end_field()
        return value
    except DecodeError as error:
        error.path.append(at_field(f"field {head[1]}"))
        raise


def _skip(source: Any, type: int, depth: int, limits: Limits, *, is_field: bool) -> None:
    """Skip a value. `depth` is the remaining nesting; containers count too, because nothing else bounds them.

    Limits are enforced as for known fields, so that scanning and decoding a message give the same errors.
    """
    minimum = source.MINIMUM
    if type not in (_STRUCT, _MAP, _SET, _LIST):
        if type not in minimum:
            raise unknown_type(source.offset, type)
        source.skip(type, is_field)
        return
    if depth < (1 if type == _STRUCT else 0):
        raise too_deep(source.offset, limits.max_depth)
    if type == _STRUCT:
        state = source.begin_struct()
        while (head := source.field())[0]:
            _skip(source, head[0], depth - 1, limits, is_field=True)
            source.end_field()
        source.end_struct(state)
        return
    if type == _MAP:
        key_kind, value_kind, length = source.map_head()
        types: tuple[int, ...] = (key_kind, value_kind)
    else:
        kind, length = source.list_head()
        types = (kind,)
    if length:
        for each in types:
            if each not in minimum:
                raise unknown_type(source.offset, each)
        wanted = length * sum(minimum[each] for each in types)
        if wanted > source.end - source.offset:
            raise too_short(source.offset, wanted, source.end)
        if length > limits.max_container:
            raise over_limit(source.offset, length, "max_container", limits.max_container)
        for _ in range(length):
            for each in types:
                _skip(source, each, depth - 1, limits, is_field=False)
    if type == _MAP:
        source.end_map()
    else:
        source.end_list()
