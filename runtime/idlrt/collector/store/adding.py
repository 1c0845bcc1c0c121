"""Sums of many histograms, as they are in blocks and pending cells.

A plane of counts, which has the same byte of each count, is read as one integer. Its even and odd bytes are added to
two integers with 16 bits a bucket: that takes a third of the time of a `Row` a cell. Cells with few values are added to
an integer with 8 bits a bucket before.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Final, TypeAlias

from idlrt.collector.store.values import LANE, LANE_BYTES, Row, counts_of
from idlrt.observe.histogram import MAX_INDEX, Histogram

__all__ = ["Packed", "Sum"]

# The lower byte of each of 16 bits.
_EVEN: Final = int.from_bytes(b"\xff\0" * (MAX_INDEX // 2 + 2), "little")
# Bytes of 255 that 16 bits have room for.
_ROOM: Final = 257
# Values that have room in 8 bits, whichever bucket they are in.
_FEW: Final = 255


Packed: TypeAlias = tuple[int, int, tuple[int, ...], int, int, int, int, int, int]
"""Histogram of a cell, with its counts as they are stored.

In this order: buckets that were merged into one, as a power of two; index of the first bucket, in merged buckets;
planes, which are integers of one byte a bucket: the lowest byte of all counts, the next one, and so on; number of
values; sum, smallest and largest value in nanoseconds; bytes received and sent.
"""


class Sum:
    """Sum of histograms, as coarse as the coarsest one."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}

    def add(self, cell: Packed) -> None:
        """Add a histogram."""
        part = self._parts.get(cell[0])
        if part is None:
            part = self._parts[cell[0]] = _Part(cell[0])
        part.add(cell)

    def histogram(self) -> Histogram:
        """Return the sum of what was added, at least one histogram."""
        parts = list(self._parts.values())
        if len(parts) == 1:
            return parts[0].histogram()
        return Row.summed([each.row() for each in parts]).histogram()


class _Part:
    """Sum of histograms with the same buckets."""

    __slots__ = (
        *("_base", "_bits", "_count", "_even", "_few", "_few_lanes", "_least", "_most", "_number", "_odd"),
        *("_received", "_rows", "_sent", "_total"),
    )

    def __init__(self, bits: int) -> None:
        self._bits = bits
        # Bucket of the first bits, which is an even one: so even bytes stay even.
        self._base = -1
        self._even: list[int] = []
        self._odd: list[int] = []
        # Number of values in 8 bits a bucket, and their counts.
        self._few = self._few_lanes = 0
        # How often bytes were added to even and odd ones.
        self._number = 0
        self._rows: list[Row] = []
        self._count = self._total = self._least = self._most = self._received = self._sent = 0

    def add(self, cell: Packed) -> None:
        _, low, planes, count, total, least, most, received, sent = cell
        self._received += received
        self._sent += sent
        if not count:
            return
        if not self._count or least < self._least:
            self._least = least
        if most > self._most:
            self._most = most
        self._count += count
        self._total += total
        if not 0 <= self._base <= low:
            self._move(low)
        shift = 8 * (low - self._base)
        if count <= _FEW and len(planes) == 1:
            if self._few + count > _FEW:
                self._spread((self._few_lanes,))
                self._few = self._few_lanes = 0
            self._few += count
            self._few_lanes += planes[0] << shift
        else:
            self._spread([plane << shift for plane in planes])

    def _spread(self, planes: Sequence[int]) -> None:
        """Add bytes to the even and the odd ones."""
        if self._number == _ROOM:
            self._rows.append(self._counts())
            self._even, self._odd, self._number = [], [], 0
        self._number += 1
        even, odd = self._even, self._odd
        while len(even) < len(planes):
            even.append(0)
            odd.append(0)
        for at, plane in enumerate(planes):
            even[at] += plane & _EVEN
            odd[at] += plane >> 8 & _EVEN

    def _move(self, low: int) -> None:
        base = low - low % 2
        if self._base >= 0:
            shift = 8 * (self._base - base)
            self._even = [each << shift for each in self._even]
            self._odd = [each << shift for each in self._odd]
            self._few_lanes <<= shift
        self._base = base

    def _counts(self) -> Row:
        """Return the counts that were added to the integers as lanes of a row."""
        size = max([-(-each.bit_length() // 16) for each in (*self._even, *self._odd)], default=0)
        lanes = 0
        for at, (even, odd) in enumerate(zip(self._even, self._odd, strict=True)):
            raw = bytearray(2 * LANE_BYTES * size)
            for start, each in ((0, even), (LANE_BYTES, odd)):
                data = each.to_bytes(2 * size, "little")
                raw[start :: 2 * LANE_BYTES] = data[::2]
                raw[start + 1 :: 2 * LANE_BYTES] = data[1::2]
            lanes += int.from_bytes(raw, "little") << 8 * at
        return Row(self._bits, max(self._base, 0), lanes, 1, 0, 0, 0, 0, 0)

    def histogram(self) -> Histogram:
        self._finish()
        if self._rows or len(self._even) > 1:
            return self.row().histogram()
        # Most sums have one plane: its bytes are the counts.
        words: Sequence[int] = b""
        if self._even:
            even, odd = self._even[0], self._odd[0]
            size = max(-(-even.bit_length() // 16), -(-odd.bit_length() // 16))
            low, high = even.to_bytes(2 * size, "little"), odd.to_bytes(2 * size, "little")
            if self._count < 256:
                raw = bytearray(2 * size)
                raw[::2], raw[1::2] = low[::2], high[::2]
                words = raw
            else:
                raw = bytearray(4 * size)
                raw[::4], raw[1::4], raw[2::4], raw[3::4] = low[::2], low[1::2], high[::2], high[1::2]
                words = array("H", bytes(raw))
                if sys.byteorder == "big":
                    words.byteswap()
        return Histogram(
            *(counts_of(self._bits, max(self._base, 0), words), self._count, self._total),
            *(self._least, self._most, self._received, self._sent),
        )

    def _finish(self) -> None:
        if self._few:
            self._spread((self._few_lanes,))
            self._few = self._few_lanes = 0

    def row(self) -> Row:
        self._finish()
        found = self._counts()
        low, lanes = found.low, found.lanes
        if self._rows:
            rows = [*self._rows, found]
            low = min([each.low for each in rows])
            lanes = sum([each.lanes << (each.low - low) * LANE for each in rows])
        return Row(
            *(self._bits, low, lanes, self._count, self._total),
            *(self._least, self._most, self._received, self._sent),
        )
