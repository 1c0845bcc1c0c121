"""Values as something to compare: equal if the bytes that they came from say the same.

`==` will not do: nan is not equal to itself, -0.0 is equal to 0.0, True to 1, and a set of several nan has no order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from idlrt.errors import ApplicationError
from idlrt.spec import DeclaredError, unknown_of


def shape(value: Any) -> Any:
    """Describe `value` as tuples, numbers and text, with each type by its name."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | str | bytes):
        return kind, value if type(value) in (bool, int, str, bytes) else repr(value)
    if isinstance(value, float):
        return kind, struct.pack(">d", value)
    if isinstance(value, list | tuple):
        return kind, *map(shape, value)
    if isinstance(value, set | frozenset):
        return kind, *sorted(repr(shape(each)) for each in value)
    if isinstance(value, Mapping):
        return kind, *((shape(key), shape(each)) for key, each in value.items())
    if isinstance(value, msgspec.Struct):
        return kind, unknown_of(value), *(shape(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, DeclaredError):
        fields = (shape(getattr(value, field.attribute)) for field in value.__thrift_fields__)
        return kind, unknown_of(value), *fields
    if isinstance(value, ApplicationError):
        return kind, value.message, int(value.code)
    return kind, str(value)
