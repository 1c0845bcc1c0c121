"""What calls are kept together by: the key that balancers by key go by.

It is the option `hash_key` (`client.using(hash_key=...)`); else what the policy's `hash_by` names, an argument or a
path into one (`user.id`); else the first argument, as Dubbo has it.
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

_NOTHING: Final = object()
# Ways to the keys that were asked for. Programs have few; one that makes them up does not fill the memory.
_getters: dict[tuple[Method[..., Any], str], Getter] = {}
_MOST_GETTERS: Final = 4096


def key_of(call: Call) -> bytes:
    """The key of `call`, the same in every process. See the module.

    Raises:
        ConfigurationError: `hash_by` names what the method does not have.
    """
    options = call.options
    key: object = options.get("hash_key", _NOTHING) if options else _NOTHING
    if key is _NOTHING:
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
    except UnicodeEncodeError:  # naming the error handler in every call costs more than the rest
        return text.encode(errors="surrogatepass")


def _find(method: Method[..., Any], path: str) -> Getter:
    """The way from the arguments of `method` to what `path` names."""
    name, *steps = path.split(".")
    names = [field.name for field in method.arguments]
    if name not in names:
        raise ConfigurationError(
            f"cannot hash calls of {method.full_name} by {path!r}: it has no argument {name!r}; {_known(names)}"
        )
    index = names.index(name)
    attributes = _attributes(method, path, method.arguments[index], steps)
    getter = _through(index, attributes) if attributes else operator.itemgetter(index)
    if len(_getters) >= _MOST_GETTERS:
        _getters.clear()
    _getters[method, path] = getter
    return getter


def _attributes(method: Method[..., Any], path: str, field: Field[Any], steps: list[str]) -> list[str]:
    """What the fields are called in Python that `steps` lead through."""
    attributes: list[str] = []
    for step in steps:
        said = f"cannot hash calls of {method.full_name} by {path!r}"
        if not isinstance(field.type, StructType):
            raise ConfigurationError(f"{said}: {field.name} is {field.type!r} and has no fields")
        fields: dict[str, Field[Any]] = {each.name: each for each in field.type.cls.__thrift_fields__}
        if step not in fields:
            raise ConfigurationError(f"{said}: {field.type!r} has no field {step!r}; {_known(list(fields))}")
        field = fields[step]
        attributes.append(field.attribute)
    return attributes


def _through(index: int, attributes: list[str]) -> Getter:
    def get(arguments: Arguments) -> object:
        value = arguments[index]
        for attribute in attributes:
            if value is None:  # all who left it out are kept together
                return ""
            value = getattr(value, attribute)
        return value

    return get


def _known(names: list[str]) -> str:
    return f"there are: {', '.join(names)}" if names else "there is none"
