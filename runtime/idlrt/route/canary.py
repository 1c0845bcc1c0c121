"""Router `canary`: send a fixed percentage of the calls to canary instances, sticky by key.

    [[routes]]
    router = "canary"
    name = "new-search"
    when = "method = search"
    to = "version = 2.*"
    percent = 5
    key = "argument.user_id"

A key is either in the canary or not, in every process; a key that is in at 5 % is also in at 10 %. Rules are
independent: being in one canary does not affect the probability of being in another. Calls without a value for the key,
and rules without a key, are decided randomly per call.

All other calls, including those that do not match `when`, go to the other instances. If one side has no healthy
instance, its calls go to the other side; with `force` they do not. Calls that were routed by their tag are exempt: they
stay with the instances of that tag.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, ClassVar, Final

import msgspec

from idlrt.core import Call, ClockAndRandom
from idlrt.route.base import CallerInfo, N, Pool, Rule, Step
from idlrt.route.conditions import call_condition, instance_condition
from idlrt.route.keys import CALLER, Side, caller_values, check_key, request_reader
from idlrt.route.router_base import RouterBase, RuleError, errors_at

__all__ = ["CanaryRouter", "CanaryRule"]

_POINTS: Final = 2**64


class CanaryRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `canary`.

    Attributes:
        when: condition on calls.
        to: condition on instances that selects the canaries.
        percent: percentage of the calls, 0 to 100.
        key: key of sticky decisions, in the syntax of conditions; empty for random decisions.
    """

    router: str = "canary"
    to: str
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)]
    when: str = ""
    key: str = ""


class CanaryRouter(RouterBase):
    """Percentage routing to canaries. Implements `Router`."""

    Rule = CanaryRule
    name: ClassVar[str] = "canary"

    def __init__(self, rule: CanaryRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        with errors_at("when"):
            self._when = call_condition(rule.when, caller)
        with errors_at("to"):
            self._to = instance_condition(rule.to, caller)
        if self._to.constant:
            raise RuleError("to", "expected a condition that selects the canaries, such as 'version = 2.*'")
        with errors_at("key"):
            self._read = _reader(rule.key, caller)
        self._percent: float = rule.percent
        self._no_match = f"the call does not match {self._when}"
        # The salt does not depend on the percentage, so that keys stay in when it increases.
        salt = rule.name or f"{rule.when}\n{rule.to}\n{rule.key}"
        self._seed = blake2b(salt.encode("utf-8", "surrogatepass") + b"\0", digest_size=8)

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        if pool.tag:
            if steps is not None:
                self._add_step(steps, f"the tag {pool.tag} of the call takes precedence", pool, pool)
            return pool
        fits = self._when.matches(call)
        key = self._read(call) if fits else ""
        is_in = fits and (self.point(key) if key else self._sources.rng() * 100) < self._percent
        canaries, others = pool.cache.get(self) or self._prepare(pool)
        found, other = (canaries, others) if is_in else (others, canaries)
        if found.is_unhealthy and not self.rule.force:
            found = pool if other.is_unhealthy else other
        if steps is not None:
            why = self._no_match if not fits else f"{self.rule.key} {key!r}" if key else "random choice"
            if fits:
                why = f"{why} is {'within' if is_in else 'outside'} the canary percentage of {self._percent:g} %"
            self._add_step(steps, self._why(why, is_in, pool, found), pool, found)
        return found

    def point(self, key: str) -> float:
        """Return the hash of `key` as a percentage, at least 0 and below 100; a key is in if it is below `percent`."""
        seed = self._seed.copy()
        seed.update(key.encode("utf-8", "surrogatepass"))
        return int.from_bytes(seed.digest(), "big") / _POINTS * 100

    def _why(self, why: str, is_in: bool, pool: Pool[N], found: Pool[N]) -> str:
        parts = self._prepare(pool)
        mine, side = parts[not is_in], "canaries" if is_in else "non-canaries"
        if not mine.is_unhealthy:
            return f"{why}: using the {side}"
        if not mine.endpoints and self.rule.force and pool.endpoints:
            return f"none among the {side}: {why}; `force` excludes the other instances"
        missing = f"all {side} are unhealthy" if mine.endpoints else f"there are no {side}"
        used = f"the {side}" if found is mine else "the other instances" if found is not pool else "all instances"
        return f"{why}, but {missing}: using {used}"

    def _prepare(self, pool: Pool[N]) -> tuple[Pool[N], Pool[N]]:
        fits = self._to.matches
        canaries = pool.narrowed((self, "in"), lambda endpoint: fits(endpoint.instance))
        others = pool.narrowed((self, "out"), lambda endpoint: not fits(endpoint.instance))
        return pool.store(self, (canaries, others), self._prepare)


def _reader(key: str, caller: CallerInfo) -> Callable[[Call], str]:
    if not key:
        return lambda call: ""
    check_key(key, Side.CALL)
    if key.startswith(CALLER):
        value = caller_values(key, caller)[0]
        return lambda call: value
    return request_reader(key)
