"""Values of JSON as those of a type of an IDL."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from idlrt.spec.frozen import FrozenMap
from idlrt.spec.types import BaseType, EnumType, ListType, MapType, SetType, StructType, Type, VoidType

__all__ = ["value_of"]

_SCALARS: Final[dict[str, Any]] = {
    "binary": bytes,
    "bool": bool,
    "double": float,
    "i16": int,
    "i32": int,
    "i64": int,
    "i8": int,
    "string": str,
    "uuid": uuid.UUID,
}


def value_of(type: Type[Any], value: Any) -> Any:
    """`value` as `type` has it. `None` is left as it is: it stands for no value.

    Raises:
        msgspec.ValidationError: it does not fit.
    """
    if value is None:
        return None
    if isinstance(type, VoidType):
        raise msgspec.ValidationError("there is no result")
    return _make(type)(value)


def _make(type: Type[Any]) -> Callable[[Any], Any]:
    if isinstance(type, BaseType):
        scalar = _SCALARS[type.name]
        # Registries have text for all values.
        return lambda value: msgspec.convert(value, scalar, strict=False)
    if isinstance(type, StructType | EnumType):
        cls: Any = type.cls
        return lambda value: msgspec.convert(value, cls, str_keys=True)
    if isinstance(type, ListType | SetType):
        element = _make(type.element)
        kind: Any = _kind_of(type)
        return lambda value: kind(map(element, msgspec.convert(value, list[Any])))
    assert isinstance(type, MapType)
    key, item = _key(type.key), _make(type.value)
    whole: Any = FrozenMap if type.is_frozen else dict
    return lambda value: whole({key(name): item(each) for name, each in msgspec.convert(value, dict[Any, Any]).items()})


def _kind_of(type: ListType[Any] | SetType[Any]) -> Any:
    if isinstance(type, ListType):
        return tuple if type.is_frozen else list
    return frozenset if type.is_frozen else set


def _key(type: Type[Any]) -> Callable[[Any], Any]:
    """JSON has text for keys only."""
    if isinstance(type, BaseType) and type.name != "string":
        scalar = _SCALARS[type.name]
        return lambda value: msgspec.convert(value, scalar, strict=False)
    if isinstance(type, EnumType):
        cls: Any = type.cls
        return lambda value: msgspec.convert(int(value), cls)
    return _make(type)
