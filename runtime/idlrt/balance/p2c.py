"""`p2c`, the default: of two that are drawn by weight, the one that is expected to answer first. It takes the same time
for two instances and for thousands, and clients that know nothing of each other do not all run to the same one.

What is expected is latency, as peak EWMA, times the calls that are under way already and this one.

Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); Finagle's `p2c.PeakEwma`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from idlrt.balance.base import C, Chance, Prepared, left
from idlrt.balance.draws import draw, sums
from idlrt.core import Call

__all__ = ["PowerOfTwoChoices"]


class PowerOfTwoChoices(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance) -> None:
        super().__init__(candidates, chance)
        self._sums = sums(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        candidates: Sequence[C] = self._candidates
        weights = self._sums
        if tried:
            candidates = left(candidates, tried)
            weights = sums(candidates)
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        first = draw(candidates, weights, self._chance)
        second = draw(candidates, weights, self._chance)
        if second is first:
            return first
        now = self._chance.now()
        one = first.load.latency(now) * (first.load.under_way + 1)
        other = second.load.latency(now) * (second.load.under_way + 1)
        return second if other < one else first
