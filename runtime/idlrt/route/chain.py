"""Router chain of a service, and explanations of its decisions.

The order is: `group` rules, `tag` rules, all others by descending priority, `zone` last. Tag rules precede the others
regardless of priority, because a rule that ignores tags must not remove the instances with the tag of a call. `tag` and
`zone` are applied even without a rule; a rule for one of them, also a disabled one, replaces this default, and a
`zone` rule is ordered by its priority.

Most calls are not narrowed at all. The routers that may narrow a pool are cached in the pool, so these calls cost one
table lookup. When steps are requested, all routers run, with the same code and the same decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar

from idlrt.core import DEFAULT_GROUP, Call, ClockAndRandom
from idlrt.route.base import CallerInfo, N, Pool, Router, Rule, Step
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
    """Sequence of routers. Threads may share it.

    Attributes:
        routers: routers in the order of their application.
        groups: other groups of the service whose instances they need.
    """

    __slots__ = ("groups", "routers")

    def __init__(self, routers: Sequence[Router]) -> None:
        self.routers = tuple(routers)
        self.groups: Collection[str] = tuple(dict.fromkeys(group for each in routers for group in each.groups()))

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None = None) -> Pool[N]:
        """Return the part of `pool` that `call` may go to; an empty pool if there is none.

        Args:
            steps: if not `None`, at least one step that explains the decision is appended.
        """
        if steps is not None:
            return self._explained(call, pool, steps)
        by_method: dict[Any, tuple[Router, ...]] | None = pool.cache.get(self)
        busy = by_method.get(call.method) if by_method is not None else None
        for router in busy if busy is not None else self._busy_for(call.method, pool):
            # Stop at an empty pool, as with steps, so that both draw the same random numbers.
            if not pool.endpoints:
                break
            pool = router.route(call, pool, None)
        return pool

    def busy(self, pool: Pool[Any]) -> tuple[Router, ...]:
        """Return the routers that may narrow `pool` for some calls."""
        by_method: dict[Any, tuple[Router, ...]] | None = pool.cache.get(self)
        if by_method is None:
            busy = tuple(each for each in self.routers if not each.is_idle(pool))
            by_method = pool.store(self, {None: busy}, self.busy)
        return by_method[None]

    def _busy_for(self, method: Method[..., Any], pool: Pool[Any]) -> tuple[Router, ...]:
        """Return the routers that may narrow `pool` for some calls of `method`."""
        # Third-party routers may lack `applies_to`.
        busy = tuple(each for each in self.busy(pool) if getattr(each, "applies_to", _any)(method))
        by_method: dict[Any, tuple[Router, ...]] = pool.cache[self]
        if len(by_method) >= _MAX_METHODS:
            self._forget(by_method)
        by_method[method] = busy
        return busy

    def prepare(self, pool: Pool[Any], old: Pool[Any]) -> None:
        """Warm up the cache of `pool` with the methods that were called on `old`, the pool that it replaces."""
        by_method: dict[Any, tuple[Router, ...]] = old.cache.get(self) or {}
        for method in list(by_method):
            if method is not None:
                self._busy_for(method, pool)

    @staticmethod
    def _forget(by_method: dict[Any, tuple[Router, ...]]) -> None:
        for method in [each for each in list(by_method) if each is not None]:
            by_method.pop(method, None)

    def _explained(self, call: Call, pool: Pool[N], steps: list[Step]) -> Pool[N]:
        if not self.routers or not pool.endpoints:
            why = "no rules" if pool.endpoints else "none is known"
            steps.append(Step(router="", rule="", why=why, before=len(pool), after=len(pool)))
        for router in self.routers:
            if not pool.endpoints:
                break
            pool = router.route(call, pool, steps)
        return pool


def make_chain(
    rules: Sequence[object],
    caller: CallerInfo,
    sources: ClockAndRandom,
    *,
    where: str = "routes",
    home: str = DEFAULT_GROUP,
) -> Chain:
    """Build the chain for `rules`.

    Args:
        rules: rules as decoded from TOML or JSON.
        caller: the caller.
        where: location of the rules, for messages.
        home: default group of calls.

    Raises:
        ConfigurationError: a rule is invalid; the message has its location and the known names.
    """
    read = [(f"{where}[{number}]", read_rule(rule, f"{where}[{number}]")) for number, rule in enumerate(rules)]
    # Validate disabled rules too: enabling them later must not fail.
    made = [(rule, make_router(rule, caller, sources, place)) for place, rule in read]
    made = sorted((each for each in made if each[0].enabled), key=_order)
    routers = [router for _, router in made]
    named = {rule.router for _, rule in read}
    group_routers = _of_kind(GroupRouter, routers)
    at = len(group_routers)
    if "tag" not in named:
        routers.insert(at, _without_rule("tag", caller, sources, where))
    if "zone" not in named:
        routers.append(_without_rule("zone", caller, sources, where))
    if group_routers:
        routers.insert(at, HomeGroup(Rule(router="group", name=home), caller, sources))
        tag_routers = _of_kind(TagRouter, routers)
        for group_router in group_routers:
            group_router.set_tag_routers(tag_routers)
    return Chain(routers)


def _of_kind(kind: type[K], routers: Sequence[object]) -> list[K]:
    return [router for router in routers if isinstance(router, kind)]


def _without_rule(name: str, caller: CallerInfo, sources: ClockAndRandom, where: str) -> Router:
    return make_router(read_rule({"router": name}, where), caller, sources, where)


def _order(made: tuple[Rule, Router]) -> tuple[int, int]:
    rule, router = made
    return 0 if isinstance(router, GroupRouter) else 1 if rule.router == "tag" else 2, -rule.priority


def explain(chain: Chain, call: Call, pool: Pool[Any]) -> list[Step]:
    """Return the decision of each rule for `call`, with its reason; at least one step."""
    steps: list[Step] = []
    chain.route(call, pool, steps)
    return steps


def no_instance_reason(subject: str, steps: Sequence[Step]) -> str:
    """Return the error message for a call without an eligible instance.

    Args:
        subject: name of the service.
        steps: steps of `Chain.route`.
    """
    last = next((step for step in steps if not step.after), None)
    if last is None:
        return f"no instance of {subject} matches the routing rules"
    if not last.before:
        return f"no instance of {subject} is known"
    by = f" (rule {last.rule})" if last.rule and last.rule not in last.why else ""
    if last.why.startswith(_NONE):
        return f"no instance of {subject} {last.why.removeprefix(_NONE)}{by}"
    return f"no instance of {subject}: excluded by router {last.router}{by}: {last.why}"
