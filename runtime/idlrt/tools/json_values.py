"""Values of an IDL as JSON for people: structs are objects by the names of their fields, enums are numbers, binary is
base64, sets are arrays. What is not UTF-8 in text is escaped: the byte 0xff is `\\udcff`. (Thrift's own JSON protocol,
with its numbers for names, is `idlrt.serialization.json`.)
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from types import GenericAlias
from typing import Any, Final, cast

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.printable import escape_json
from idlrt.spec import DeclaredError, FrozenMap, Method
from idlrt.spec.types import BaseType, EnumType, ListType, MapType, SetType, StructType

__all__ = ["arguments_from", "error_to_json", "to_json"]

_BASE: Final[dict[str, Any]] = {
    "bool": bool,
    "i8": int,
    "i16": int,
    "i32": int,
    "i64": int,
    "double": float,
    "string": str,
    "binary": bytes,
    "uuid": uuid.UUID,
}


def arguments_from(method: Method[..., Any], text: str) -> tuple[Any, ...]:
    """The arguments of a method in a JSON object (by their names) or array (by their order).

    `null` leaves an argument out on the wire, if the IDL does not mark it `required`.

    Raises:
        ConfigurationError: they are not what the method takes; the message says which and why.
    """
    fields: list[Any] = []
    for field, default, has_to_be_given in zip(method.arguments, method.defaults, method.has_to_be_given, strict=True):
        type = _python(field.type) if field.is_required else _python(field.type) | None
        if has_to_be_given:
            fields.append((field.attribute, type))
        elif callable(default):
            fields.append((field.attribute, type, msgspec.field(default_factory=default)))
        else:
            fields.append((field.attribute, type, default))
    # Required ones may come behind others.
    made = msgspec.defstruct("Arguments", fields, forbid_unknown_fields=True, kw_only=True)
    names = [field.attribute for field in method.arguments]
    try:
        given: Any = msgspec.json.decode(text.encode())
        if isinstance(given, list):
            given = _by_name(method, cast("Any", given))
        arguments = msgspec.convert(given, made, str_keys=True, dec_hook=_decoded)
    except msgspec.DecodeError as error:
        what = str(error).replace("Object missing", "missing").replace("Object contains", "there is an")
        raise ConfigurationError(f"cannot read the arguments of {method.full_name}: {what}; {_takes(method)}") from None
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"cannot read the arguments of {method.full_name}: {error}") from None
    return tuple(getattr(arguments, name) for name in names)


def _by_name(method: Method[..., Any], values: list[Any]) -> dict[str, Any]:
    if len(values) > len(method.arguments):
        raise ConfigurationError(f"{method.full_name} {_takes(method)}, not {len(values)}")
    return {field.attribute: value for field, value in zip(method.arguments, values, strict=False)}


def _takes(method: Method[..., Any]) -> str:
    names = ", ".join(f"{field.attribute}: {field.type!r}" for field in method.arguments)
    return f"it takes {names or 'none'}"


def to_json(value: Any, *, indent: int = 2) -> str:
    """A value as JSON text, in which what a terminal would act on is escaped.

    Args:
        indent: spaces a level; 0 for one line.
    """
    try:
        return escape_json(_text(value, indent))
    except (TypeError, NotImplementedError):
        # Keys that JSON does not have.
        return escape_json(_text(_pairs(value), indent))


def _text(value: Any, indent: int) -> str:
    try:
        data = msgspec.json.encode(value, enc_hook=_encoded)
    except UnicodeEncodeError:
        return _escaped(value, indent)
    return msgspec.json.format(data, indent=indent).decode() if indent else data.decode()


def _escaped(value: Any, indent: int) -> str:
    """The JSON text of a value in which there is text that is not Unicode."""
    plain = _finite(msgspec.to_builtins(value, str_keys=True, enc_hook=_encoded))
    separators = None if indent else (",", ":")
    text = json.dumps(plain, indent=indent or None, separators=separators, ensure_ascii=False)
    # An escape of Python for half a character is one of JSON.
    return text.encode(errors="backslashreplace").decode()


def _finite(value: Any) -> Any:
    """`value`, with nothing where numbers are not finite, as `msgspec` has it."""
    if isinstance(value, dict):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: _finite(item) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(item) for item in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def error_to_json(error: BaseException, *, indent: int = 2) -> str:
    """An exception as JSON text: its kind, what it says, and, of one that the IDL declares, its fields."""
    found: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, DeclaredError):
        found = {"exception": type(error).__name__, "fields": _fields(error)}
    return to_json(found, indent=indent)


def _fields(value: Any) -> dict[str, Any]:
    return {field.attribute: getattr(value, field.attribute) for field in value.__thrift_fields__}


def _python(type: Any) -> Any:
    """The Python type of a type of the IDL."""
    if isinstance(type, BaseType):
        return _BASE[type.name]
    if isinstance(type, EnumType | StructType):
        return cast("Any", type).cls
    if isinstance(type, ListType):
        element = _python(type.element)
        return GenericAlias(tuple, (element, ...)) if type.is_frozen else GenericAlias(list, (element,))
    if isinstance(type, SetType):
        return GenericAlias(frozenset if type.is_frozen else set, (_python(type.element),))
    if isinstance(type, MapType):
        if type.is_frozen:
            return FrozenMap
        return GenericAlias(dict, (_python(type.key), _python(type.value)))
    raise ConfigurationError(f"{type!r} cannot be given as JSON")


def _decoded(wanted: Any, value: Any) -> Any:
    if wanted is FrozenMap or getattr(wanted, "__origin__", None) is FrozenMap:
        return FrozenMap(value)
    if isinstance(wanted, type) and issubclass(wanted, DeclaredError):
        return wanted(**value)
    raise NotImplementedError(f"{wanted!r} cannot be given as JSON")


def _encoded(value: Any) -> Any:
    if isinstance(value, FrozenMap):
        return _plain(cast("Any", value))
    if isinstance(value, DeclaredError):
        return _fields(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be shown as JSON")


def _plain(items: FrozenMap[Any, Any]) -> dict[Any, Any]:
    return dict(items)


def _pairs(value: Any) -> Any:
    """`value`, with lists of pairs for maps."""
    if isinstance(value, dict | FrozenMap):
        items = cast("Mapping[Any, Any]", value).items()
        return [[_pairs(key), _pairs(item)] for key, item in items]
    if isinstance(value, list | tuple | set | frozenset):
        return [_pairs(item) for item in cast("list[Any]", value)]
    if hasattr(value, "__thrift_fields__"):
        return {name: _pairs(item) for name, item in _fields(value).items()}
    return value
