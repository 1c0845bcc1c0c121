"""Hash key of a call, for key-based balancers.

The first of: the option `hash_key` (`client.using(hash_key=...)`); the argument, or the path into one (`user.id`), that
the policy's `hash_by` names; the first argument, as in Dubbo.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from idlrt.core import Call
from idlrt.errors import ConfigurationError
from idlrt.spec import Field, Method
from idlrt.spec.types import StructType

__all__ = ["key_of"]

Arguments = tuple[Any, ...]
Getter = Callable[[Arguments], object]

_MISSING: Final = object()
# Compiled getters by method and path. Programs use few; the bound protects those that generate paths.
_getters: dict[tuple[Method[..., Any], str], Getter] = {}
_MAX_GETTERS: Final = 4096


def key_of(call: Call) -> bytes:
    """Return the hash key of `call`; the same in every process.

    Raises:
        ConfigurationError: `hash_by` names an argument or field that does not exist.
    """
    options = call.options
    key: object = options.get("hash_key", _MISSING) if options else _MISSING
    if key is _MISSING:
        path = call.policy.hash_by
        if path:
            method = call.method
            key = (_getters.get((method, path)) or _find(method, path))(call.arguments)
        else:
            key = call.arguments[0] if call.arguments else ""
    if isinstance(key, bytes):
        return key
    text = str(key)
    try:
        return text.encode()
    except UnicodeEncodeError:  # passing `errors` in every call costs more than the rest of this function
        return text.encode(errors="surrogatepass")


def _find(method: Method[..., Any], path: str) -> Getter:
    """Return a getter for the value that `path` names in the arguments of `method`, and cache it."""
    name, *steps = path.split(".")
    names = [field.name for field in method.arguments]
    if name not in names:
        raise ConfigurationError(
            f"cannot hash {method.full_name} by {path!r}: no argument {name!r} (arguments: {_listed(names)})"
        )
    index = names.index(name)
    attributes = _attributes(method, path, method.arguments[index], steps)
    getter = _through(index, attributes) if attributes else operator.itemgetter(index)
    if len(_getters) >= _MAX_GETTERS:
        _getters.clear()
    _getters[method, path] = getter
    return getter


def _attributes(method: Method[..., Any], path: str, field: Field[Any], steps: list[str]) -> list[str]:
    """Return the Python attribute names of the fields along `steps`."""
    attributes: list[str] = []
    for step in steps:
        attempt = f"cannot hash {method.full_name} by {path!r}"
        if not isinstance(field.type, StructType):
            raise ConfigurationError(f"{attempt}: {field.name} is of type {field.type!r}, which has no fields")
        fields: dict[str, Field[Any]] = {each.name: each for each in field.type.cls.__thrift_fields__}
        if step not in fields:
            known = _listed(list(fields))
            raise ConfigurationError(f"{attempt}: {field.type!r} has no field {step!r} (fields: {known})")
        field = fields[step]
        attributes.append(field.attribute)
    return attributes


def _through(index: int, attributes: list[str]) -> Getter:
    def get(arguments: Arguments) -> object:
        value = arguments[index]
        for attribute in attributes:
            if value is None:  # calls that omit an optional field share one key
                return ""
            value = getattr(value, attribute)
        return value

    return get


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
