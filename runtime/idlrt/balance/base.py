"""Interface of load balancers.

A balancer is immutable: it is constructed for a set of endpoints and picks from it until the set or a weight changes;
then a new one replaces it. So it may precompute anything and need not handle changes. Measurements belong to the
endpoints (`Load`) and survive the replacement.

Balancers know nothing of health. Most are constructed for the healthy endpoints only. For one that sets `covers_all`,
rebuilding on every health change would move keys or cost too much; it is constructed for all endpoints, and
unhealthy ones are in the `tried` argument of each pick.

There are two weights. `Endpoint.weight` is the current share of calls, which is reduced while an instance warms up.
`Endpoint.instance.weight` is the configured weight: key-based balancers use it, because keys must not move while an
instance warms up.

`pick` must be thread-safe.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import msgspec

from idlrt.balance.load import Load
from idlrt.core import Call, ClockAndRandom, Instance
from idlrt.plugins import Plugins

__all__ = ["BALANCERS", "Balancer", "BalancerBase", "C", "ClockAndRandom", "Endpoint", "NoSettings", "untried"]


class Endpoint(Protocol):
    """One endpoint to pick from; compared and hashed by identity."""

    instance: Instance
    load: Load

    @property
    def weight(self) -> int:
        """Current share of calls, relative to the other endpoints; 0 for none."""
        ...


C = TypeVar("C", bound=Endpoint)


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of balancers that have none."""


class Balancer(Protocol[C]):
    """Picks one of a fixed set of candidates; constructed by `BALANCERS.make(name, candidates, chance, settings)`.

    `settings` defaults to `Settings()`.
    """

    Settings: ClassVar[type[msgspec.Struct]]
    """The settings: a frozen struct with a default for every field."""

    covers_all: ClassVar[bool]
    """Whether it is constructed for all endpoints, unhealthy ones included; `pick` gets these in `tried`."""

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None: ...

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return a candidate for `call` that was not `tried` for it yet; `None` if all were.

        Args:
            tried: excluded endpoints: a few in any order, hundreds as a `frozenset`. Some may not be candidates (any
                more).

        Raises:
            ConfigurationError: the call's policy refers to an argument that the method does not have.
        """
        ...


BALANCERS: Final[Plugins[Any]] = Plugins("idlrt.balancers")
"""Registered balancers by name."""


def untried(candidates: Sequence[C], tried: Collection[C]) -> Sequence[C]:
    """Return the candidates that were not tried."""
    return [each for each in candidates if each not in tried] if tried else candidates


class BalancerBase(Generic[C]):
    """Base of balancers without settings that keep the candidates in the given order."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings
    covers_all: ClassVar[bool] = False

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        self._candidates = candidates
        self._sources = sources
