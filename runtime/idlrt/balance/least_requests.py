"""Balancer `least_requests`: pick the instance with the fewest calls in flight, relative to its weight.

Of more than ten instances, ten are compared: a window that starts at a random position.

Source: Motan's `ActiveWeightLoadBalance` (ten from a random start), Dubbo's `LeastActiveLoadBalance` (the fewest).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, islice
from typing import Any, ClassVar, Final

from idlrt.balance.base import BalancerBase, C, ClockAndRandom
from idlrt.core import Call

__all__ = ["LeastRequests"]

_WINDOW: Final = 10


class LeastRequests(BalancerBase[C]):
    """Fewest calls in flight. Implements `Balancer`."""

    _by_connections: ClassVar[bool] = False

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        self._random = sources.rng
        # With their weights; an instance of weight 0 counts as the lightest.
        self._pairs = [(each, each.weight or 1) for each in candidates]
        self._heaviest = max((weight for _, weight in self._pairs), default=0)
        # Extended by a window's length, so that a window that wraps around is a slice too.
        self._ring = [*self._pairs, *self._pairs[: _WINDOW - 1]]
        self._window = min(len(candidates), _WINDOW)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return the least loaded candidate of the window; among equals the heaviest, then the first."""
        pairs, heaviest, by_connections = self._pairs, self._heaviest, self._by_connections
        if not pairs:
            return None
        start = int(self._random() * len(pairs))
        found: C | None = None
        least, best_weight = 1, 0
        for each, weight in self._untried(start, tried) if tried else self._ring[start : start + self._window]:
            # Both loads are read here, because one function call per candidate would double the cost of a pick.
            load = each.load.connections() if by_connections else len(each.load.calls)
            if not load and weight == heaviest:
                return each  # cannot be beaten
            # load / weight < least / best_weight, in integers
            one, other = load * best_weight, least * weight
            if one < other or (one == other and weight > best_weight):
                found, least, best_weight = each, load, weight
        return found

    def _untried(self, start: int, tried: Collection[C]) -> list[tuple[C, int]]:
        """Return the window over the candidates that were not tried."""
        pairs = self._pairs
        untried = (pair for pair in chain(pairs[start:], pairs[:start]) if pair[0] not in tried)
        return list(islice(untried, _WINDOW))
