"""Balancer `random`: pick an instance at random, each with the same probability; weights do not count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from idlrt.balance.base import BalancerBase, C, ClockAndRandom, untried
from idlrt.core import Call

__all__ = ["Random"]

# Draws that may hit tried candidates before the untried ones are collected, which takes time proportional to their
# number.
_DRAWS: Final = 4


class Random(BalancerBase[C]):
    """Uniformly random choice. Implements `Balancer`."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        self._random = sources.rng
        self._count = len(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return a random candidate that was not tried."""
        candidates, random, count = self._candidates, self._random, self._count
        if not count:
            return None
        found = candidates[int(random() * count)]
        if not tried or found not in tried:
            return found
        for _ in range(_DRAWS):
            found = candidates[int(random() * count)]
            if found not in tried:
                return found
        candidates = untried(candidates, tried)
        return candidates[int(random() * len(candidates))] if candidates else None
