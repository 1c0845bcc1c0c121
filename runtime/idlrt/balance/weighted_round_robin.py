"""Balancer `weighted_round_robin`: call the instances in rotation, each as often as its weight, evenly interleaved.

Source: nginx's smooth weighted round robin (`ngx_http_upstream_get_peer`)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from idlrt.balance.base import C
from idlrt.balance.round_robin import RoundRobin

__all__ = ["WeightedRoundRobin", "smooth_order"]

# Maximum length of a round; weights that would need a longer one are rounded.
_MAX_LENGTH: Final = 4096
# Upper bound of the work (turns times instances) for nginx's order.
_MAX_STEPS: Final = 100_000


class WeightedRoundRobin(RoundRobin[C]):
    """Rotation over a round in which candidates repeat by weight. Implements `Balancer`."""

    def order(self, candidates: Sequence[C]) -> Sequence[C]:
        """Return one round in nginx's smooth order."""
        return [candidates[index] for index in smooth_order([each.weight for each in candidates])]


def smooth_order(weights: Sequence[int]) -> list[int]:
    """Return one round of indexes: each as often as its weight, in nginx's order; once each if every weight is 0."""
    if not any(weights):
        return list(range(len(weights)))
    common = math.gcd(*weights)
    parts = [weight // common for weight in weights]
    if sum(parts) > _MAX_LENGTH:
        scale = _MAX_LENGTH / sum(parts)
        parts = [max(round(part * scale), 1) if part else 0 for part in parts]
    if sum(parts) * len(parts) > _MAX_STEPS:
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
    """Approximate the smooth order for many instances: spread the turns of each evenly over the round."""
    turns = [((turn + 0.5) / part, index) for index, part in enumerate(parts) for turn in range(part)]
    return [index for _, index in sorted(turns)]
