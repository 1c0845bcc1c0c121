"""Balancer `maglev`: key-based like `consistent_hash`, with a lookup table instead of a ring.

Shares are more even and lookups faster; but when an instance leaves, a few keys of other instances move too.

Instances take turns filling a table of 65537 slots, each in a permutation derived from its address; heavier instances
take more turns. Shares are even to within 1 % for up to about 650 instances.

Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Final, cast

from idlrt.balance.base import C, ClockAndRandom
from idlrt.balance.bounded import Bounded
from idlrt.balance.digests import new_md5

__all__ = ["Maglev"]

# A prime, so that every step width visits every slot.
_SIZE: Final = 65537
# Steps along the table before checking whether an untried candidate exists at all.
_STEPS: Final = 64


class Maglev(Bounded[C]):
    """Maglev lookup table. Implements `Balancer`."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(candidates, sources, settings)
        self._table = _filled([each for each in self._ordered if each.instance.weight])

    def owner(self, place: int, tried: Collection[C]) -> C | None:
        """Return the owner of the next slot that was not tried; `None` if all were. The successor differs per slot."""
        table = self._table
        if not table:
            return None
        start = place % _SIZE
        found = table[start]
        if not tried or found not in tried:
            return found
        for step in range(1, _SIZE):
            found = table[(start + step) % _SIZE]
            if found not in tried:
                return found
            if step == _STEPS and not any(each.instance.weight and each not in tried for each in self._ordered):
                break
        return None


def _filled(owners: Sequence[C]) -> list[C]:
    """Return the lookup table: the owner of each slot."""
    if not owners:
        return []
    steps: list[int] = []
    at: list[int] = []
    for each in owners:
        digest = new_md5(each.instance.address.encode()).digest()
        at.append(int.from_bytes(digest[:8], "little") % _SIZE)
        steps.append(int.from_bytes(digest[8:], "little") % (_SIZE - 1) + 1)
    table: list[C | None] = [None] * _SIZE
    for index in _turns([each.instance.weight for each in owners]):
        place, step = at[index], steps[index]
        while table[place] is not None:
            place += step
            if place >= _SIZE:
                place -= _SIZE
        table[place] = owners[index]
        at[index] = place
    return cast("list[C]", table)


def _turns(weights: Sequence[int]) -> Iterable[int]:
    """Return the index of the owner whose turn it is, once per slot: the n-th turn of each comes at time n/weight."""
    count = len(weights)
    if min(weights) == max(weights):
        rounds = -(-_SIZE // count)
        return list(chain.from_iterable(repeat(range(count), rounds)))[:_SIZE]
    total = sum(weights)
    turns = [
        (turn / weight, index)
        for index, weight in enumerate(weights)
        for turn in range(min(_SIZE * weight // total + 2, _SIZE))
    ]
    return [index for _, index in sorted(turns)[:_SIZE]]
