"""Balancer `round_robin`: call the instances in rotation; weights do not count.

Each client starts at a random position, so that clients that start together do not all call the same instance first.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

from idlrt.balance.base import BalancerBase, C, ClockAndRandom
from idlrt.core import Call

__all__ = ["RoundRobin"]


class RoundRobin(BalancerBase[C]):
    """Rotation over a precomputed order, so that a pick costs one counter increment. Implements `Balancer`."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        self._order = self.order(candidates)
        # `next` on a counter is atomic across threads.
        self._turns = itertools.count(sources.below(len(self._order)) if self._order else 0)

    def order(self, candidates: Sequence[C]) -> Sequence[C]:
        """Return one full round; subclasses may repeat candidates in it."""
        return candidates

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return the next candidate in the rotation that was not tried."""
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
