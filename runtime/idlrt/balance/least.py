"""By load: `least_requests`, the one with the fewest calls under way; `least_connections`, the one with the fewest
connections; both for each part of the weight. Of more than ten, ten are looked at, from a place that is drawn.

Source: Motan's `ActiveWeightLoadBalance` (ten from a random start), Dubbo's `LeastActiveLoadBalance` (the fewest).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from idlrt.balance.base import C, Prepared
from idlrt.core import Call

__all__ = ["LeastConnections", "LeastRequests"]

_LOOKED_AT: Final = 10


class LeastRequests(Prepared[C]):
    """See the module. A `Balancer`."""

    def _load(self, candidate: C) -> int:
        return candidate.load.under_way

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        candidates = self._candidates
        count = len(candidates)
        best: C | None = None
        best_load = best_weight = looked_at = 0
        start = self._chance.below(count) if count else 0
        for step in range(count):
            each = candidates[(start + step) % count]
            if each in tried:
                continue
            load, weight = self._load(each), each.weight or 1
            # Fewer for each part of the weight; of those alike the heavier, of those the first from the drawn place.
            one, other = load * best_weight, best_load * weight
            if best is None or one < other or (one == other and weight > best_weight):
                best, best_load, best_weight = each, load, weight
            looked_at += 1
            if looked_at == _LOOKED_AT:
                break
        return best


class LeastConnections(LeastRequests[C]):
    """See the module. A `Balancer`."""

    def _load(self, candidate: C) -> int:
        return candidate.load.connections()
