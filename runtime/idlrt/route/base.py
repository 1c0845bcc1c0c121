"""Narrowing the instances that a call may go to: what a router is, and what it may look at.

A router is made for one rule (`[[routes]]` in a configuration) and is asked before each call. It gives back the pool it
was given, or one that holds some of its instances. Pools are immutable, so what has been narrowed once is kept with the
pool it was narrowed from, and gone with it: a call costs a look into a table, however many instances there are.
"""

from __future__ import annotations

import platform
from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import msgspec

from idlrt.core import Call, Chance, Instance
from idlrt.plugins import Plugins
from idlrt.spec import Method

__all__ = [
    "ROUTERS",
    "Here",
    "N",
    "Pool",
    "Routable",
    "Router",
    "Rule",
    "Shares",
    "Step",
    "by_weight",
]


class Routable(Protocol):
    """What is routed to."""

    instance: Instance

    @property
    def is_out(self) -> bool:
        """Whether it gets no calls at the moment, because it does not answer."""
        ...


N = TypeVar("N", bound=Routable)
T = TypeVar("T")


class Pool(Generic[N]):
    """Instances that calls may go to. Immutable but for what is kept with it; threads may share it.

    Attributes:
        nodes: all of them, those that are out too.
        tag: of the call, if all of them were selected by it, else empty. Narrowed pools inherit it.
        kept: what routers and balancers have made for it, by keys of their own. What two threads make at once one of
            them loses.
        recipes: functions that make entries of `kept` for any pool: used to prepare a pool that replaces this one.
    """

    __slots__ = ("kept", "nodes", "recipes", "tag")

    def __init__(self, nodes: Sequence[N], *, tag: str = "") -> None:
        self.nodes = tuple(nodes)
        self.tag = tag
        self.kept: dict[Hashable, Any] = {}
        self.recipes: dict[Hashable, Callable[[Pool[Any]], object]] = {}

    def __len__(self) -> int:
        return len(self.nodes)

    def narrowed(self, key: Hashable, keep: Callable[[N], bool]) -> Pool[N]:
        """Those that `keep` says; this very pool if it is all.

        Args:
            key: stands for `keep`: what has been narrowed by it already is given again.
        """
        found: Pool[N] | None = self.kept.get(key)
        if found is None:
            nodes = [node for node in self.nodes if keep(node)]
            found = self if len(nodes) == len(self.nodes) else Pool(nodes, tag=self.tag)
            self.kept[key] = found
        return found

    def keep(self, key: Hashable, value: T, recipe: Callable[[Pool[Any]], object]) -> T:
        """Keep `value` under `key`, and how it is made: `recipe` does the same for another pool. Returns `value`."""
        self.kept[key] = value
        self.recipes[key] = recipe
        return value

    @property
    def nobody(self) -> Pool[N]:
        """None of them."""
        return self.narrowed("nobody", lambda node: False)

    @property
    def is_out(self) -> bool:
        """Whether there is nobody in it who gets calls at the moment."""
        found: bool | None = self.kept.get("is_out")
        if found is None:
            found = self.kept["is_out"] = all(node.is_out for node in self.nodes)
        return found


class Shares(Generic[N]):
    """Parts of a pool, of which a call gets one by chance, each as often as its share says.

    Args:
        parts: each with its share; the shares need not add up to anything, but to more than 0.
    """

    __slots__ = ("parts", "sums")

    def __init__(self, parts: Sequence[tuple[Pool[N], float]]) -> None:
        self.parts = [part for part, _ in parts]
        self.sums = list(accumulate(share for _, share in parts))

    def draw(self, chance: Chance) -> int:
        """The number of a part. The dice are not thrown if there is only one."""
        if len(self.parts) == 1:
            return 0
        return bisect_right(self.sums, chance.dice() * self.sums[-1], 0, len(self.parts) - 1)


def by_weight(parts: Sequence[tuple[Pool[N], float, str]]) -> tuple[Shares[N], list[str]]:
    """Shares of pools, and what is said of each of them. Those where all are out count only if there are no others.

    Args:
        parts: pools with their weights, and why a call goes there.
    """
    chosen = [each for each in parts if not each[0].is_out] or parts
    whole = sum(weight for _, weight, _ in chosen)
    texts = [why if weight == whole else f"{why} ({weight / whole:.0%} by weight)" for _, weight, why in chosen]
    return Shares([(part, weight) for part, weight, _ in chosen]), texts


class Here(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The caller, as rules see it (`caller.zone`, `caller.NAME`).

    Attributes:
        id: tells this client from others; chance gives it one if nobody does.
        app: the name of the program.
        version: of the program.
        zone: the data centre (or zone) that it runs in.
        host: the machine's name.
        addresses: of the machine, for "same machine first".
        labels: whatever else rules are to go by.
    """

    id: str = ""
    app: str = ""
    version: str = ""
    zone: str = ""
    host: str = msgspec.field(default_factory=platform.node)
    addresses: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule made of a call, for people.

    Attributes:
        router: which router.
        rule: the name of its rule.
        why: what decided, in words. Where it leaves nobody it begins with `none`, so that it can follow on "no
            instance of ..." (`idlrt.route.chain.no_instance_reason`).
        before: instances before.
        after: instances after.
    """

    router: str
    rule: str
    why: str
    before: int
    after: int


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all rules have in common. Routers add what they need.

    Attributes:
        router: who follows it.
        name: for people.
        enabled: whether it counts.
        priority: those with more come first; among equals the order in which they were written.
        force: what holds if nobody fits: `true`, the call fails; `false`, the rule is left aside.
    """

    router: str = "condition"
    name: str = ""
    enabled: bool = True
    priority: int = 0
    force: bool = False


class Router(Protocol):
    """Follows one rule: `ROUTERS.make(name, rule, here, chance)`. Threads may share it."""

    Rule: ClassVar[type[Rule]]

    def __init__(self, rule: Any, here: Here, chance: Chance) -> None: ...

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """The instances that `call` may go to, of those in `pool`; an empty pool if there is none.

        Args:
            steps: takes what was decided, if anybody wants to know. Each router adds at least one.
        """
        ...

    def groups(self) -> Collection[str]:
        """Other groups of the service whose instances it needs to see."""
        ...

    def is_idle(self, pool: Pool[Any]) -> bool:
        """Whether `route` gives back whatever it is given, for any call, in `pool` and in any part of it, and throws no
        dice. Then it is not asked, unless somebody wants to know the steps. If in doubt, `False`."""
        ...

    def suits(self, method: Method[..., Any]) -> bool:
        """Whether `route` may narrow a pool for some call of `method`. For others it is not asked, as if it were idle.
        If in doubt, `True`."""
        ...


ROUTERS: Final[Plugins[Any]] = Plugins("idlrt.routers")
"""Routers by name."""
