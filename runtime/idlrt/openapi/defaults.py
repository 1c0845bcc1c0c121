"""Defaults of the IDL as JSON."""

from __future__ import annotations

import warnings
from typing import Any, Final

import msgspec

from idlrt.errors import LocalProtocolError
from idlrt.serialization.plain_json import JsonOptions, json_key, to_plain
from idlrt.spec import Argument, BaseType, DeclaredError, EnumType, Field, ListType, MapType, SetType, StructType, Type

__all__ = ["NO_VALUE", "default_of", "has_default"]

NO_VALUE: Final = object()
"""No default, where `None` could be one."""


def default_of(field: Field[Any], cls: Any, options: JsonOptions, *, as_text: bool) -> Any:
    """Return the default of a field or an argument; `NO_VALUE` for none.

    Args:
        cls: class that has the field; `None` for an argument.
        options: mapping of values.
        as_text: whether `i64` is text.
    """
    value = _declared(field, cls)
    if value is None or value is msgspec.NODEFAULT:
        return NO_VALUE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a default may be of a deprecated class
            made = value() if callable(value) else value
            plain = to_plain(field.type, made, msgspec.structs.replace(options, i64_as_text=as_text))
            return _ordered(field.type, plain)
    except LocalProtocolError:
        return NO_VALUE


def has_default(cls: Any, field: Field[Any]) -> bool:
    """Whether a field of a class has a default other than `None`."""
    return _declared(field, cls) not in (None, msgspec.NODEFAULT)


def _declared(field: Field[Any], cls: Any) -> Any:
    """Return a default, which may be a factory; `NODEFAULT` for none."""
    if cls is None:
        return field.default if isinstance(field, Argument) else msgspec.NODEFAULT
    if issubclass(cls, DeclaredError):
        found = cls.__declared_defaults__.get(field.attribute, msgspec.NODEFAULT)
        if type(found) is not type(msgspec.field()):
            return found
    else:
        found = {each.name: each for each in msgspec.structs.fields(cls)}[field.attribute]
    return found.default if found.default_factory is msgspec.NODEFAULT else found.default_factory


def _ordered(type: Type[Any], plain: Any) -> Any:
    """Return JSON with the elements of sets in a fixed order: that of a `set` differs between processes."""
    if isinstance(type, ListType):
        return [_ordered(type.element, each) for each in plain]
    if isinstance(type, SetType):
        return sorted([_ordered(type.element, each) for each in plain], key=msgspec.json.encode)
    if isinstance(type, MapType):
        if isinstance(type.key, BaseType | EnumType):
            return {key: _ordered(type.value, value) for key, value in plain.items()}
        return [
            {"key": _ordered(type.key, pair["key"]), "value": _ordered(type.value, pair["value"])} for pair in plain
        ]
    if isinstance(type, StructType):
        cls: Any = type.cls
        types = {json_key(field): field.type for field in cls.__thrift_fields__}
        return {key: _ordered(types[key], value) for key, value in plain.items()}
    return plain
