"""`consistent_hash`: by key, so that calls with one key meet one instance, and when an instance leaves only its own
keys move.

It is Ketama as Dubbo and Tars lay it out: 160 points on a ring for each instance of the usual weight, from the MD5 of
its address; so clients of theirs agree with ours. A key belongs to the next point. Every process gives the same answer:
neither Python's own hashes nor chance are in it.

Sources: Dubbo's `ConsistentHashLoadBalance`, Tars' `consistenthash_new`; Karger et al. (1997)
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from idlrt.balance.base import C, Chance
from idlrt.balance.bounded import Bounded
from idlrt.balance.digests import new_md5
from idlrt.core.instance import DEFAULT_WEIGHT

__all__ = ["ConsistentHash", "points"]

_POINTS: Final = 160
_IN_A_DIGEST: Final = 4
# Of all instances; weights that would need more are taken in proportion.
_MOST_POINTS: Final = 200_000
# A point and whose it is are one number, so that rings are sorted and searched quickly.
_OWNER_BITS: Final = 24
_OWNER: Final = (1 << _OWNER_BITS) - 1
# Points are kept for so many addresses: rings are made anew when instances come and go, with most of them as before.
_KEPT: Final = 8192
_LARGEST_KEPT: Final = 16 * _POINTS
# Steps along the ring before it is asked whether anybody is left.
_STEPS: Final = 64


class ConsistentHash(Bounded[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        wanted = _POINTS * sum(each.instance.weight for each in candidates) // DEFAULT_WEIGHT
        scale = min(1.0, max(_MOST_POINTS, _POINTS * len(candidates)) / wanted) if wanted else 1.0
        ring: list[int] = []
        for number, each in enumerate(self._ordered):
            if weight := each.instance.weight:
                count = max(int(_POINTS * weight * scale) // DEFAULT_WEIGHT, _IN_A_DIGEST)
                count -= count % _IN_A_DIGEST
                made = _kept_points if count <= _LARGEST_KEPT else _placed_points
                ring.extend(map(number.__or__, made(each.instance.address, count)))
        ring.sort()  # many sorted runs: merged rather than sorted
        self._ring = ring

    def owner(self, place: int, tried: Collection[C]) -> C | None:
        """See `Bounded.owner`. The one that follows is the next one on the ring."""
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
    """Where an instance stands on the ring, from 0 to below 2^32, in the order in which Dubbo makes them.

    Args:
        count: of points, a multiple of four.
    """
    for number in range(count // _IN_A_DIGEST):
        yield from struct.unpack("<4I", new_md5(f"{address}{number}".encode()).digest())


def _placed_points(address: str, count: int) -> array[int]:
    return array("Q", sorted([point << _OWNER_BITS for point in points(address, count)]))


_kept_points = lru_cache(maxsize=_KEPT)(_placed_points)
