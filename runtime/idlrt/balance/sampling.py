"""Weighted sampling: the base of the balancers that draw candidates with a probability proportional to their weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, Final

from idlrt.balance.base import BalancerBase, C, ClockAndRandom, untried

__all__ = ["WeightedSampling"]

# Draws that may hit tried candidates before the untried ones are collected, which takes time proportional to their
# number.
_DRAWS: Final = 5


class WeightedSampling(BalancerBase[C]):
    """Base of balancers that draw in proportion to weights; with equal probability if every weight is 0."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        self._random = sources.rng
        self._sums = _cumulative_weights(candidates)
        self._last = len(candidates) - 1
        self._total = self._sums[-1] if candidates else 0.0
        # The common weight of all candidates, so that a draw needs no binary search; 0 if weights differ.
        first = int(self._sums[0]) if candidates else 0
        self._weight = first if all(each.weight == candidates[0].weight for each in candidates) else 0

    def draw(self, tried: Collection[C]) -> C | None:
        """Return a candidate that was not tried; `None` if all were."""
        candidates, sums, total, last = self._candidates, self._sums, self._total, self._last
        if last < 0:
            return None
        for _ in range(_DRAWS):
            found = candidates[bisect_right(sums, self._random() * total, 0, last)]
            if found not in tried:
                return found
        candidates = untried(candidates, tried)
        if not candidates:
            return None
        sums = _cumulative_weights(candidates)
        return candidates[bisect_right(sums, self._random() * sums[-1], 0, len(sums) - 1)]


def _cumulative_weights(candidates: Sequence[C]) -> list[float]:
    """Return the running totals of the weights; of equal weights if every weight is 0.

    They are floats because random numbers are, and comparing two floats is faster; integers of this size are exact as
    floats.
    """
    weights = [each.weight for each in candidates]
    return list(map(float, accumulate(weights if any(weights) else [1] * len(weights))))
