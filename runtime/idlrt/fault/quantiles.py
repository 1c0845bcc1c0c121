"""Latency quantiles over a sliding window.

A histogram whose buckets grow by 5 %, so quantiles are accurate to 5 %. The window consists of two halves, and the
older one is dropped as a whole: old measurements expire, and recording one costs one logarithm.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Quantiles"]

_SMALLEST: Final = 1e-4
_GROWTH: Final = math.log(1.05)
_BUCKETS: Final = 300  # up to 226 s
_REFRESH: Final = 0.1


class Quantiles:
    """Latencies of a window. Threads may share it; a race loses at most a measurement.

    Args:
        window: maximum age of a measurement in seconds.
    """

    __slots__ = ("_began", "_counts", "_half", "_kept", "_kept_at", "_older", "_total", "_total_older")

    def __init__(self, window: float = 20.0) -> None:
        self._half = window / 2
        self._began = -math.inf
        self._counts = [0] * _BUCKETS
        self._older = [0] * _BUCKETS
        self._total = self._total_older = 0
        self._kept: dict[float, float] = {}
        self._kept_at = -math.inf

    def add(self, seconds: float, now: float) -> None:
        """Record the latency of a call."""
        self._turn(now)
        place = int(math.log(seconds / _SMALLEST) / _GROWTH) + 1 if seconds > _SMALLEST else 0
        self._counts[min(place, _BUCKETS - 1)] += 1
        self._total += 1

    def count(self, now: float) -> int:
        """Return the number of measurements in the window."""
        self._turn(now)
        return self._total + self._total_older

    def quantile(self, share: float, now: float) -> float:
        """Return the latency in seconds that a fraction `share` (0 to 1) of the calls did not exceed; 0 for no data."""
        if now - self._kept_at > _REFRESH:
            self._kept = {}
            self._kept_at = now
        found = self._kept.get(share)
        if found is None:
            found = self._kept[share] = self._find(share, now)
        return found

    def _find(self, share: float, now: float) -> float:
        wanted = self.count(now) * share
        if not wanted:
            return 0.0
        seen = 0
        for place in range(_BUCKETS):
            seen += self._counts[place] + self._older[place]
            if seen >= wanted:
                return _SMALLEST * math.exp(place * _GROWTH)
        return _SMALLEST * math.exp(_BUCKETS * _GROWTH)

    def _turn(self, now: float) -> None:
        passed = now - self._began
        if passed < self._half:
            return
        fresh = [0] * _BUCKETS
        self._older, self._total_older = (self._counts, self._total) if passed < 2 * self._half else (fresh[:], 0)
        self._counts, self._total, self._began = fresh, 0, now
