"""Construction of the guards that a configuration enables, on clients and on servers, in their order."""

from __future__ import annotations

import msgspec

from idlrt.config.effective import Effective
from idlrt.core import ClockAndRandom, Listener
from idlrt.guard import GUARDS, Guard
from idlrt.guard.order import ordered

__all__ = ["Guards"]


class Guards:
    """Factory and cache of guards. Methods whose settings of a guard are equal share the guard and its statistics.

    Args:
        sources: clock and random numbers of the guards.
        listener: receives their decisions.
    """

    def __init__(self, sources: ClockAndRandom, listener: Listener) -> None:
        self._sources = sources
        self._listener = listener
        self._made: dict[tuple[str, bytes], Guard] = {}

    def of(self, found: Effective) -> list[Guard]:
        """Return the guards that settings enable, the outermost first (`idlrt.guard.order`)."""
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
            guard = self._made[key] = GUARDS.make(name, settings, self._sources, self._listener)
        return guard
