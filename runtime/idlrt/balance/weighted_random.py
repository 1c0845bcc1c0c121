"""Balancer `weighted_random`: pick an instance at random, with a probability proportional to its weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection

from idlrt.balance.base import C
from idlrt.balance.sampling import WeightedSampling
from idlrt.core import Call

__all__ = ["WeightedRandom"]


class WeightedRandom(WeightedSampling[C]):
    """Weighted random choice. Implements `Balancer`."""

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return a random candidate that was not tried."""
        if tried or self._last < 0:
            return self.draw(tried)
        # `WeightedSampling.draw` inlined, without the handling of tried candidates.
        if self._weight:
            return self._candidates[int(self._random() * self._total) // self._weight]
        return self._candidates[bisect_right(self._sums, self._random() * self._total, 0, self._last)]
