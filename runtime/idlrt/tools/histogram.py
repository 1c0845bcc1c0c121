"""Latency histogram with a relative error of 1 % and bounded memory.

Each bucket is 1 % wider than the previous one. Source: the idea of HdrHistogram, http://hdrhistogram.org
"""

from __future__ import annotations

import math

__all__ = ["Histogram"]

_SHARE = 1.01
_LOG = math.log(_SHARE)
_SMALLEST = 1e-7


class Histogram:
    """Histogram of durations in seconds.

    Attributes:
        count: number of values.
        total: sum of the values.
        smallest: minimum; infinite if there are no values.
        largest: maximum; 0 if there are no values.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.smallest = math.inf
        self.largest = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Add a value."""
        seconds = max(seconds, _SMALLEST)
        bucket = math.floor(math.log(seconds / _SMALLEST) / _LOG)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.total += seconds
        self.smallest = min(self.smallest, seconds)
        self.largest = max(self.largest, seconds)

    @property
    def mean(self) -> float:
        """Mean of the values; 0 if there are none."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the value that `percent` percent of the values do not exceed, accurate to 1 %; 0 if there are none."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(_SMALLEST * _SHARE ** (bucket + 1), self.largest)
        return self.largest
