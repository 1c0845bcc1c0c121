"""Router `condition`: send calls that match one condition to instances that match another.

    [[routes]]
    when = "method = get*, list* & caller.zone = eu-1"
    to = "tags.kind = replica"

`to` may be a list of weighted destinations; one of those with instances is chosen randomly for each call:

    to = [{ where = "version = 1.*", weight = 90 }, { where = "version = 2.*", weight = 10 }]

If no instance matches, the rule is skipped; with `force`, the call fails. So `to = []` with `force` blocks the calls
that match `when`. `idlrt.route.conditions` describes the syntax of conditions.

Source: Dubbo's condition router with weighted destinations
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from idlrt.core import Call, ClockAndRandom, Instance
from idlrt.route.base import CallerInfo, N, Pool, Rule, Shares, Step, by_weight
from idlrt.route.conditions import Condition, call_condition, instance_condition
from idlrt.route.router_base import RouterBase, errors_at
from idlrt.spec import Method

__all__ = ["ConditionRouter", "ConditionRule", "Destination"]


class Destination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A weighted destination.

    Attributes:
        where: condition on instances.
        weight: share of the calls, relative to the other destinations.
    """

    where: str
    weight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100


class ConditionRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `condition`.

    Attributes:
        when: condition on calls.
        to: condition on instances, or weighted destinations.
    """

    router: str = "condition"
    when: str = ""
    to: str | tuple[Destination, ...]


class ConditionRouter(RouterBase):
    """Routing by conditions on calls and instances. Implements `Router`."""

    Rule = ConditionRule
    name: ClassVar[str] = "condition"

    def __init__(self, rule: ConditionRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        with errors_at("when"):
            self._when = call_condition(rule.when, caller)
        self._to: list[tuple[Condition[Instance], int]] = []
        if isinstance(rule.to, str):
            with errors_at("to"):
                self._to.append((instance_condition(rule.to, caller), 1))
        else:
            for number, each in enumerate(rule.to):
                with errors_at(f"to[{number}].where"):
                    self._to.append((instance_condition(each.where, caller), each.weight))
        self._matches = self._when.matches
        self._no_match = f"the call does not match {self._when}"
        wanted = " or ".join(str(to) for to, _ in self._to)
        if wanted:
            self._forbidden = f"none that matches {wanted}; `force` excludes the others"
            self._unmet = f"no instance matches {wanted}; skipping the rule"
        else:
            self._forbidden = "none allowed: the rule has no destination"
            self._unmet = "the rule has no destination; skipping the rule"
        self._force = rule.force

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        if not self._matches(call):
            found, why = pool, self._no_match
        else:
            shares, texts = pool.cache.get(self) or self._prepare(pool)
            if shares.parts:
                number = shares.draw(self._sources)
                found, why = shares.parts[number], texts[number]
            elif self._force:
                found, why = pool.empty, self._forbidden
            else:
                found, why = pool, self._unmet
        if steps is not None:
            self._add_step(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        return self._when.constant is False or (
            not self._force and len(self._to) == 1 and self._to[0][0].constant is True
        )

    def applies_to(self, method: Method[..., Any]) -> bool:
        return self._when.applies_to(method)

    def _prepare(self, pool: Pool[N]) -> tuple[Shares[N], list[str]]:
        """Return the destinations that have instances with a description of each; unhealthy ones are a last resort."""
        call = "matches any call" if self._when.constant else f"the call matches {self._when}"
        parts: list[tuple[Pool[N], float, str]] = []
        for to, weight in self._to:
            part = _fitting(pool, to)
            if part.endpoints:
                parts.append((part, weight, f"{call}: using {to}"))
        return pool.store(self, by_weight(parts), self._prepare)


def _fitting(pool: Pool[N], to: Condition[Instance]) -> Pool[N]:
    return pool.narrowed(to, lambda endpoint: to.matches(endpoint.instance))
