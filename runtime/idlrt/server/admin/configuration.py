"""Effective options of a server as data without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from idlrt.core import CONFIG_VARIABLE
from idlrt.printable import mask_passwords
from idlrt.registry.url import RegistryUrl
from idlrt.server.admin.options import Admin
from idlrt.server.settings import Settings

__all__ = ["configuration_of"]

_MASK: Final = "***"
# Names of values that are never shown. `tokens` of a bucket is a number, which is.
_SECRET: Final = re.compile(r"token|passw|secret|credential|api_?key|private", re.IGNORECASE)
_DEEPEST: Final = 8


def configuration_of(settings: Settings) -> dict[str, Any]:
    """Return the options of a server by name. Secrets are masked; functions and objects are named."""
    found: dict[str, Any] = {}
    for name in sorted(settings.__struct_fields__):
        value: object = getattr(settings, name)
        match name:
            case "registry" if isinstance(value, str):
                found[name] = str(RegistryUrl.parse(value))
            case "config" if value is None:
                found[name] = os.environ.get(CONFIG_VARIABLE) or None
            case "health":
                found[name] = sorted(cast("Mapping[str, object]", value))
            case _:
                found[name] = _shown(value)
    return found


def _shown(value: object, depth: int = 0) -> Any:
    """Return a value as JSON has it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mask_passwords(value)
    if isinstance(value, Path):
        return str(value)
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Admin):
        return _of_struct(value, depth) | {"token": _MASK if value.tokens else None}
    if isinstance(value, msgspec.Struct):
        return _of_struct(value, depth)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(name): _masked(str(name), each, depth) for name, each in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each, depth + 1) for each in cast("list[object]", value)]
    return _name_of(value)


def _of_struct(value: msgspec.Struct, depth: int) -> dict[str, Any]:
    return {name: _masked(name, getattr(value, name), depth) for name in value.__struct_fields__}


def _masked(name: str, value: object, depth: int) -> Any:
    if isinstance(value, str) and value and _SECRET.search(name):
        return _MASK
    return _shown(value, depth + 1)


def _name_of(value: object) -> str:
    """Return the name of a function, without `.<locals>`, or of a class: a `repr` may contain anything."""
    named = value if hasattr(value, "__qualname__") else type(value)
    name = str(getattr(named, "__qualname__", type(value).__qualname__)).replace(".<locals>", "")
    return f"{getattr(named, '__module__', '?')}.{name}"
