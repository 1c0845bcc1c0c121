"""Balancer `p2c`, the default: the power of two choices. Of two instances that are drawn by weight, pick the one that
is expected to answer first. That takes the same time for two instances and for thousands, and clients that do not know
of each other do not all choose the same one.

The expected time is the latency, as peak EWMA, times the calls in flight including this one. Both draws may give the
same instance: that way a slow one is called now and then, and can show that it has recovered.

Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); Finagle's `p2c.PeakEwma`
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Any

from idlrt.balance.base import C, Chance
from idlrt.balance.draws import Drawing
from idlrt.core import Call

__all__ = ["PowerOfTwoChoices"]


class PowerOfTwoChoices(Drawing[C]):
    """The power of two choices. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        self._now = chance.now

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Draw two candidates that were not tried and return the one that is expected to answer first."""
        candidates, last = self._candidates, self._last
        first: C | None
        second: C | None
        if tried or last < 1:
            first = self.draw(tried)
            if first is None or last < 1:
                return first
            second = self.draw(tried)
            if second is None:
                return first
        else:
            # `Drawing.draw` written out: this is the path of nearly all calls of nearly all clients.
            dice, total, weight = self._dice, self._total, self._weight
            if weight:
                first = candidates[int(dice() * total) // weight]
                second = candidates[int(dice() * total) // weight]
            else:
                sums = self._sums
                first = candidates[bisect_right(sums, dice() * total, 0, last)]
                second = candidates[bisect_right(sums, dice() * total, 0, last)]
        if second is first:
            return first
        now = self._now()
        one, other = first.load, second.load
        if other.latency(now) * (len(other.calls) + 1) < one.latency(now) * (len(one.calls) + 1):
            return second
        return first
