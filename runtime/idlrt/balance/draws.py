"""By chance: `random`, each as often as the others; `weighted_random`, each as often as its weight says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate

from idlrt.balance.base import C, Chance, Prepared, left
from idlrt.core import Call

__all__ = ["Random", "WeightedRandom", "draw"]


class Random(Prepared[C]):
    """See the module. A `Balancer`."""

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        candidates = left(self._candidates, tried)
        return candidates[self._chance.below(len(candidates))] if candidates else None


class WeightedRandom(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance) -> None:
        super().__init__(candidates, chance)
        self._sums = sums(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        if not tried and self._candidates:
            return draw(self._candidates, self._sums, self._chance)
        candidates = left(self._candidates, tried)
        return draw(candidates, sums(candidates), self._chance) if candidates else None


def sums(candidates: Sequence[C]) -> list[int]:
    """The weights up to each candidate. Where nobody has any, all have the same."""
    weights = [each.instance.weight for each in candidates]
    return list(accumulate(weights if any(weights) else [1] * len(weights)))


def draw(candidates: Sequence[C], sums: Sequence[int], chance: Chance) -> C:
    """One of them, as often as its weight says."""
    return candidates[bisect_right(sums, chance.dice() * sums[-1], 0, len(sums) - 1)]
