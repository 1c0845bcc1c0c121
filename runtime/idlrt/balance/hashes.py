"""By key, so that calls with one key meet one instance: `consistent_hash`, where few keys move when instances come or
go, and `modulo`, which spreads evenly and moves nearly all.

The key is the option `hash_key` (`client.using(hash_key=...)`), or the first argument. Every process gives the same
answer: neither Python's own hashes nor chance are in it. `consistent_hash` is Ketama as Dubbo and Tars lay it out: 160
points for each instance of the usual weight, from the MD5 of its address; so clients of theirs agree with ours.

Sources: Dubbo's `ConsistentHashLoadBalance`, Tars' `consistenthash_new`; Karger et al. (1997)
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final

from idlrt.balance.base import C, Chance, Prepared, key_of
from idlrt.core import Call
from idlrt.core.instance import DEFAULT_WEIGHT

__all__ = ["ConsistentHash", "Modulo"]

_POINTS: Final = 160
_IN_A_DIGEST: Final = 4
# Of all instances; weights that would need more are taken in proportion.
_MOST_POINTS: Final = 200_000


class ConsistentHash(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance) -> None:
        super().__init__(candidates, chance)
        ring: dict[int, C] = {}
        wanted = _POINTS * sum(each.instance.weight for each in candidates) // DEFAULT_WEIGHT
        scale = min(1.0, max(_MOST_POINTS, _POINTS * len(candidates)) / wanted) if wanted else 1.0
        # In an order of their own: where two have one point, it is the same one's in every process.
        for each in sorted(candidates, key=lambda candidate: candidate.instance.address, reverse=True):
            weight = each.instance.weight
            points = max(int(_POINTS * weight * scale) // DEFAULT_WEIGHT, _IN_A_DIGEST) if weight else 0
            for number in range(points // _IN_A_DIGEST):
                digest = _md5(f"{each.instance.address}{number}".encode())
                for place in range(_IN_A_DIGEST):
                    ring[int.from_bytes(digest[4 * place : 4 * place + 4], "little")] = each
        self._points = sorted(ring)
        self._owners = [ring[point] for point in self._points]

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`. Instead of those that were tried, the next one on the ring."""
        owners = self._owners
        if not owners:
            return None
        point = int.from_bytes(_md5(key_of(call))[:4], "little")
        start = bisect_left(self._points, point) % len(owners)
        found = owners[start]
        if found not in tried:
            return found
        for step in range(1, len(owners)):
            found = owners[(start + step) % len(owners)]
            if found not in tried:
                return found
        return None


class Modulo(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance) -> None:
        super().__init__(sorted(candidates, key=lambda candidate: candidate.instance.address), chance)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        candidates = self._candidates
        if not candidates:
            return None
        start = int.from_bytes(_md5(key_of(call))[:8], "little")
        for step in range(len(candidates)):
            found = candidates[(start + step) % len(candidates)]
            if found not in tried:
                return found
        return None


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
