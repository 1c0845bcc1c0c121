"""Values of cells, and how they are added.

Adding is associative and commutative for all kinds, so cells may arrive in any order and are added up to coarser ones
at any time. A histogram is a dense row of counts in one large integer, 40 bits a bucket: adding two rows is one
addition in C, a fraction of the time that dictionaries of buckets take.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from itertools import compress
from typing import Final, Literal, TypeAlias

from idlrt.collector.store.retention import COARSE_BITS
from idlrt.observe.histogram import MAX_INDEX, Histogram
from idlrt.observe.metric import Metric

__all__ = [
    "CODES",
    "LANE",
    "LANE_BYTES",
    "MAX_WORD",
    "REPORTS",
    "Code",
    "Gauge",
    "Row",
    "Stored",
    "code_of",
    "counts_of",
    "stored",
    "summed",
    "total",
]

LANE_BYTES: Final = 5
"""Bytes of a bucket: its count is below 10^12."""

LANE: Final = 8 * LANE_BYTES
"""Bits of a bucket."""

MAX_WORD: Final = (1 << 64) - 1
"""Largest sum that a block can store."""

# Counts of one bucket in one report, which is far more than a process can make in 10 s: 4,096 of them fit.
_MAX_COUNT: Final = 1 << 28
# The first of the two middle buckets of four.
_MIDDLE: Final = (1 << (COARSE_BITS - 1)) - 1

# Buckets, and those in the middle of merged ones; some more than there are, because rows may begin and end before them.
_INDEXES: Final = tuple(range(MAX_INDEX + (2 << COARSE_BITS)))
_MIDDLES: Final = tuple(range(_MIDDLE, MAX_INDEX + (2 << COARSE_BITS), 1 << COARSE_BITS))

REPORTS: Final = Metric(name="_reports", kind="counter", help="Reports of programs")
"""Counter of what was put by program: it tells a step without calls from one in which nothing was measured."""

Code: TypeAlias = Literal[0, 1, 2]
CODES: Final[dict[str, Code]] = {"counter": 0, "gauge": 1, "histogram": 2}
"""Codes of the kinds of metrics."""

Gauge: TypeAlias = tuple[float, float, float, float]
"""Time of the last value, the last value, the smallest and the largest one."""


class Row:
    """Histogram as a row of counts.

    Attributes:
        bits: buckets that were merged into one, as a power of two: 0 or `COARSE_BITS`.
        low: index of the first bucket, in merged buckets.
        lanes: counts; the first bucket is in the lowest bits.
        count: number of values.
        sum: sum in nanoseconds.
        least: smallest value in nanoseconds; 0 without values.
        most: largest value in nanoseconds.
        received: bytes received.
        sent: bytes sent.
        plain: counts as one byte each, if they are known in that form.
    """

    __slots__ = ("bits", "count", "lanes", "least", "low", "most", "plain", "received", "sent", "sum")

    def __init__(
        self,
        bits: int,
        low: int,
        lanes: int,
        count: int,
        sum: int,
        least: int,
        most: int,
        received: int,
        sent: int,
        plain: bytes = b"",
    ) -> None:
        self.bits = bits
        self.low = low
        self.lanes = lanes
        self.count = count
        self.sum = sum
        self.least = least
        self.most = most
        self.received = received
        self.sent = sent
        self.plain = plain

    @classmethod
    def of(cls, histogram: Histogram) -> Row:
        """Return the row of a histogram. Buckets that do not exist and negative counts are left out."""
        counts = histogram.counts
        received, sent = max(histogram.received, 0), max(histogram.sent, 0)
        if not counts:
            return cls(0, 0, 0, 0, 0, 0, 0, received, sent)
        low, high = min(counts), max(counts)
        plain = b""
        try:
            if low < 0:
                raise IndexError
            # One byte a bucket, which almost all cells of 10 s need.
            row = bytearray(MAX_INDEX + 1)
            for index, number in counts.items():
                row[index] = number
            plain = bytes(row[low : high + 1])
            count = sum(counts.values())
            raw = bytearray(LANE_BYTES * len(plain))
            raw[::LANE_BYTES] = plain
        except (ValueError, IndexError):
            if low < 0 or high > MAX_INDEX or min(counts.values()) < 0 or max(counts.values()) > _MAX_COUNT:
                counts = {i: min(n, _MAX_COUNT) for i, n in counts.items() if 0 <= i <= MAX_INDEX and n > 0}
                low, high = min(counts, default=0), max(counts, default=0)
            words = array("Q", bytes(8 * (high - low + 1)))
            for index, number in counts.items():
                words[index - low] = number
            if sys.byteorder == "big":
                words.byteswap()
            wide = words.tobytes()
            raw = bytearray(LANE_BYTES * len(words))
            for at in range(LANE_BYTES):
                raw[at::LANE_BYTES] = wide[at::8]
            count = sum(counts.values())
        if not count:
            return cls(0, 0, 0, 0, 0, 0, 0, received, sent)
        least, most = max(histogram.min, 0), max(histogram.max, 0)
        lanes = int.from_bytes(raw, "little")
        return cls(0, low, lanes, count, max(histogram.sum, 0), least, most, received, sent, plain)

    @classmethod
    def summed(cls, rows: Sequence[Row]) -> Row:
        """Return the sum of rows, as coarse as the coarsest one."""
        if any(row.bits for row in rows):
            rows = [row.coarse() for row in rows]
        received, sent = sum([row.received for row in rows]), sum([row.sent for row in rows])
        filled = [row for row in rows if row.count]
        if not filled:
            return cls(rows[0].bits, 0, 0, 0, 0, 0, 0, received, sent)
        low = min([row.low for row in filled])
        lanes = 0
        for row in filled:
            lanes += row.lanes << (row.low - low) * LANE
        return cls(
            *(rows[0].bits, low, lanes, sum([row.count for row in filled]), sum([row.sum for row in filled])),
            *(min([row.least for row in filled]), max([row.most for row in filled]), received, sent),
        )

    def coarse(self) -> Row:
        """Return the row with four buckets merged into one."""
        if self.bits:
            return self
        # Start at a multiple of 4, and end at one.
        part = (1 << COARSE_BITS) - 1
        before = self.low & part
        width = before + self.width
        width += -width & part
        raw = (self.lanes << before * LANE).to_bytes(width * LANE_BYTES, "little")
        planes = [raw[at::LANE_BYTES] for at in range(self._size)]
        lanes = 0
        for at in range(part + 1):
            merged = bytearray(width // (part + 1) * LANE_BYTES)
            for place, plane in enumerate(planes):
                merged[place::LANE_BYTES] = plane[at :: part + 1]
            lanes += int.from_bytes(merged, "little")
        return Row(
            *(COARSE_BITS, self.low >> COARSE_BITS, lanes, self.count, self.sum),
            *(self.least, self.most, self.received, self.sent),
        )

    @property
    def width(self) -> int:
        """Number of buckets between the first one and the last one, inclusive."""
        return -(-self.lanes.bit_length() // LANE)

    @property
    def _size(self) -> int:
        """Number of bytes that any count requires at most."""
        return min(-(-self.count.bit_length() // 8) or 1, LANE_BYTES)

    def words(self) -> Sequence[int]:
        """Return the counts."""
        raw = self.lanes.to_bytes(LANE_BYTES * self.width, "little")
        size = self._size
        if size == 1:
            return raw[::LANE_BYTES]
        # No count is larger than the number of values, so most rows need two bytes instead of eight.
        code, word = ("H", 2) if size == 2 else ("Q", 8)
        spread = bytearray(word * self.width)
        for at in range(size):
            spread[at::word] = raw[at::LANE_BYTES]
        words = array(code, bytes(spread))
        if sys.byteorder == "big":
            words.byteswap()
        return words

    def histogram(self) -> Histogram:
        """Return the histogram. The counts of merged buckets are in the bucket in their middle."""
        return Histogram(
            *(counts_of(self.bits, self.low, self.words()), self.count, self.sum, self.least, self.most),
            *(self.received, self.sent),
        )


def counts_of(bits: int, low: int, words: Sequence[int]) -> dict[int, int]:
    """Return counts by bucket. Those of merged buckets are in the bucket in their middle.

    Args:
        bits: buckets that were merged into one, as a power of two.
        low: index of the first bucket, in merged buckets.
        words: counts.
    """
    indexes = (_MIDDLES if bits else _INDEXES)[low : low + len(words)]
    # Buckets that do not exist are left out.
    return dict(zip(compress(indexes, words), filter(None, words), strict=False))


Stored: TypeAlias = Row | Gauge | float
"""Value of a cell: of a histogram, a gauge or a counter."""


def stored(code: Code, value: Histogram | float, at: float) -> Stored | None:
    """Return the value of a cell for what was measured at a time; `None` if it is not of its kind or not finite."""
    if isinstance(value, Histogram):
        return Row.of(value) if code == 2 else None
    if code == 2 or not math.isfinite(value):
        return None
    return (at, value, value, value) if code == 1 else value


def summed(values: Sequence[Stored]) -> Stored:
    """Return the sum of values of the same kind, at least one.

    Of gauges of the same time the largest one is the last value, so that their order does not matter.
    """
    if len(values) == 1:
        return values[0]
    first = values[0]
    if isinstance(first, Row):
        return Row.summed([each for each in values if isinstance(each, Row)])
    if isinstance(first, tuple):
        gauges = [each for each in values if isinstance(each, tuple)]
        at, last, _, _ = max(gauges)
        return at, last, min([each[2] for each in gauges]), max([each[3] for each in gauges])
    return sum([each for each in values if isinstance(each, (int, float))])


def code_of(value: Stored) -> Code:
    """Return the code of the kind of a value."""
    return 2 if isinstance(value, Row) else 1 if isinstance(value, tuple) else 0


def total(value: Stored) -> float:
    """Return what groups are ranked by: the count of a histogram, a counter, the last value of a gauge."""
    return float(value.count) if isinstance(value, Row) else value[1] if isinstance(value, tuple) else float(value)
