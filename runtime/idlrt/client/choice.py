"""Which instances calls may go to at the moment, and one of them for a call: the balancer's choice.

Those that are out are left out, unless too many are: with fewer than half of them good, health says more about the
network than about them (Envoy's panic threshold), so all are called. Immutable but for that, and made anew when the
instances change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from idlrt.balance import BALANCERS, Balancer, Candidate, Chance
from idlrt.client.health import Health
from idlrt.core import Call

__all__ = ["Choice"]

_PANIC: Final = 0.5
DEFAULT: Final = "p2c"


class Chosen(Candidate, Protocol):
    """What is chosen from."""

    health: Health


N = TypeVar("N", bound=Chosen)


class Choice(Generic[N]):
    """See the module. Threads may share it."""

    __slots__ = ("_balancers", "_chance", "_ready", "nodes")

    def __init__(self, nodes: Sequence[N], chance: Chance | None = None) -> None:
        self.nodes = tuple(nodes)
        self._chance = chance if chance is not None else Chance()
        self._ready: tuple[N, ...] = ()
        self._balancers: dict[str, Balancer[N]] = {}
        self.recount()

    def recount(self) -> None:
        """Some of them are out that were not, or the other way round."""
        good = tuple(node for node in self.nodes if not node.health.is_out)
        self._ready = good if len(good) >= len(self.nodes) * _PANIC else self.nodes
        # Made when they are used, from what is ready then.
        self._balancers = {}

    def pick(self, call: Call, tried: Collection[N] = (), balancer: str = DEFAULT) -> N | None:
        """The instance for `call`; one that is out only if no other is left. `None` if all were tried.

        Raises:
            UnknownPlugin: there is no such balancer.
        """
        balancers = self._balancers
        chooser = balancers.get(balancer)
        if chooser is None:
            made: Any = BALANCERS.make(balancer, self._ready, self._chance)
            chooser = balancers[balancer] = made
        found = chooser.pick(call, tried)
        if found is None and tried:
            found = next((node for node in self.nodes if node not in tried), None)
        return found
