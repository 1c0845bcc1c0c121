"""In turn: `round_robin`, each as often as the others; `weighted_round_robin`, each as often as its weight says, and
the turns of one as far apart as possible.

The order of a whole round is made beforehand, so a turn costs one number. Clients begin at different places, so that
not all of them call the same instance first.

Source: nginx's smooth weighted round robin (`ngx_http_upstream_get_peer`)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from typing import Any, Final

from idlrt.balance.base import C, Chance, Prepared
from idlrt.core import Call

__all__ = ["RoundRobin", "WeightedRoundRobin", "smooth_order"]

# Turns of a round. Weights that would need more are rounded.
_LONGEST: Final = 4096
# Steps that nginx's order may take to make.
_STEPS: Final = 100_000


class RoundRobin(Prepared[C]):
    """See the module. A `Balancer`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(candidates, chance, settings)
        self._order = self._arrange()
        # Taking the next number is one step for all threads.
        self._turns = itertools.count(chance.below(len(self._order)) if self._order else 0)

    def _arrange(self) -> Sequence[C]:
        return self._candidates

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`."""
        order = self._order
        if not order:
            return None
        turn = next(self._turns)
        found = order[turn % len(order)]
        if found not in tried:
            return found
        for more in range(1, len(order)):
            found = order[(turn + more) % len(order)]
            if found not in tried:
                return found
        return None


class WeightedRoundRobin(RoundRobin[C]):
    """See the module. A `Balancer`."""

    def _arrange(self) -> Sequence[C]:
        weights = [each.weight for each in self._candidates]
        return [self._candidates[index] for index in smooth_order(weights)]


def smooth_order(weights: Sequence[int]) -> list[int]:
    """One round: each index as often as its weight says, in nginx's order. Where nobody has a weight, all have the
    same.
    """
    if not any(weights):
        return list(range(len(weights)))
    common = math.gcd(*weights)
    parts = [weight // common for weight in weights]
    if sum(parts) > _LONGEST:
        scale = _LONGEST / sum(parts)
        parts = [max(round(part * scale), 1) if part else 0 for part in parts]
    if sum(parts) * len(parts) > _STEPS:
        return _even_order(parts)
    total, current = sum(parts), [0] * len(parts)
    order: list[int] = []
    for _ in range(total):
        best = -1
        for index, part in enumerate(parts):
            current[index] += part
            if part and (best < 0 or current[index] > current[best]):
                best = index
        current[best] -= total
        order.append(best)
    return order


def _even_order(parts: Sequence[int]) -> list[int]:
    """Nearly the same for many: the turns of each lie evenly in the round."""
    turns = [((turn + 0.5) / part, index) for index, part in enumerate(parts) for turn in range(part)]
    return [index for _, index in sorted(turns)]
