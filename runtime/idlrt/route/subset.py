"""Router `subset`: each client calls only some of the instances, which bounds the number of connections.

    [[routes]]
    router = "subset"
    size = 20

Instances are ranked by a hash of the client's id and their address, and the first `size` are used: the same ones for
the same client, also after a restart, and evenly distributed over many clients. When an instance joins or leaves, at
most one instance of a client's subset changes. An unhealthy instance is replaced by the next one until it recovers.

Source: gRFC A68, https://github.com/grpc/proposal/blob/master/A68-random-subsetting.md
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, ClassVar

import msgspec

from idlrt.core import Call, ClockAndRandom
from idlrt.printable import plural
from idlrt.route.base import CallerInfo, N, Pool, Rule, Step
from idlrt.route.router_base import RouterBase

__all__ = ["SubsetRouter", "SubsetRule"]


class SubsetRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `subset`.

    Attributes:
        size: number of instances per client.
    """

    router: str = "subset"
    size: Annotated[int, msgspec.Meta(ge=1)]


class SubsetRouter(RouterBase):
    """Random subset per client. Implements `Router`."""

    Rule = SubsetRule
    name: ClassVar[str] = "subset"

    def __init__(self, rule: SubsetRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        # A client without an id gets another subset each time it is created.
        self._id = caller.id or f"{sources.rng()}"
        self._ranks: dict[str, bytes] = {}

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        found: Pool[N] = pool if len(pool) <= self.rule.size else pool.cache.get(self) or self._prepare(pool)
        if steps is not None:
            size: int = self.rule.size
            why = f"at most {plural(size, 'instance')}" if found is pool else f"subset of {size} for this client"
            self._add_step(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        size: int = self.rule.size
        return len(pool) <= size

    def _prepare(self, pool: Pool[N]) -> Pool[N]:
        # Reuse the hashes, because only a few instances change at a time.
        known = self._ranks
        addresses = [endpoint.instance.address for endpoint in pool.endpoints]
        ranks = self._ranks = {address: known.get(address) or self._rank(address) for address in addresses}
        order = sorted(pool.endpoints, key=lambda endpoint: (endpoint.is_unhealthy, ranks[endpoint.instance.address]))
        chosen = set(map(id, order[: self.rule.size]))
        return pool.store(self, pool.narrowed(self, lambda endpoint: id(endpoint) in chosen), self._prepare)

    def _rank(self, address: str) -> bytes:
        return blake2b(f"{self._id}\0{address}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
