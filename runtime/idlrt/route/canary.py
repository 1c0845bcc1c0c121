"""`canary`: a part of the calls goes to canaries, always the same part.

    [[routes]]
    router = "canary"
    name = "new-search"
    when = "method = search"
    to = "version = 2.*"
    percent = 5
    key = "argument.user_id"

Who has one key is either in or out, in every process; who is in at 5 percent is in at 10. Rules are independent of each
other: a user who is in one is no likelier to be in another. Where a call has nothing under the key, or the rule has no
key, chance decides each time.

All other calls go to the instances that are no canaries, those too that `when` does not fit. Where one side has nobody,
or all are out, the calls go to the other; with `force`, they stay. A call that was routed by its tag stays with the
instances of that tag: it takes no part.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, ClassVar, Final

import msgspec

from idlrt.core import Call, Chance
from idlrt.route.base import Here, N, Pool, Rule, Step
from idlrt.route.conditions import call_condition, instance_condition
from idlrt.route.following import Following, RuleError, at
from idlrt.route.keys import CALLER, Side, call_reader, caller_values, check_key

__all__ = ["CanaryRouter", "CanaryRule"]

_POINTS: Final = 2**64


class CanaryRule(Rule, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        when: a condition on calls.
        to: a condition that the canaries fit.
        percent: of the calls, from 0 to 100.
        key: what calls are kept together by, as conditions write it; empty for none.
    """

    router: str = "canary"
    to: str
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)]
    when: str = ""
    key: str = ""


class CanaryRouter(Following):
    """See the module. A `Router`."""

    Rule = CanaryRule
    name: ClassVar[str] = "canary"

    def __init__(self, rule: CanaryRule, here: Here, chance: Chance) -> None:
        super().__init__(rule, here, chance)
        with at("when"):
            self._when = call_condition(rule.when, here)
        with at("to"):
            self._to = instance_condition(rule.to, here)
        if self._to.constant:
            raise RuleError("to", "a condition is needed that canaries fit and others do not, such as 'version = 2.*'")
        with at("key"):
            self._read = _reader(rule.key, here)
        self._percent: float = rule.percent
        self._unfit = f"the call does not fit {self._when}"
        # What is said of the rule stays the same when its percent changes, so the same ones are in.
        salt = rule.name or f"{rule.when}\n{rule.to}\n{rule.key}"
        self._seed = blake2b(salt.encode("utf-8", "surrogatepass") + b"\0", digest_size=8)

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """See `Router.route`."""
        if pool.tag:
            if steps is not None:
                self._tell(steps, f"the tag {pool.tag} of the call takes precedence", pool, pool)
            return pool
        fits = self._when.fits(call)
        key = self._read(call) if fits else ""
        is_in = fits and (self.point(key) if key else self._chance.dice() * 100) < self._percent
        canaries, others = pool.kept.get(self) or self._prepare(pool)
        found, other = (canaries, others) if is_in else (others, canaries)
        if found.is_out and not self.rule.force:
            found = pool if other.is_out else other
        if steps is not None:
            why = self._unfit if not fits else f"{self.rule.key} {key!r}" if key else "chance"
            if fits:
                why = f"{why} is {'within' if is_in else 'outside'} the {self._percent:g} % of canaries"
            self._tell(steps, self._why(why, is_in, pool, found), pool, found)
        return found

    def point(self, key: str) -> float:
        """Where `key` is, from 0 to below 100; below the percent is in."""
        seed = self._seed.copy()
        seed.update(key.encode("utf-8", "surrogatepass"))
        return int.from_bytes(seed.digest(), "big") / _POINTS * 100

    def _why(self, why: str, is_in: bool, pool: Pool[N], found: Pool[N]) -> str:
        parts = self._prepare(pool)
        mine, side = parts[not is_in], "canaries" if is_in else "others"
        if not mine.is_out:
            return f"{why}, so to the {side}"
        if not mine.nodes and self.rule.force and pool.nodes:
            return f"none among the {side}, where the call belongs, because {why}; `force` forbids the rest"
        missing = f"of the {side} {'all are out' if mine.nodes else 'there is none'}"
        return f"{why}; {missing}, so to {'those' if found is mine else 'the rest' if found is not pool else 'anybody'}"

    def _prepare(self, pool: Pool[N]) -> tuple[Pool[N], Pool[N]]:
        fits = self._to.fits
        canaries = pool.narrowed((self, "in"), lambda node: fits(node.instance))
        others = pool.narrowed((self, "out"), lambda node: not fits(node.instance))
        return pool.keep(self, (canaries, others), self._prepare)


def _reader(key: str, here: Here) -> Callable[[Call], str]:
    if not key:
        return lambda call: ""
    check_key(key, Side.CALL)
    if key.startswith(CALLER):
        value = caller_values(key, here)[0]
        return lambda call: value
    return call_reader(key)
