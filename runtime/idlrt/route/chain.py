"""The routers of a service, one after the other, and why they have left whom.

The order: rules for groups, `tag`, then all others, those with more priority before those with less, `zone` last. A
call that asks for a tag must not lose the instances that have it to a rule that knows nothing of tags, so `priority`
orders tag rules among themselves only. `tag` and `zone` are there even if no rule asks for them; a rule for one of
them, also one that is not enabled, replaces that, and a rule for `zone` has its place by its priority.

Most calls are narrowed by nobody. Which routers could narrow anything in a pool is kept with the pool, so such a call
costs a look into a table. Who asks for the steps gets the same decisions by the same code, and all routers are asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar

from idlrt.core import DEFAULT_GROUP, Call, Chance
from idlrt.route.base import Here, N, Pool, Router, Rule, Step
from idlrt.route.group import GroupRouter, HomeGroup
from idlrt.route.rules import make_router, read_rule
from idlrt.route.tag import TagRouter
from idlrt.spec import Method

__all__ = ["Chain", "explain", "make_chain", "no_instance_reason"]

_NONE: Final = "none "
_MAX_METHODS: Final = 10_000

K = TypeVar("K")


def _any(method: object) -> bool:
    return True


class Chain:
    """Routers, one after the other. Threads may share it.

    Attributes:
        routers: in the order in which they are asked.
        groups: other groups of the service whose instances they need to see.
    """

    __slots__ = ("groups", "routers")

    def __init__(self, routers: Sequence[Router]) -> None:
        self.routers = tuple(routers)
        self.groups: Collection[str] = tuple(dict.fromkeys(group for each in routers for group in each.groups()))

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None = None) -> Pool[N]:
        """The instances that `call` may go to, of those in `pool`; an empty pool if there is none.

        Args:
            steps: takes what was decided, if anybody wants to know: at least one.
        """
        if steps is not None:
            return self._told(call, pool, steps)
        by_method: dict[Any, tuple[Router, ...]] | None = pool.kept.get(self)
        busy = by_method.get(call.method) if by_method is not None else None
        for router in busy if busy is not None else self._busy_for(call.method, pool):
            # Nobody is asked about nobody: whether somebody wants to know or not, the dice are thrown alike.
            if not pool.nodes:
                break
            pool = router.route(call, pool, None)
        return pool

    def busy(self, pool: Pool[Any]) -> tuple[Router, ...]:
        """Return the routers that may narrow `pool` for some calls."""
        by_method: dict[Any, tuple[Router, ...]] | None = pool.kept.get(self)
        if by_method is None:
            busy = tuple(each for each in self.routers if not each.is_idle(pool))
            by_method = pool.keep(self, {None: busy}, self.busy)
        return by_method[None]

    def _busy_for(self, method: Method[..., Any], pool: Pool[Any]) -> tuple[Router, ...]:
        """Return the routers that may narrow `pool` for some calls of `method`."""
        # Routers of others may not say which methods they suit.
        busy = tuple(each for each in self.busy(pool) if getattr(each, "suits", _any)(method))
        by_method: dict[Any, tuple[Router, ...]] = pool.kept[self]
        if len(by_method) >= _MAX_METHODS:
            self._forget(by_method)
        by_method[method] = busy
        return busy

    def prepare(self, pool: Pool[Any], old: Pool[Any]) -> None:
        """Find out for `pool` what calls needed of `old`, the pool that it replaces."""
        by_method: dict[Any, tuple[Router, ...]] = old.kept.get(self) or {}
        for method in list(by_method):
            if method is not None:
                self._busy_for(method, pool)

    @staticmethod
    def _forget(by_method: dict[Any, tuple[Router, ...]]) -> None:
        for method in [each for each in list(by_method) if each is not None]:
            by_method.pop(method, None)

    def _told(self, call: Call, pool: Pool[N], steps: list[Step]) -> Pool[N]:
        if not self.routers or not pool.nodes:
            why = "there are no rules" if pool.nodes else "none is known"
            steps.append(Step(router="", rule="", why=why, before=len(pool), after=len(pool)))
        for router in self.routers:
            if not pool.nodes:
                break
            pool = router.route(call, pool, steps)
        return pool


def make_chain(
    rules: Sequence[object], here: Here, chance: Chance, *, where: str = "routes", home: str = DEFAULT_GROUP
) -> Chain:
    """The chain for `rules`.

    Args:
        rules: as TOML or JSON give them.
        here: the caller.
        where: the rules stand, for messages.
        home: the group that calls are for if no rule says otherwise.

    Raises:
        ConfigurationError: a rule is wrong; the message says which, where, and what is known.
    """
    read = [(f"{where}[{number}]", read_rule(rule, f"{where}[{number}]")) for number, rule in enumerate(rules)]
    # Also rules that do not count at the moment are looked at: they must not fail when they are switched on.
    made = [(rule, make_router(rule, here, chance, place)) for place, rule in read]
    made = sorted((each for each in made if each[0].enabled), key=_order)
    routers = [router for _, router in made]
    named = {rule.router for _, rule in read}
    choosers = _of_kind(GroupRouter, routers)
    at = len(choosers)
    if "tag" not in named:
        routers.insert(at, _without_rule("tag", here, chance, where))
    if "zone" not in named:
        routers.append(_without_rule("zone", here, chance, where))
    if choosers:
        routers.insert(at, HomeGroup(Rule(router="group", name=home), here, chance))
        tagging = _of_kind(TagRouter, routers)
        for chooser in choosers:
            chooser.follow_tags(tagging)
    return Chain(routers)


def _of_kind(kind: type[K], routers: Sequence[object]) -> list[K]:
    return [router for router in routers if isinstance(router, kind)]


def _without_rule(name: str, here: Here, chance: Chance, where: str) -> Router:
    return make_router(read_rule({"router": name}, where), here, chance, where)


def _order(made: tuple[Rule, Router]) -> tuple[int, int]:
    rule, router = made
    return 0 if isinstance(router, GroupRouter) else 1 if rule.router == "tag" else 2, -rule.priority


def explain(chain: Chain, call: Call, pool: Pool[Any]) -> list[Step]:
    """What each rule makes of `call`, and why; at least one step."""
    steps: list[Step] = []
    chain.route(call, pool, steps)
    return steps


def no_instance_reason(subject: str, steps: Sequence[Step]) -> str:
    """Why nobody is left, as a message.

    Args:
        subject: whose instances they are.
        steps: what `Chain.route` said.
    """
    last = next((step for step in steps if not step.after), None)
    if last is None:
        return f"no instance of {subject} is left by the routing rules"
    if not last.before:
        return f"no instance of {subject} is known"
    by = f" (rule {last.rule})" if last.rule and last.rule not in last.why else ""
    if last.why.startswith(_NONE):
        return f"no instance of {subject} {last.why.removeprefix(_NONE)}{by}"
    return f"no instance of {subject} is left by the router {last.router}{by}: {last.why}"
