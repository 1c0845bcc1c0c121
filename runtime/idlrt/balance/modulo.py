"""Balancer `modulo`: key-based, by the key's digest modulo the number of instances.

Keys spread evenly and construction is cheap; but when an instance joins or leaves, nearly all keys move. The result is
the same in every process. Weights do not count.

Source: Tars' `modhash`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from idlrt.balance.base import BalancerBase, C, ClockAndRandom
from idlrt.balance.digests import new_md5
from idlrt.balance.keys import key_of
from idlrt.core import Call

__all__ = ["Modulo"]


class Modulo(BalancerBase[C]):
    """Digest modulo the number of candidates. Implements `Balancer`."""

    covers_all: ClassVar[bool] = True

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        super().__init__(sorted(candidates, key=lambda candidate: candidate.instance.address), sources, settings)
        self._count = len(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return the candidate at index digest modulo count.

        If it was tried, the remaining digits of the digest choose its substitutes, so that its keys do not all go to
        its neighbor.
        """
        candidates, count = self._candidates, self._count
        if not count:
            return None
        digest = int.from_bytes(new_md5(key_of(call)).digest(), "little")
        found = candidates[digest % count]
        if not tried or found not in tried:
            return found
        rest, place = divmod(digest, count)
        while rest:
            rest, place = divmod(rest, count) if count > 1 else (0, 0)
            found = candidates[place]
            if found not in tried:
                return found
        for step in range(count):
            found = candidates[(place + step) % count]
            if found not in tried:
                return found
        return None
