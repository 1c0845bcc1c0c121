"""The guards that a configuration asks for, in their order (`idlrt.guard.order`): on clients and on servers."""

from __future__ import annotations

import msgspec

from idlrt.config.effective import Effective
from idlrt.core import Chance, Listener
from idlrt.guard import GUARDS, Guard
from idlrt.guard.order import ordered

__all__ = ["Guards"]


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
