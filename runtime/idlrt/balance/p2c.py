"""`p2c`, the default: of two that are drawn by weight, the one that is expected to answer first. It takes the same time
for two instances and for thousands, and clients that know nothing of each other do not all run to the same one.

What is expected is latency, as peak EWMA, times the calls that are under way already and this one. The two may be the
same one, so now and then also who was slow is called, and can show that it is not any more.

Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); Finagle's `p2c.PeakEwma`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from idlrt.balance.base import C, Chance, Prepared
from idlrt.balance.draws import draw_untried, sums
from idlrt.core import Call

__all__ = ["PowerOfTwoChoices"]


class PowerOfTwoChoices(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        self._sums = sums(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        candidates, weights, chance = self._candidates, self._sums, self._chance
        first = draw_untried(candidates, weights, tried, chance)
        if first is None or len(candidates) < 2:
            return first
        second = draw_untried(candidates, weights, tried, chance)
        if second is first or second is None:
            return first
        now = chance.now()
        one = first.load.latency(now) * (first.load.under_way + 1)
        other = second.load.latency(now) * (second.load.under_way + 1)
        return second if other < one else first
