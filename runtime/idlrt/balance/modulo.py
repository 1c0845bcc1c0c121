"""`modulo`: by key, spread evenly, and quickly made; when an instance comes or leaves, nearly all keys move. The same
in every process; weights do not count.

Source: Tars' `modhash`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from idlrt.balance.base import C, Chance, Prepared
from idlrt.balance.bounded import md5
from idlrt.balance.keys import key_of
from idlrt.core import Call

__all__ = ["Modulo"]


class Modulo(Prepared[C]):
    """See the module. A `Balancer`."""

    covers_all: ClassVar[bool] = True

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(sorted(candidates, key=lambda candidate: candidate.instance.address), chance, settings)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """See `Balancer.pick`. Instead of those that were tried, those that the rest of the number says: not always the
        neighbour, who would have all of it.
        """
        candidates = self._candidates
        count = len(candidates)
        if not count:
            return None
        rest = int.from_bytes(md5(key_of(call)), "little")
        rest, place = divmod(rest, count)
        found = candidates[place]
        if found not in tried:
            return found
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
