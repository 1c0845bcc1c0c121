"""Keys of cells and blocks: tier, number of the cell or block since 1970, and series, in one integer.

A tier is a level, and whether the series is an aggregate of a service.
"""

from __future__ import annotations

from typing import Final

__all__ = ["key", "keys", "number_of", "series_of"]

_SERIES_BITS: Final = 27
_NUMBER_BITS: Final = 31


def key(tier: int, number: int, series: int = 0) -> int:
    """Return the key of a cell or block."""
    return (tier << _NUMBER_BITS | number) << _SERIES_BITS | series


def series_of(key: int) -> int:
    """Return the series of a key."""
    return key & (1 << _SERIES_BITS) - 1


def number_of(key: int) -> int:
    """Return the number of the cell or block of a key."""
    return key >> _SERIES_BITS & (1 << _NUMBER_BITS) - 1


def keys(tier: int, first: int, end: int) -> tuple[int, int]:
    """Return the smallest and the largest key of the numbers from `first` up to, not including, `end`."""
    return key(tier, first), key(tier, end) - 1
