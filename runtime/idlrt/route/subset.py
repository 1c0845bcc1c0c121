"""`subset`: each client calls only a few of many instances, so that connections do not grow with both.

    [[routes]]
    router = "subset"
    size = 20

Instances are ranked by a hash of the client's id and their address, and the first `size` are called: the same ones for
the same client, after a restart too, and spread evenly over many clients. When an instance comes or goes at most one of
a client's changes. One that is out is replaced by the next until it is back.

Source: gRFC A68, https://github.com/grpc/proposal/blob/master/A68-random-subsetting.md
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, ClassVar

import msgspec

from idlrt.core import Call, Chance
from idlrt.route.base import Here, N, Pool, Rule, Step
from idlrt.route.following import Following

__all__ = ["SubsetRouter", "SubsetRule"]


class SubsetRule(Rule, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        size: how many instances a client calls.
    """

    router: str = "subset"
    size: Annotated[int, msgspec.Meta(ge=1)]


class SubsetRouter(Following):
    """See the module. A `Router`."""

    Rule = SubsetRule
    name: ClassVar[str] = "subset"

    def __init__(self, rule: SubsetRule, here: Here, chance: Chance) -> None:
        super().__init__(rule, here, chance)
        # Who has no id gets another subset each time.
        self._id = here.id or f"{chance.dice()}"
        self._ranks: dict[str, bytes] = {}

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """See `Router.route`."""
        found: Pool[N] = pool if len(pool) <= self.rule.size else pool.kept.get(self) or self._prepare(pool)
        if steps is not None:
            size: int = self.rule.size
            why = f"there are no more than {size}" if found is pool else f"the {size} of this client"
            self._tell(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        """See `Router.is_idle`."""
        size: int = self.rule.size
        return len(pool) <= size

    def _prepare(self, pool: Pool[N]) -> Pool[N]:
        # Instances come and go a few at a time, so most of the hashes are known.
        known = self._ranks
        addresses = [node.instance.address for node in pool.nodes]
        ranks = self._ranks = {address: known.get(address) or self._rank(address) for address in addresses}
        order = sorted(pool.nodes, key=lambda node: (node.is_out, ranks[node.instance.address]))
        chosen = set(map(id, order[: self.rule.size]))
        return pool.keep(self, pool.narrowed(self, lambda node: id(node) in chosen), self._prepare)

    def _rank(self, address: str) -> bytes:
        return blake2b(f"{self._id}\0{address}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
