"""What holds in the end, of all that is said: the nearest wins.

Layers are given from the farthest to the nearest: what the IDL says, the registry, the client's file and `connect`, the
caller's `using(...)`. Within one layer, what is said of the method wins over what is said of the service. Only routing
rules do not replace each other: all hold, those of the nearest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from idlrt.config.schema import (
    BOOKKEEPING,
    CALL,
    METHODS,
    SERVICE,
    ServicePolicy,
    convert,
    fields,
    parsed,
    section,
    switch,
)
from idlrt.core import CallPolicy

__all__ = ["DEFAULT", "Effective", "Layer", "effective"]

DEFAULT = "default"
ROUTES = "routes"


class Layer(msgspec.Struct, frozen=True):
    """What one source says.

    Attributes:
        origin: who says it, for people.
        values: by dotted keys, checked.
    """

    origin: str
    values: Mapping[str, Any]


class Effective:
    """What holds for a method, and who said so.

    Attributes:
        policy: of its calls.
        origins: by dotted key without the method, who said it; what nobody has said is missing.
    """

    __slots__ = ("_sections", "_values", "origins", "policy")

    def __init__(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        self._values = values
        self.origins = origins
        self._sections: dict[str, Any] = {}
        top = self._table(CALL)
        backoff = self.section("backoff")
        call = section(CALL)
        assert call is not None  # it is ours
        made: CallPolicy = convert(call, top)
        self.policy = msgspec.structs.replace(made, backoff=backoff)

    @property
    def service(self) -> ServicePolicy:
        """What holds for the service."""
        found: ServicePolicy = self.section(SERVICE)
        return found

    def section(self, name: str) -> Any:
        """The settings of a table, with defaults for what nobody has said."""
        found = self._sections.get(name)
        if found is None:
            about = section(name)
            assert about is not None, name
            found = self._sections[name] = convert(about, self._table(name))
        return found

    def tables(self) -> list[str]:
        """Tables of which something is said."""
        return list(dict.fromkeys(key.partition(".")[0] for key in self._values if "." in key))

    def is_enabled(self, guard: str) -> bool:
        """Whether a guard stands: something is said of it, and not that it be off."""
        return switch(self._values.get(f"{guard}.enabled", True)) is not False

    def _table(self, name: str) -> dict[str, Any]:
        if name in (CALL, SERVICE):
            about = section(name)
            assert about is not None
            return {field: self._values[field] for field in fields(about) if field in self._values}
        prefix = name + "."
        return {key[len(prefix) :]: value for key, value in self._values.items() if key.startswith(prefix)}


def effective(layers: Sequence[Layer], method: str = "") -> Effective:
    """What holds for `method`, or for methods of which nothing is said.

    Args:
        layers: from the farthest to the nearest.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    own = f"{METHODS}.{method}."
    for layer in layers:
        for key, value in layer.values.items():
            if key == ROUTES and key in values:
                values[key] = [*parsed(value), *values[key]]
                origins[key] = f"{layer.origin}; {origins[key]}"
            elif not key.startswith((METHODS + ".", BOOKKEEPING)):
                values[key] = parsed(value)
                origins[key] = layer.origin
        if method:
            for key, value in layer.values.items():
                if key.startswith(own):
                    values[key[len(own) :]] = parsed(value)
                    origins[key[len(own) :]] = f"{layer.origin}, methods.{method}"
    return Effective(values, origins)
