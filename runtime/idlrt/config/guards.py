"""The guards that a configuration asks for, in their order: the same on clients and on servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from idlrt.config.effective import Effective
from idlrt.core import Chance, Listener
from idlrt.guard import GUARDS, Guard

__all__ = ["Guards", "ordered"]

# Outermost first. Who stands in for answers sees all failures; who refuses comes before who waits; the breaker counts
# what calls have come to in the end. Guards of others stand behind these, in the order of their names.
_ORDER: Final = (
    "fallback",
    "deadline",
    "shedder",
    "admission",
    "limiter",
    "breaker",
    "concurrency",
    "bulkhead",
)


class Guards:
    """Makes guards. Those with the same settings are one: what they count is counted together.

    Args:
        chance: their clock and dice.
        listener: is told of their decisions.
    """

    def __init__(self, chance: Chance, listener: Listener) -> None:
        self._chance = chance
        self._listener = listener
        self._made: dict[tuple[str, bytes], Guard] = {}

    def of(self, found: Effective) -> list[Guard]:
        """The guards that stand where this holds, the outermost first."""
        known = GUARDS.names()
        return [
            self._guard(name, found)
            for name in ordered(name for name in found.tables() if name in known and found.is_enabled(name))
        ]

    def _guard(self, name: str, found: Effective) -> Guard:
        settings = found.section(name)
        key = (name, msgspec.json.encode(settings))
        guard = self._made.get(key)
        if guard is None:
            guard = self._made[key] = GUARDS.make(name, settings, self._chance, self._listener)
        return guard


def ordered(guards: Iterable[str]) -> list[str]:
    """Names of guards, the outermost first."""
    return sorted(guards, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
