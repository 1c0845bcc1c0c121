"""Balancer `p2c`, the default: power of two choices with peak EWMA latency.

Draw two instances by weight and pick the one with the lower expected response time. That costs the same for two
instances as for thousands, and clients that do not coordinate do not all pick the same instance.

The expected response time is the peak EWMA of the latency times the calls in flight, including this one. Both draws may
hit the same instance: this way a slow instance is called now and then, and its recovery is noticed.

Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); Finagle's `p2c.PeakEwma`
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Any

from idlrt.balance.base import C, ClockAndRandom
from idlrt.balance.sampling import WeightedSampling
from idlrt.core import Call

__all__ = ["PowerOfTwoChoices"]


class PowerOfTwoChoices(WeightedSampling[C]):
    """Power of two choices. Implements `Balancer`."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        self._now = sources.now

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Draw two candidates that were not tried and return the one with the lower expected response time."""
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
            # `WeightedSampling.draw` inlined: nearly every call takes this path.
            random, total, weight = self._random, self._total, self._weight
            if weight:
                first = candidates[int(random() * total) // weight]
                second = candidates[int(random() * total) // weight]
            else:
                sums = self._sums
                first = candidates[bisect_right(sums, random() * total, 0, last)]
                second = candidates[bisect_right(sums, random() * total, 0, last)]
        if second is first:
            return first
        now = self._now()
        one, other = first.load, second.load
        if other.latency(now) * (len(other.calls) + 1) < one.latency(now) * (len(one.calls) + 1):
            return second
        return first
