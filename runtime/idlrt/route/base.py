"""Interface of routers, and the pools of endpoints that they narrow.

A router implements one rule (`[[routes]]` in a configuration) and is applied to each call. It returns the pool that it
was given, or a smaller one. Pools are immutable, so a narrowed pool is cached in the pool that it was derived from, and
dropped with it: routing a call costs a table lookup, regardless of the number of instances.
"""

from __future__ import annotations

import platform
from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import msgspec

from idlrt.core import Call, ClockAndRandom, Instance
from idlrt.exports import warn_deprecated
from idlrt.plugins import Plugins
from idlrt.spec import Method

__all__ = [
    "ROUTERS",
    "CallerInfo",
    "Endpoint",
    "N",
    "Pool",
    "Router",
    "Rule",
    "Shares",
    "Step",
    "by_weight",
]


class Endpoint(Protocol):
    """An endpoint as routers see it."""

    instance: Instance

    @property
    def is_unhealthy(self) -> bool:
        """Whether it is unhealthy, so that it gets no calls."""
        ...


N = TypeVar("N", bound=Endpoint)
T = TypeVar("T")


class Pool(Generic[N]):
    """Endpoints that calls may go to. Immutable except for its cache; threads may share it.

    Attributes:
        endpoints: all endpoints, including unhealthy ones.
        tag: tag of the call if it selected these endpoints, else empty. Narrowed pools inherit it.
        cache: values that routers and balancers cache, by their own keys. If two threads compute one, either may win.
        recipes: functions that compute entries of `cache` for any pool; used to prepare a pool that replaces this one.
    """

    __slots__ = ("cache", "endpoints", "recipes", "tag")

    def __init__(self, endpoints: Sequence[N], *, tag: str = "") -> None:
        self.endpoints = tuple(endpoints)
        self.tag = tag
        self.cache: dict[Hashable, Any] = {}
        self.recipes: dict[Hashable, Callable[[Pool[Any]], object]] = {}

    def __len__(self) -> int:
        return len(self.endpoints)

    @property
    def nodes(self) -> tuple[N, ...]:
        """Old name of `endpoints`, deprecated."""
        warn_deprecated("nodes of Pool is deprecated: use endpoints")
        return self.endpoints

    def narrowed(self, key: Hashable, keep: Callable[[N], bool]) -> Pool[N]:
        """Return the pool of endpoints for which `keep` is true; this pool itself if that is all of them.

        Args:
            key: cache key that identifies `keep`.
        """
        found: Pool[N] | None = self.cache.get(key)
        if found is None:
            endpoints = [endpoint for endpoint in self.endpoints if keep(endpoint)]
            found = self if len(endpoints) == len(self.endpoints) else Pool(endpoints, tag=self.tag)
            self.cache[key] = found
        return found

    def store(self, key: Hashable, value: T, recipe: Callable[[Pool[Any]], object]) -> T:
        """Cache `value` and return it; `recipe` computes and caches the corresponding value for another pool."""
        self.cache[key] = value
        self.recipes[key] = recipe
        return value

    @property
    def empty(self) -> Pool[N]:
        """The empty pool."""
        return self.narrowed("empty", lambda endpoint: False)

    @property
    def is_unhealthy(self) -> bool:
        """Whether no endpoint is healthy; true for an empty pool."""
        found: bool | None = self.cache.get("is_unhealthy")
        if found is None:
            found = self.cache["is_unhealthy"] = all(endpoint.is_unhealthy for endpoint in self.endpoints)
        return found


class Shares(Generic[N]):
    """Weighted random choice between parts of a pool.

    Args:
        parts: pools with their shares, which are relative and must add up to more than 0.
    """

    __slots__ = ("parts", "sums")

    def __init__(self, parts: Sequence[tuple[Pool[N], float]]) -> None:
        self.parts = [part for part, _ in parts]
        self.sums = list(accumulate(share for _, share in parts))

    def draw(self, sources: ClockAndRandom) -> int:
        """Return the index of a random part. If there is only one, no random number is drawn."""
        if len(self.parts) == 1:
            return 0
        return bisect_right(self.sums, sources.rng() * self.sums[-1], 0, len(self.parts) - 1)


def by_weight(parts: Sequence[tuple[Pool[N], float, str]]) -> tuple[Shares[N], list[str]]:
    """Return the shares of pools and a description of each; pools without healthy endpoints are a last resort.

    Args:
        parts: pools with their weights, and the reason why a call goes there.
    """
    chosen = [each for each in parts if not each[0].is_unhealthy] or parts
    whole = sum(weight for _, weight, _ in chosen)
    texts = [why if weight == whole else f"{why} ({weight / whole:.0%} by weight)" for _, weight, why in chosen]
    return Shares([(part, weight) for part, weight, _ in chosen]), texts


class CallerInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes of the caller for routing rules (`caller.zone`, `caller.NAME`).

    Attributes:
        id: identifier of the client; random if empty.
        app: name of the application.
        version: version of the application.
        zone: data center or availability zone.
        host: host name.
        addresses: IP addresses of the host, for the router `local`.
        labels: additional attributes.
    """

    id: str = ""
    app: str = ""
    version: str = ""
    zone: str = ""
    host: str = msgspec.field(default_factory=platform.node)
    addresses: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one rule for a call, in human-readable form.

    Attributes:
        router: name of the router.
        rule: name of its rule.
        why: the reason. If no instance is left it starts with `none`, so that it continues "no instance of ..."
            (`idlrt.route.chain.no_instance_reason`).
        before: number of instances before.
        after: number of instances after.
    """

    router: str
    rule: str
    why: str
    before: int
    after: int


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common fields of all rules; routers extend it.

    Attributes:
        router: name of the router that implements the rule.
        name: name for messages.
        enabled: whether the rule is applied.
        priority: rules with a higher priority come first; equal ones in the given order.
        force: whether the call fails if no instance matches; otherwise the rule is skipped then.
    """

    router: str = "condition"
    name: str = ""
    enabled: bool = True
    priority: int = 0
    force: bool = False


class Router(Protocol):
    """Implements one rule; constructed by `ROUTERS.make(name, rule, here, chance)`. Threads may share it."""

    Rule: ClassVar[type[Rule]]

    def __init__(self, rule: Any, caller: CallerInfo, sources: ClockAndRandom) -> None: ...

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """Return the part of `pool` that `call` may go to; an empty pool if there is none.

        Args:
            steps: if not `None`, the router appends at least one step that explains its decision.
        """
        ...

    def groups(self) -> Collection[str]:
        """Return other groups of the service whose instances the router needs."""
        ...

    def is_idle(self, pool: Pool[Any]) -> bool:
        """Whether `route` returns its argument unchanged for all calls, for `pool` and all its parts.

        It must not draw random numbers then either. An idle router is skipped unless steps are requested. Return
        `False` if in doubt.
        """
        ...

    def applies_to(self, method: Method[..., Any]) -> bool:
        """Whether `route` may narrow a pool for calls of `method`; if not, it is skipped. Return `True` if in doubt."""
        ...


ROUTERS: Final[Plugins[Any]] = Plugins("idlrt.routers")
"""Registered routers by name."""
