"""Choosing an instance: of two that are drawn by weight, the one with fewer calls under way. Takes the same time for
two instances and for thousands.

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001)
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Final, Generic, Protocol, TypeVar

from idlrt.client.health import Health
from idlrt.core import Instance

__all__ = ["Choice"]

_DRAWS: Final = 8
# Envoy's default: with fewer than that left, health says more about the network than about them.
_PANIC: Final = 0.5


class Chosen(Protocol):
    """What is chosen from."""

    instance: Instance
    health: Health
    under_way: int


N = TypeVar("N", bound=Chosen)


class Choice(Generic[N]):
    """What calls may go to. Immutable; made anew when the instances change.

    Args:
        dice: gives numbers from 0 to 1.
    """

    __slots__ = ("_dice", "_is_panicking", "_sums", "nodes")

    def __init__(self, nodes: Sequence[N], dice: Callable[[], float] = random.random) -> None:
        self.nodes = tuple(nodes)
        self._sums = list(accumulate(node.instance.weight for node in self.nodes))
        self._dice = dice
        self._is_panicking = False
        self.recount()

    def recount(self) -> None:
        """Some of them are out that were not, or the other way round."""
        healthy = sum(not node.health.is_out for node in self.nodes)
        self._is_panicking = healthy < len(self.nodes) * _PANIC

    def pick(self, tried: Collection[N] = ()) -> N | None:
        """One that was not tried; one that is out only if too many are, or no other is left. `None` if all were
        tried.
        """
        nodes = self.nodes
        if len(nodes) == 1:
            return nodes[0] if nodes[0] not in tried else None
        if not nodes:
            return None
        first = self._draw(tried)
        if first is None:
            return self._search(tried)
        second = self._draw(tried)
        if second is None or second is first:
            return first
        # Fewer calls under way, for each part of the weight.
        if second.under_way * first.instance.weight < first.under_way * second.instance.weight:
            return second
        return first

    def _draw(self, tried: Collection[N]) -> N | None:
        sums = self._sums
        for _ in range(_DRAWS):
            node = self.nodes[bisect_right(sums, self._dice() * sums[-1], 0, len(sums) - 1)]
            if node not in tried and (self._is_panicking or not node.health.is_out):
                return node
        return None

    def _search(self, tried: Collection[N]) -> N | None:
        """Drawing has found none: most of them are out, or were tried."""
        left = [node for node in self.nodes if node not in tried]
        good = [node for node in left if not node.health.is_out] or left
        return good[int(self._dice() * len(good))] if good else None
