"""Histograms of durations: log-linear buckets of integer nanoseconds, which merge by addition.

A power of two is divided into 64 buckets of equal width, and values below 128 have one bucket each. So a bucket is at
most 1/64 wide relative to its lower bound, and a percentile, which is the middle of a bucket, is at most 0.8 % off.
Merging adds counts: it is exact, and independent of the order.

Source: HdrHistogram (https://github.com/HdrHistogram/HdrHistogram), with 64 sub-buckets
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

import msgspec

__all__ = ["MAX_INDEX", "SUB_BITS", "Histogram", "bucket_bounds", "bucket_index"]

SUB_BITS: Final = 6
"""Buckets of a power of two, as a power of two."""

_SUB: Final = 1 << SUB_BITS
_MAX_VALUE: Final = (1 << 42) - 1
MAX_INDEX: Final = ((42 - SUB_BITS - 1) << SUB_BITS) + (_MAX_VALUE >> (42 - SUB_BITS - 1))
"""Index of the last bucket, which has all durations from 73 minutes on."""


def bucket_index(value: int) -> int:
    """Return the index of the bucket of a value in nanoseconds; negative values count as 0."""
    if value <= 0:
        return 0
    if value > _MAX_VALUE:
        return MAX_INDEX
    shift = value.bit_length() - SUB_BITS - 1
    return value if shift <= 0 else (shift << SUB_BITS) + (value >> shift)


def bucket_bounds(index: int) -> tuple[int, int]:
    """Return the lowest value of a bucket, and the lowest value above it, in nanoseconds."""
    if index < 2 * _SUB:
        return index, index + 1
    shift = (index >> SUB_BITS) - 1
    lower = (index - (shift << SUB_BITS)) << shift
    return lower, lower + (1 << shift)


class Histogram(msgspec.Struct, frozen=True):
    """Counts of durations.

    Attributes:
        counts: counts by index of the bucket; buckets without values are absent.
        count: number of values.
        sum: sum of the values in nanoseconds.
        min: smallest value in nanoseconds; 0 without values.
        max: largest value in nanoseconds; 0 without values.
        received: bytes of messages that were received in that time, for histograms of calls.
        sent: bytes of messages that were sent.
    """

    counts: Mapping[int, int] = {}
    count: int = 0
    sum: int = 0
    min: int = 0
    max: int = 0
    received: int = 0
    sent: int = 0

    @classmethod
    def of(cls, values: Iterable[int]) -> Self:
        """Return the histogram of values in nanoseconds."""
        counts: dict[int, int] = {}
        given = [max(value, 0) for value in values]
        for value in given:
            index = bucket_index(value)
            counts[index] = counts.get(index, 0) + 1
        return cls(counts, len(given), sum(given), min(given, default=0), max(given, default=0))

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Self:
        """Return the histogram of all values of several histograms."""
        filled = [each for each in parts if each.count]
        if len(filled) == 1 and type(filled[0]) is cls:
            return filled[0]
        counts: dict[int, int] = {}
        count = total = least = most = received = sent = 0
        for each in filled:
            least = each.min if not count else min(least, each.min)
            most = max(most, each.max)
            count += each.count
            total += each.sum
            received += each.received
            sent += each.sent
            for index, number in each.counts.items():
                counts[index] = counts.get(index, 0) + number
        return cls(counts, count, total, least, most, received, sent)

    def since(self, earlier: Histogram) -> Self:
        """Return the histogram of the values that were added after `earlier`, an older state of this histogram.

        Its `min` and `max` are those of the buckets, because the older values hide the exact ones.
        """
        counts = {index: number - earlier.counts.get(index, 0) for index, number in self.counts.items()}
        counts = {index: number for index, number in counts.items() if number > 0}
        if not counts:
            return type(self)()
        least = max(bucket_bounds(min(counts))[0], self.min)
        most = min(bucket_bounds(max(counts))[1] - 1, self.max)
        return type(self)(
            counts,
            self.count - earlier.count,
            self.sum - earlier.sum,
            least,
            most,
            self.received - earlier.received,
            self.sent - earlier.sent,
        )

    @property
    def mean(self) -> float:
        """Mean in seconds; NaN without values."""
        return self.sum / self.count / 1e9 if self.count else math.nan

    def percentile(self, quantile: float) -> float:
        """Return a percentile in seconds; NaN without values.

        Args:
            quantile: between 0 and 1: 0.99 for the 99th percentile.
        """
        return self.percentiles((quantile,))[0]

    def percentiles(self, quantiles: Sequence[float]) -> list[float]:
        """Return several percentiles in seconds, in the order of `quantiles`, which must be ascending."""
        if not self.count:
            return [math.nan] * len(quantiles)
        found: list[float] = []
        cumulative, buckets = 0, iter(sorted(self.counts.items()))
        index, number = next(buckets)
        for quantile in quantiles:
            rank = max(math.ceil(quantile * self.count), 1)
            while cumulative + number < rank:
                cumulative += number
                index, number = next(buckets)
            lower, upper = bucket_bounds(index)
            middle = (lower + upper - 1) / 2
            found.append(min(max(middle, self.min), self.max) / 1e9)
        return found

    def at_most(self, bounds: Sequence[float]) -> list[int]:
        """Return the number of values up to each bound.

        A bucket that contains a bound is divided in proportion, so at most its count is uncertain.

        Args:
            bounds: ascending, in seconds; `math.inf` for all values.
        """
        found: list[int] = []
        ordered = sorted(self.counts.items())
        position = cumulative = 0
        for bound in bounds:
            if bound == math.inf:
                found.append(self.count)
                continue
            limit = round(bound * 1e9)
            while position < len(ordered) and bucket_bounds(ordered[position][0])[1] - 1 <= limit:
                cumulative += ordered[position][1]
                position += 1
            part = 0
            if position < len(ordered):
                lower, upper = bucket_bounds(ordered[position][0])
                if lower <= limit:
                    part = ordered[position][1] * (limit + 1 - lower) // (upper - lower)
            if limit >= self.max:
                found.append(self.count)
            else:
                found.append(cumulative + part)
        return found
