"""Merge layers of configuration; the most specific wins.

Layers are given in the order of increasing precedence: the IDL, the registry, the client's file, `connect`, and
`using(...)`. Within a layer, settings of the method override those of the service. Only routing rules add up: all of
them apply, those of higher precedence first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from idlrt.config.schema import (
    CALL,
    METHODS,
    RESERVED_PREFIX,
    SERVICE,
    ServicePolicy,
    convert,
    decoded,
    nested,
    parse_enabled,
    section,
    subtables,
)
from idlrt.core import CallPolicy
from idlrt.core.renamed import KEYS

__all__ = ["DEFAULT", "Effective", "Layer", "effective"]

DEFAULT = "default"
ROUTES = "routes"


class Layer(msgspec.Struct, frozen=True):
    """Settings from one source.

    Attributes:
        origin: human-readable name of the source.
        values: checked values by dotted keys, which may have old names (`idlrt.core.renamed`).
    """

    origin: str
    values: Mapping[str, Any]


class Effective:
    """Effective settings of a method, as structs, with their sources.

    Attributes:
        policy: settings of calls.
        origins: source by dotted key without the method, with the name that the source uses if it is an old one; keys
            with default values are missing.
    """

    __slots__ = ("_sections", "_tables", "origins", "policy")

    def __init__(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        self._tables = nested(values)
        self.origins = origins
        self._sections: dict[str, Any] = {}
        self.policy: CallPolicy = self.section(CALL)

    @property
    def service(self) -> ServicePolicy:
        """Settings of the service as a whole."""
        found: ServicePolicy = self.section(SERVICE)
        return found

    def section(self, name: str) -> Any:
        """Return the settings of a table, with defaults for missing keys."""
        found = self._sections.get(name)
        if found is None:
            about = section(name)
            assert about is not None, name
            found = convert(about, self._tables.get(name, {}))
            if inner := subtables(name):
                found = msgspec.structs.replace(found, **{each: self.section(each) for each in inner})
            self._sections[name] = found
        return found

    def tables(self) -> list[str]:
        """Return the names of the tables in which a key is set."""
        return [name for name in self._tables if name not in (CALL, SERVICE)]

    def is_enabled(self, guard: str) -> bool:
        """Return whether a guard is enabled. One with any key set is, unless `enabled` is false."""
        return parse_enabled(self._tables.get(guard, {}).get("enabled", True)) is not False


def effective(layers: Sequence[Layer], method: str = "") -> Effective:
    """Return the effective settings of a method.

    Args:
        layers: layers in the order of increasing precedence.
        method: name; empty: those of methods without their own settings.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    own = f"{METHODS}.{method}."

    def put(key: str, value: Any, origin: str) -> None:
        name = KEYS.get(key, key)
        values[name] = decoded(value)
        origins[name] = origin if name == key else f"{origin} (as {key})"

    for layer in layers:
        for key, value in layer.values.items():
            if key == ROUTES and key in values:
                values[key] = [*decoded(value), *values[key]]
                origins[key] = f"{layer.origin}; {origins[key]}"
            elif not key.startswith((METHODS + ".", RESERVED_PREFIX)):
                put(key, value, layer.origin)
        if method:
            for key, value in layer.values.items():
                if key.startswith(own):
                    put(key[len(own) :], value, f"{layer.origin}, methods.{method}")
    return Effective(values, origins)
