"""Picker: picks one endpoint of a pool for each call, by the balancer, among the healthy endpoints.

Unhealthy endpoints receive no calls, unless too few are healthy: with less than the panic threshold (half of them by
default), failures say more about the network than about the endpoints, so all receive calls (Envoy's panic threshold).
A picker belongs to one pool, and is discarded with it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, MutableMapping
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from idlrt.balance import BALANCERS, Balancer, Endpoint
from idlrt.core import Call, ClockAndRandom
from idlrt.guard.breaker import Breaker
from idlrt.route import Pool

__all__ = ["P2C", "BalancerChoice", "Chosen", "Picker", "skip_open_breakers"]


class BalancerChoice(msgspec.Struct, frozen=True):
    """Name and settings of a balancer.

    Attributes:
        name: of the balancer.
        settings: an instance of the balancer's `Settings`.
        key: identity for caches.
    """

    name: str
    settings: Any = None
    key: Hashable = ()


P2C: Final = BalancerChoice("p2c", None, ("p2c",))


class Chosen(Endpoint, Protocol):
    """The part of an endpoint that pickers use: its health."""

    is_unhealthy: bool


class Guarded(Chosen, Protocol):
    """The part of an endpoint that has a circuit breaker."""

    breaker: Breaker


N = TypeVar("N", bound=Chosen)
B = TypeVar("B", bound=Guarded)

# Picks for one call that may meet an open breaker. Soon after it has opened, its endpoint is marked unhealthy.
_TRIES: Final = 3
# Maximum number of balancers that are kept when the pool is replaced, because they are expensive to build.
_MOST_LASTING: Final = 16


class Picker(Generic[N]):
    """Picker of one pool. Threads may share it.

    Args:
        pool: the endpoints.
        sources: clock and random numbers of balancers.
        panic: panic threshold: if the share of healthy endpoints is lower, all receive calls.
        shared_balancers: cache of balancers that do not depend on health, kept when the pool is replaced.

    Attributes:
        endpoints: all endpoints of the pool.
        ready: endpoints that receive calls: the healthy ones, or all in a panic.
        unhealthy: the other endpoints.
        balancers: balancers that were built, by the keys of their settings.
    """

    __slots__ = ("_shared_balancers", "_sources", "balancers", "endpoints", "ready", "unhealthy")

    def __init__(
        self,
        pool: Pool[N],
        sources: ClockAndRandom,
        panic: float = 0.5,
        shared_balancers: MutableMapping[Hashable, Any] | None = None,
    ) -> None:
        self.endpoints = pool.endpoints
        good = tuple(endpoint for endpoint in pool.endpoints if not endpoint.is_unhealthy)
        is_panic = not good or len(good) < len(pool.endpoints) * panic
        self.ready = pool.endpoints if is_panic else good
        self.unhealthy: frozenset[N] = frozenset() if is_panic else frozenset(pool.endpoints).difference(good)
        self._sources = sources
        self.balancers: dict[Hashable, Balancer[N]] = {}
        self._shared_balancers: MutableMapping[Hashable, Any] = shared_balancers if shared_balancers is not None else {}

    def pick(self, call: Call, tried: Collection[N] = (), balancer: BalancerChoice = P2C) -> N | None:
        """Return the endpoint for `call`, an unhealthy one only if no other is left; `None` if all were tried.

        Args:
            tried: endpoints of earlier attempts.

        Raises:
            ConfigurationError: the balancer is unknown, or cannot handle this call.
        """
        chooser = self.balancers.get(balancer.key)
        if chooser is None:
            chooser = self.make(balancer)
        if chooser.covers_all and self.unhealthy:
            found = chooser.pick(call, self.unhealthy.union(tried) if tried else self.unhealthy)
        else:
            found = chooser.pick(call, tried)
        if found is None and (tried or self.unhealthy):
            found = next((endpoint for endpoint in self.endpoints if endpoint not in tried), None)
        return found

    def make(self, balancer: BalancerChoice) -> Balancer[N]:
        """Build a balancer for the endpoints, and keep it in `balancers`."""
        made: Any = BALANCERS.get(balancer.name)
        covers_all: bool = made.covers_all
        key = (
            (balancer.key, self.endpoints, tuple(endpoint.instance.weight for endpoint in self.endpoints))
            if covers_all
            else None
        )
        found: Balancer[N] | None = self._shared_balancers.get(key) if key is not None else None
        if found is None:
            endpoints = self.endpoints if covers_all else self.ready
            fresh: Balancer[N] = made(endpoints, self._sources, balancer.settings)
            found = fresh
            if key is not None:
                while len(self._shared_balancers) >= _MOST_LASTING:
                    self._shared_balancers.pop(next(iter(self._shared_balancers)), None)
                self._shared_balancers[key] = found
        self.balancers[balancer.key] = found
        return found


def skip_open_breakers(picker: Picker[B], call: Call, tried: Collection[B], balancer: BalancerChoice, endpoint: B) -> B:
    """Return `endpoint` if its circuit breaker permits a call, else another endpoint whose breaker does, if any."""
    now = call.driver.now()
    shut = list(tried)
    found: B | None = endpoint
    for _ in range(_TRIES):
        if found is None or found.breaker.is_ready(now):
            break
        shut.append(found)
        found = picker.pick(call, shut, balancer)
    return found if found is not None else endpoint
