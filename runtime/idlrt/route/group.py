"""Router `group`: split calls between groups of a service, e.g. for blue-green deployments.

    [[routes]]
    router = "group"
    mix = { blue = 90, green = 10 }

For each call a group is chosen randomly by weight, among those with a healthy instance. Without weights,
`mix = ["blue", "green"]`, the groups are merged into one. The first rule that matches a call applies; calls that match
none go to the client's own group. Group rules come before all others. A call with a tag goes only to groups that have a
healthy instance with the tag, if there are any.

Source: Motan's commands, `mergeGroups`
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec

from idlrt.core import Call, ClockAndRandom
from idlrt.route.base import CallerInfo, Endpoint, N, Pool, Rule, Shares, Step, by_weight
from idlrt.route.conditions import call_condition
from idlrt.route.router_base import RouterBase, RuleError, errors_at
from idlrt.route.tag import TagRouter
from idlrt.spec import Method

__all__ = ["GroupRouter", "GroupRule", "HomeGroup"]

# Cache key that marks pools that a group rule selected.
_IS_CHOSEN: Final = "group"


class GroupRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `group`.

    Attributes:
        mix: names of groups, with weights (1 to 100) or without.
        when: condition on calls.
    """

    router: str = "group"
    mix: Mapping[str, Annotated[int, msgspec.Meta(ge=1, le=100)]] | tuple[str, ...]
    when: str = ""


class GroupRouter(RouterBase):
    """Weighted choice of a group. Implements `Router`."""

    Rule = GroupRule
    name: ClassVar[str] = "group"

    def __init__(self, rule: GroupRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        if not rule.mix:
            raise RuleError("mix", 'expected at least one group, as in { blue = 90, green = 10 } or ["blue", "green"]')
        with errors_at("when"):
            self._when = call_condition(rule.when, caller)
        self._no_match = f"the call does not match {self._when}"
        self._forbidden = f"none in {_named(rule.mix)}; `force` excludes the others"
        self._unmet = f"no instance in {_named(rule.mix)}; skipping the rule"
        self._tag_routers: Sequence[TagRouter] = ()

    def set_tag_routers(self, tag_routers: Sequence[TagRouter]) -> None:
        """Restrict calls with a tag to groups that have it.

        Args:
            tag_routers: tag routers of the chain, which know the tags of instances.
        """
        self._tag_routers = tag_routers

    def groups(self) -> Collection[str]:
        return tuple(self.rule.mix)

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        if _IS_CHOSEN in pool.cache:
            found, why = pool, "an earlier rule selected the group"
        elif not self._when.matches(call):
            found, why = pool, self._no_match
        else:
            by_tag = pool.cache.get(self) or self._prepare(pool)
            shares, texts = by_tag.get(call.tag) or by_tag[""]
            if shares.parts:
                number = shares.draw(self._sources)
                found, why = shares.parts[number], texts[number]
            elif self.rule.force:
                found, why = pool.empty, self._forbidden
            else:
                found, why = pool, self._unmet
        if steps is not None:
            self._add_step(steps, why, pool, found)
        return found

    def applies_to(self, method: Method[..., Any]) -> bool:
        return self._when.applies_to(method)

    def _prepare(self, pool: Pool[N]) -> dict[str, tuple[Shares[N], list[str]]]:
        """Return the shares of groups with their descriptions, by tag of the call; "" for all other calls."""
        mix: Mapping[str, int] | tuple[str, ...] = self.rule.mix
        lots: list[tuple[Collection[str], float]] = (
            [((group,), weight) for group, weight in mix.items()] if isinstance(mix, Mapping) else [(mix, 1)]
        )
        parts: list[tuple[Pool[N], float, str]] = []
        for groups, weight in lots:
            # Always a new pool, even with all instances of the given one, because it is marked.
            part = Pool([endpoint for endpoint in pool.endpoints if endpoint.instance.group in groups])
            part.cache[_IS_CHOSEN] = True
            if part.endpoints:
                parts.append((part, weight, f"in {_named(groups)}"))
        made = {"": by_weight(parts)}
        having: dict[str, list[tuple[Pool[N], float, str]]] = {}
        for part, weight, why in parts:
            for tag in {
                tag for endpoint in part.endpoints if not endpoint.is_unhealthy for tag in self._tags(endpoint)
            }:
                having.setdefault(tag, []).append((part, weight, f"{why}, which has the tag {tag}"))
        made.update((tag, by_weight(tagged)) for tag, tagged in having.items() if len(tagged) < len(parts))
        return pool.store(self, made, self._prepare)

    def _tags(self, endpoint: Endpoint) -> Collection[str]:
        return [tag for each in self._tag_routers for tag in each.tags_of(endpoint.instance)]


class HomeGroup(RouterBase):
    """Default after all group rules: sends calls that match none to the client's own group, the name of its rule."""

    name: ClassVar[str] = "group"

    def __init__(self, rule: Rule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        self._home = rule.name
        self._in, self._none = f"in group {rule.name}", f"none in group {rule.name}"

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        if _IS_CHOSEN in pool.cache:
            found, why = pool, "a rule selected the group"
        else:
            found = pool.narrowed(self, lambda endpoint: endpoint.instance.group == self._home)
            why = self._in if found.endpoints or not pool.endpoints else self._none
        if steps is not None:
            self._add_step(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        return all(endpoint.instance.group == self._home for endpoint in pool.endpoints)


def _named(groups: Collection[str]) -> str:
    return f"group {next(iter(groups))}" if len(groups) == 1 else f"groups {', '.join(groups)}"
