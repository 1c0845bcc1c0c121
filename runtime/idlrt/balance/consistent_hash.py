"""Balancer `consistent_hash`: calls with the same key go to the same instance; when it leaves, only its keys move.

Ketama with the ring layout of Dubbo and Tars, so that their clients and ours agree: 160 points per instance of default
weight, from the MD5 of its address. A key belongs to the next point on the ring. The result is the same in every
process: neither Python's `hash` nor randomness is involved.

Sources: Dubbo's `ConsistentHashLoadBalance`, Tars' `consistenthash_new`; Karger et al. (1997)
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from idlrt.balance.base import C, ClockAndRandom
from idlrt.balance.bounded import Bounded
from idlrt.balance.digests import new_md5
from idlrt.core.instance import DEFAULT_WEIGHT

__all__ = ["ConsistentHash", "points"]

_POINTS: Final = 160
_POINTS_PER_DIGEST: Final = 4
# Upper bound for the whole ring; weights that would need more points are scaled down.
_MAX_POINTS: Final = 200_000
# A point and the index of its owner are packed into one integer, so that rings sort and search fast.
_OWNER_BITS: Final = 24
_OWNER: Final = (1 << _OWNER_BITS) - 1
# Addresses whose points are cached: rings are rebuilt when instances join and leave, and most instances stay.
_CACHE_SIZE: Final = 8192
_MAX_CACHED_POINTS: Final = 16 * _POINTS
# Steps along the ring before checking whether an untried candidate exists at all.
_STEPS: Final = 64


class ConsistentHash(Bounded[C]):
    """Hash ring (Ketama). Implements `Balancer`."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        wanted = _POINTS * sum(each.instance.weight for each in candidates) // DEFAULT_WEIGHT
        scale = min(1.0, max(_MAX_POINTS, _POINTS * len(candidates)) / wanted) if wanted else 1.0
        ring: list[int] = []
        for number, each in enumerate(self._ordered):
            if weight := each.instance.weight:
                count = max(int(_POINTS * weight * scale) // DEFAULT_WEIGHT, _POINTS_PER_DIGEST)
                count -= count % _POINTS_PER_DIGEST
                positions = _cached_points if count <= _MAX_CACHED_POINTS else _shifted_points
                ring.extend(map(number.__or__, positions(each.instance.address, count)))
        ring.sort()  # fast: timsort merges the sorted runs
        self._ring = ring

    def owner(self, place: int, tried: Collection[C]) -> C | None:
        """Return the owner of the next point on the ring that was not tried; `None` if all were."""
        ring, ordered = self._ring, self._ordered
        if not ring:
            return None
        count = len(ring)
        start = bisect_left(ring, place << _OWNER_BITS)
        found = ordered[ring[start if start < count else 0] & _OWNER]
        if not tried or found not in tried:
            return found
        for step in range(1, count):
            found = ordered[ring[(start + step) % count] & _OWNER]
            if found not in tried:
                return found
            if step == _STEPS and not any(each.instance.weight and each not in tried for each in ordered):
                break
        return None


def points(address: str, count: int) -> Iterable[int]:
    """Return the points of an instance on the ring, at least 0 and below 2^32, in the order in which Dubbo makes them.

    Args:
        count: number of points, a multiple of four.
    """
    for number in range(count // _POINTS_PER_DIGEST):
        yield from struct.unpack("<4I", new_md5(f"{address}{number}".encode()).digest())


def _shifted_points(address: str, count: int) -> array[int]:
    return array("Q", sorted([point << _OWNER_BITS for point in points(address, count)]))


_cached_points = lru_cache(maxsize=_CACHE_SIZE)(_shifted_points)
