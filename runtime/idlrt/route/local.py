"""`local`: the same machine first.

An instance is on this machine if its host is the machine's name, one of its addresses (`caller.host` has both), or a
loopback. Where none is, or all are out, the calls go to the others; with `force`, they go nowhere else.

Source: Motan's `localFirst`
"""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from idlrt.core import Call, Chance
from idlrt.route.base import Here, N, Pool, Rule, Step
from idlrt.route.following import Following

__all__ = ["LocalRouter", "LocalRule"]


class LocalRule(Rule, frozen=True, kw_only=True):
    """See the module."""

    router: str = "local"


class LocalRouter(Following):
    """See the module. A `Router`."""

    Rule = LocalRule
    name: ClassVar[str] = "local"

    def __init__(self, rule: LocalRule, here: Here, chance: Chance) -> None:
        super().__init__(rule, here, chance)
        self._names = frozenset({here.host, *here.addresses, "localhost"}) - {""}

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """See `Router.route`."""
        found = pool.narrowed(self, lambda node: self.is_here(node.instance.host))
        why = "on this machine"
        if found.is_out and not (self.rule.force and found.nodes):
            if self.rule.force:
                why = f"none on this machine; {len(pool)} elsewhere, and `force` forbids them"
            else:
                found, why = pool, f"on this machine {'all are out' if found.nodes else 'there is none'}"
        if steps is not None:
            self._tell(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        """See `Router.is_idle`."""
        count = len(pool.narrowed(self, lambda node: self.is_here(node.instance.host)))
        return count == len(pool) or (not count and not self.rule.force)

    def is_here(self, host: str) -> bool:
        """Whether `host` is this machine."""
        if host in self._names:
            return True
        try:
            return ipaddress.ip_address(host.partition("%")[0]).is_loopback
        except ValueError:
            return False
