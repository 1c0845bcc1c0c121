"""Immutable state of a service, which calls read. It is replaced as one reference.

It is rebuilt when something changes: on the registry's thread when instances or settings change, by a call or a ping
that finds an endpoint unhealthy or healthy again, and with time during warm-up. Calls read it without a lock and build
nothing. All values of one state are consistent with each other.
"""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping, Sequence
from typing import Any, Final, Generic, cast

from idlrt.client.endpoint import Endpoint, S
from idlrt.client.picker import BalancerChoice, Picker
from idlrt.core import ClockAndRandom
from idlrt.route import Pool
from idlrt.route.chain import Chain

__all__ = ["ServiceState"]


# Maximum number of subsets of a pool that are prepared in advance; others are built when a call needs them.
_MAX_PARTS: Final = 64


class ServiceState(Generic[S]):
    """State of a service at one time.

    Attributes:
        version: version of the settings.
        chain: the routers.
        pool: all endpoints in rotation, including unhealthy ones.
        is_ready: whether calls can use it: the instances are known, including those of other groups that rules mix in,
            and the client is not closed.
        is_panic: whether so few endpoints are healthy that health is ignored.
        picker: picker of calls that no router narrows; `None` if a router may narrow some, or there is no endpoint.
    """

    __slots__ = (
        "_panic",
        "_shared_balancers",
        "_sources",
        "chain",
        "is_panic",
        "is_ready",
        "picker",
        "pool",
        "version",
    )

    def __init__(
        self,
        version: int,
        chain: Chain,
        pool: Pool[Endpoint[S]],
        sources: ClockAndRandom,
        shared_balancers: MutableMapping[Hashable, Any],
        *,
        panic: float = 0.5,
        is_panic: bool = False,
        is_ready: bool = False,
    ) -> None:
        self.version = version
        self.chain = chain
        self.pool = pool
        self.is_panic = is_panic
        self.is_ready = is_ready
        self._sources = sources
        self._shared_balancers = shared_balancers
        self._panic = panic
        self.picker: Picker[Endpoint[S]] | None = None
        if pool.endpoints and not chain.busy(pool):
            self.picker = self.picker_of(pool)

    def picker_of(self, pool: Pool[Endpoint[S]]) -> Picker[Endpoint[S]]:
        """Return the picker of `pool`, which is the pool of this state or a subset of it."""
        found: Picker[Endpoint[S]] | None = pool.cache.get(Picker)
        if found is None:
            found = pool.cache[Picker] = Picker(pool, self._sources, self._panic, self._shared_balancers)
        return found

    def prepare(self, old: ServiceState[S], balancers: Sequence[BalancerChoice]) -> None:
        """Build in advance what calls used in the state `old`, so that the next call need not.

        Args:
            balancers: in use.
        """
        if self.chain is old.chain and self.pool is not old.pool:
            self._prepare(self.pool, old.pool, balancers)
        if self.picker is not None:
            _make(self.picker, balancers)

    def _prepare(self, pool: Pool[Endpoint[S]], old: Pool[Endpoint[S]], balancers: Sequence[BalancerChoice]) -> None:
        if not pool.endpoints:
            return
        for key, recipe in list(old.recipes.items()):
            if key not in pool.cache:
                recipe(pool)
        self.chain.prepare(pool, old)
        if (known := old.cache.get(Picker)) is not None:
            _make(self.picker_of(pool), [each for each in balancers if each.key in known.balancers])
        for key, before in list(old.cache.items())[:_MAX_PARTS]:
            after = pool.cache.get(key)
            # A subset with all endpoints of a pool is the pool itself.
            if isinstance(before, Pool) and isinstance(after, Pool) and before is not old and after is not pool:
                self._prepare(cast("Pool[Endpoint[S]]", after), cast("Pool[Endpoint[S]]", before), balancers)


def _make(picker: Picker[Endpoint[S]], balancers: Sequence[BalancerChoice]) -> None:
    for each in balancers:
        if each.key not in picker.balancers:
            picker.make(each)
