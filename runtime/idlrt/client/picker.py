"""One instance of a pool for a call: the balancer's choice among those that are good.

Those that are out are left out, unless too many are: with fewer than half of them good (`panic`), health says more
about the network than about them, so all are called (Envoy's panic threshold). Made for a pool, and gone with it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, MutableMapping
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from idlrt.balance import BALANCERS, Balancer, Candidate
from idlrt.core import Call, Chance
from idlrt.guard.breaker import Breaker
from idlrt.route import Pool

__all__ = ["P2C", "BalancerChoice", "Chosen", "Picker", "past_breakers"]


class BalancerChoice(msgspec.Struct, frozen=True):
    """A balancer and its settings.

    Attributes:
        name: of the balancer.
        settings: made by its `Settings`.
        key: tells choices apart.
    """

    name: str
    settings: Any = None
    key: Hashable = ()


P2C: Final = BalancerChoice("p2c", None, ("p2c",))


class Chosen(Candidate, Protocol):
    """What is chosen from."""

    is_out: bool


class Guarded(Chosen, Protocol):
    """What has a circuit breaker of its own."""

    breaker: Breaker


N = TypeVar("N", bound=Chosen)
B = TypeVar("B", bound=Guarded)

# How often another one is picked instead of one whose breaker is shut. Soon those are not in the choice.
_TRIES: Final = 3
# How many balancers that take long to make outlive the pool that they were made for.
_MOST_LASTING: Final = 16


class Picker(Generic[N]):
    """See the module. Threads may share it.

    Args:
        pool: what is chosen from.
        chance: for balancers.
        panic: if fewer than this part are good, all are called.
        lasting: keeps balancers that do not depend on health, beyond this pool.

    Attributes:
        nodes: all instances of the pool.
        ready: those that are called: the healthy ones, or all.
        out: the others.
        balancers: those made so far, by the keys of their settings.
    """

    __slots__ = ("_chance", "_lasting", "balancers", "nodes", "out", "ready")

    def __init__(
        self,
        pool: Pool[N],
        chance: Chance,
        panic: float = 0.5,
        lasting: MutableMapping[Hashable, Any] | None = None,
    ) -> None:
        self.nodes = pool.nodes
        good = tuple(node for node in pool.nodes if not node.is_out)
        is_panic = not good or len(good) < len(pool.nodes) * panic
        self.ready = pool.nodes if is_panic else good
        self.out: frozenset[N] = frozenset() if is_panic else frozenset(pool.nodes).difference(good)
        self._chance = chance
        self.balancers: dict[Hashable, Balancer[N]] = {}
        self._lasting: MutableMapping[Hashable, Any] = lasting if lasting is not None else {}

    def pick(self, call: Call, tried: Collection[N] = (), balancer: BalancerChoice = P2C) -> N | None:
        """The instance for `call`; one that is out only if no other is left. `None` if all were tried.

        Raises:
            ConfigurationError: there is no such balancer, or it cannot do with this call.
        """
        chooser = self.balancers.get(balancer.key)
        if chooser is None:
            chooser = self.make(balancer)
        if chooser.covers_all and self.out:
            found = chooser.pick(call, self.out.union(tried) if tried else self.out)
        else:
            found = chooser.pick(call, tried)
        if found is None and (tried or self.out):
            found = next((node for node in self.nodes if node not in tried), None)
        return found

    def make(self, balancer: BalancerChoice) -> Balancer[N]:
        """Make a balancer for the instances; kept in `balancers`."""
        made: Any = BALANCERS.get(balancer.name)
        covers_all: bool = made.covers_all
        key = (balancer.key, self.nodes, tuple(node.instance.weight for node in self.nodes)) if covers_all else None
        found: Balancer[N] | None = self._lasting.get(key) if key is not None else None
        if found is None:
            nodes = self.nodes if covers_all else self.ready
            fresh: Balancer[N] = made(nodes, self._chance, balancer.settings)
            found = fresh
            if key is not None:
                while len(self._lasting) >= _MOST_LASTING:
                    self._lasting.pop(next(iter(self._lasting)), None)
                self._lasting[key] = found
        self.balancers[balancer.key] = found
        return found


def past_breakers(picker: Picker[B], call: Call, tried: Collection[B], balancer: BalancerChoice, node: B) -> B:
    """`node` if its circuit breaker lets a call through, else another one of the choice, if there is one that does."""
    now = call.driver.now()
    shut = list(tried)
    found: B | None = node
    for _ in range(_TRIES):
        if found is None or found.breaker.is_ready(now):
            break
        shut.append(found)
        found = picker.pick(call, shut, balancer)
    return found if found is not None else node
