"""Router `local`: prefer instances on the caller's host.

An instance is local if its host is the caller's host name, one of its addresses (`caller.host` has both), or a loopback
address. If no local instance is healthy, calls go to all instances; with `force`, they never do.

Source: Motan's `localFirst`
"""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from idlrt.core import Call, ClockAndRandom
from idlrt.route.base import CallerInfo, N, Pool, Rule, Step
from idlrt.route.router_base import RouterBase

__all__ = ["LocalRouter", "LocalRule"]


class LocalRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `local`."""

    router: str = "local"


class LocalRouter(RouterBase):
    """Local instances first. Implements `Router`."""

    Rule = LocalRule
    name: ClassVar[str] = "local"

    def __init__(self, rule: LocalRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        self._names = frozenset({caller.host, *caller.addresses, "localhost"}) - {""}

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        found = pool.narrowed(self, lambda endpoint: self.is_here(endpoint.instance.host))
        why = "on the caller's host"
        if found.is_unhealthy and not (self.rule.force and found.endpoints):
            if self.rule.force:
                why = f"none on the caller's host; {len(pool)} on other hosts, excluded by `force`"
            else:
                why = "all local instances are unhealthy" if found.endpoints else "there are no local instances"
                found, why = pool, f"{why}: using all instances"
        if steps is not None:
            self._add_step(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        count = len(pool.narrowed(self, lambda endpoint: self.is_here(endpoint.instance.host)))
        return count == len(pool) or (not count and not self.rule.force)

    def is_here(self, host: str) -> bool:
        """Whether `host` is the caller's host."""
        if host in self._names:
            return True
        try:
            return ipaddress.ip_address(host.partition("%")[0]).is_loopback
        except ValueError:
            return False
