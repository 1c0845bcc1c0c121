"""`modulo`: by key, spread evenly, and quickly made; when an instance comes or leaves, nearly all keys move. The same
in every process; weights do not count.

Source: Tars' `modhash`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from idlrt.balance.base import C, Chance, Prepared
from idlrt.balance.digests import new_md5
from idlrt.balance.keys import key_of
from idlrt.core import Call

__all__ = ["Modulo"]


class Modulo(Prepared[C]):
    """See the module. A `Balancer`."""

    covers_all: ClassVar[bool] = True

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        super().__init__(sorted(candidates, key=lambda candidate: candidate.instance.address), chance, settings)
        self._count = len(candidates)

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return the candidate whose number is the digest of the key modulo their count. The rest of the digest says
        the substitutes of a tried one, so that its keys do not all go to its neighbour.
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
