"""Options of the JSON of requests and responses."""

from __future__ import annotations

from typing import Any

from idlrt.serialization import Limits
from idlrt.serialization.plain_json import JsonOptions
from idlrt.spec import BaseType, Field, ListType, MapType, SetType, Type

__all__ = ["json_options"]


def json_options(limits: Limits, field: Field[Any] | None = None) -> JsonOptions:
    """Return the options of the JSON of REST.

    Args:
        field: the field or argument whose value is converted by itself.
    """
    is_text = field is not None and "http.as_text" in field.annotations and _has_plain_i64(field.type)
    return JsonOptions(max_depth=limits.max_depth, i64_as_text=is_text, rest=True)


def _has_plain_i64(type: Type[Any]) -> bool:
    """Whether a type is `i64`, or a container of it."""
    match type:
        case ListType() | SetType():
            return _has_plain_i64(type.element)
        case MapType():
            return _has_plain_i64(type.key) or _has_plain_i64(type.value)
        case BaseType():
            return type.name == "i64"
        case _:
            return False
