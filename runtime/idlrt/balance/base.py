"""Choosing one of several instances: what a balancer is, and what it may look at.

A balancer is made for a set of instances and chooses from it until the set, or a weight in it, changes; then another
one is made. So it may prepare whatever it likes, and need not notice changes. What is measured belongs to the instances
(`Load`) and outlives it.

Balancers know nothing of health. Most are made for the instances that are to be called. One that *covers all*
(`covers_all`) would move keys, or take long, if it were made anew whenever somebody does not answer; so it is made for
all instances, and those that are out are among the `tried` of each call.

Weights are two. `Candidate.weight` is the share of calls at the moment: less than its own while an instance warms up.
`Candidate.instance.weight` is what it is worth in the long run: balancers by key go by that one, because keys must not
move while somebody warms up.

`pick` is called by many threads at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import msgspec

from idlrt.balance.load import Load
from idlrt.core import Call, Chance, Instance
from idlrt.plugins import Plugins

__all__ = ["BALANCERS", "Balancer", "C", "Candidate", "Chance", "NoSettings", "Prepared", "left"]


class Candidate(Protocol):
    """What is chosen from. Candidates are told apart by identity, and can be in sets."""

    instance: Instance
    load: Load

    @property
    def weight(self) -> int:
        """Its share of calls at the moment, relative to the others; 0 for none."""
        ...


C = TypeVar("C", bound=Candidate)


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of balancers that have nothing to be set."""


class Balancer(Protocol[C]):
    """Chooses from the candidates that it was made with: `BALANCERS.make(name, candidates, chance, settings)`.

    Without settings it has those that `Settings()` makes.
    """

    Settings: ClassVar[type[msgspec.Struct]]
    """What can be set: a frozen struct that has a default for everything."""

    covers_all: ClassVar[bool]
    """Whether it is made for all instances, those that are out too; `pick` finds these among `tried`."""

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None: ...

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """The one for `call` that is not among those that were `tried` for it already; `None` if all were.

        Args:
            tried: a few in whatever order; hundreds as a `frozenset`. Some may be no candidates (any more).

        Raises:
            ConfigurationError: the call's policy asks for what its method does not have.
        """
        ...


BALANCERS: Final[Plugins[Any]] = Plugins("idlrt.balancers")
"""Balancers by name."""


def left(candidates: Sequence[C], tried: Collection[C]) -> Sequence[C]:
    """Those that were not tried."""
    return [each for each in candidates if each not in tried] if tried else candidates


class Prepared(Generic[C]):
    """The base of balancers that keep their candidates as they were given, and have nothing to be set."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings
    covers_all: ClassVar[bool] = False

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        self._candidates = candidates
        self._chance = chance
