"""Balancers by chance: `random`, each instance equally often; `weighted_random`, each in proportion to its weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, Final

from idlrt.balance.base import C, Chance, Prepared, left
from idlrt.core import Call

__all__ = ["Drawing", "Random", "WeightedRandom"]

# Draws of tried candidates before all others are collected, which takes longer the more there are.
_DRAWS: Final = 4


class Random(Prepared[C]):
    """Each equally often. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        self._dice = chance.dice
        self._count = len(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Draw a candidate that was not tried."""
        candidates, dice, count = self._candidates, self._dice, self._count
        if not count:
            return None
        found = candidates[int(dice() * count)]
        if not tried or found not in tried:
            return found
        for _ in range(_DRAWS):
            found = candidates[int(dice() * count)]
            if found not in tried:
                return found
        candidates = left(candidates, tried)
        return candidates[int(dice() * len(candidates))] if candidates else None


class Drawing(Prepared[C]):
    """Base of balancers that draw candidates in proportion to their weights; equally often if none has a weight."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        self._dice = chance.dice
        self._sums = _sums(candidates)
        self._last = len(candidates) - 1
        self._total = self._sums[-1] if candidates else 0.0
        # The weight that all have; 0 if they differ. The draw needs no search then.
        first = int(self._sums[0]) if candidates else 0
        self._weight = first if all(each.weight == candidates[0].weight for each in candidates) else 0

    def draw(self, tried: Collection[C]) -> C | None:
        """Draw a candidate that was not tried; `None` if all were."""
        candidates, sums, total, last = self._candidates, self._sums, self._total, self._last
        if last < 0:
            return None
        for _ in range(_DRAWS + 1):
            found = candidates[bisect_right(sums, self._dice() * total, 0, last)]
            if found not in tried:
                return found
        candidates = left(candidates, tried)
        if not candidates:
            return None
        sums = _sums(candidates)
        return candidates[bisect_right(sums, self._dice() * sums[-1], 0, len(sums) - 1)]


class WeightedRandom(Drawing[C]):
    """Each in proportion to its weight. A `Balancer`."""

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Draw a candidate that was not tried."""
        if tried or self._last < 0:
            return self.draw(tried)
        # `Drawing.draw` written out, without what only tried candidates need.
        if self._weight:
            return self._candidates[int(self._dice() * self._total) // self._weight]
        return self._candidates[bisect_right(self._sums, self._dice() * self._total, 0, self._last)]


def _sums(candidates: Sequence[C]) -> list[float]:
    """Sums of the weights up to each candidate; equal weights if none has one. Floats, because they are drawn with
    floats, and comparing two of a kind is faster; integers of this size are exact in them.
    """
    weights = [each.weight for each in candidates]
    return list(map(float, accumulate(weights if any(weights) else [1] * len(weights))))
