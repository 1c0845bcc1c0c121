"""The median of a few numbers, with a confidence interval that assumes nothing about their distribution."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Interval", "median_interval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A median and its confidence interval.

    Attributes:
        median: of the numbers.
        low: lower bound.
        high: upper bound.
        confidence: of the interval, between 0 and 1.
    """

    median: float
    low: float
    high: float
    confidence: float

    def contains(self, value: float) -> bool:
        """Return whether `value` lies within the bounds."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the median of `values`, and the narrowest interval of order statistics with at least this confidence.

    With too few values the interval has all of them, and less confidence.

    Source: H. A. David, H. N. Nagaraja, "Order Statistics", 3rd edition (2003), section 7.1. The number of values below
    the true median is binomial, with probability 1/2.
    """
    if not values:
        raise ValueError("a median needs at least one value")
    ordered = sorted(values)
    count = len(ordered)
    left_out = 0
    # Probability that the true median lies outside, beyond the `left_out` outermost values on both sides.
    outside = 2 * 0.5**count
    while left_out + 1 < count / 2:
        more = outside + 2 * math.comb(count, left_out + 1) * 0.5**count
        if 1 - more < confidence:
            break
        outside, left_out = more, left_out + 1
    return Interval(
        median=statistics.median(ordered),
        low=ordered[left_out],
        high=ordered[count - 1 - left_out],
        confidence=max(1 - outside, 0.0),
    )
