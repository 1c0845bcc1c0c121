"""By chance: `random`, each as often as the others; `weighted_random`, each as often as its weight says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, Final

from idlrt.balance.base import C, Chance, Prepared, left
from idlrt.core import Call

__all__ = ["Random", "WeightedRandom", "draw", "draw_untried"]

# How often one that was tried is drawn before all that were not are gathered, which takes longer the more there are.
_DRAWS: Final = 4


class Random(Prepared[C]):
    """See the module. A `Balancer`."""

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        candidates = self._candidates
        if not candidates:
            return None
        below, count = self._chance.below, len(candidates)
        found = candidates[below(count)]
        if found not in tried:
            return found
        for _ in range(_DRAWS):
            found = candidates[below(count)]
            if found not in tried:
                return found
        candidates = left(candidates, tried)
        return candidates[below(len(candidates))] if candidates else None


class WeightedRandom(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        self._sums = sums(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        return draw_untried(self._candidates, self._sums, tried, self._chance)


def sums(candidates: Sequence[C]) -> list[int]:
    """The weights up to each candidate. Where nobody has any, all have the same."""
    weights = [each.weight for each in candidates]
    return list(accumulate(weights if any(weights) else [1] * len(weights)))


def draw(candidates: Sequence[C], sums: Sequence[int], chance: Chance) -> C:
    """One of them, as often as its weight says."""
    return candidates[bisect_right(sums, chance.dice() * sums[-1], 0, len(sums) - 1)]


def draw_untried(candidates: Sequence[C], weights: Sequence[int], tried: Collection[C], chance: Chance) -> C | None:
    """One of those that were not tried, as often as its weight says; `None` if all were.

    Args:
        weights: of the candidates, as `sums` gives them.
    """
    if not candidates:
        return None
    found = draw(candidates, weights, chance)
    if found not in tried:
        return found
    for _ in range(_DRAWS):
        found = draw(candidates, weights, chance)
        if found not in tried:
            return found
    candidates = left(candidates, tried)
    return draw(candidates, sums(candidates), chance) if candidates else None
