"""`zone`: the caller's own zone first, and others as far as it cannot carry the calls.

As long as 1/1.4 (71 %) of the zone's weight is not out, every call stays. Below that a share of the calls goes to the
next zones of `order`, in the same way, and what is in none of these comes last. So no call leaves without need, and a
zone that is half down is not overrun.

    [[routes]]
    router = "zone"
    order = ["eu-2", "eu-3"]

A rule for `zone` stands for the one that is there without any. `mode = "only"`, or `force`, keeps calls in the zone
whatever happens; `mode = "off"` makes nothing of zones.

Source: Envoy's priority levels with their overprovisioning factor, which is 1.4 there too
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from idlrt.core import Call, Chance
from idlrt.route.base import Here, N, Pool, Rule, Shares, Step
from idlrt.route.following import Following

__all__ = ["ZoneRouter", "ZoneRule"]

_OVERPROVISIONING: Final = 1.4


class ZoneRule(Rule, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        mode: `prefer`, `only` or `off`.
        order: other zones, the nearest first.
    """

    router: str = "zone"
    mode: Literal["prefer", "only", "off"] = "prefer"
    order: tuple[str, ...] = ()


class ZoneRouter(Following):
    """See the module. A `Router`."""

    Rule = ZoneRule
    name: ClassVar[str] = "zone"

    def __init__(self, rule: ZoneRule, here: Here, chance: Chance) -> None:
        super().__init__(rule, here, chance)
        self._zone = here.zone
        self._is_only = rule.mode == "only" or rule.force
        self._order = list(dict.fromkeys([here.zone, *rule.order]))
        self._aside = (
            "the rule is off" if rule.mode == "off" else "" if here.zone else "the caller's own zone is not known"
        )

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """See `Router.route`."""
        if self._aside:
            found, why = pool, self._aside
        else:
            shares, texts = pool.kept.get(self) or self._prepare(pool)
            number = shares.draw(self._chance)
            found, why = shares.parts[number], texts[number]
        if steps is not None:
            self._tell(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        """See `Router.is_idle`."""
        if self._aside or not pool.nodes:
            return True
        if all(node.instance.zone == self._zone for node in pool.nodes):
            return True
        # Nobody is here, and the others are all alike.
        return not self._is_only and all(node.instance.zone not in self._order for node in pool.nodes)

    def _prepare(self, pool: Pool[N]) -> tuple[Shares[N], list[str]]:
        """The levels that calls go to, each with its share and what is said of it."""
        local = self._part(pool, self._zone)
        away = len(pool) - len(local)
        parts: list[tuple[Pool[N], float, str]]
        if self._is_only and (local.nodes or pool.nodes):
            why = f"in zone {self._zone}"
            if not local.nodes:
                why = f"none in zone {self._zone}; {away} in other zones, set {self._key()} to use them"
            parts = [(local, 1.0, why)]
        elif pool.is_out:
            parts = [(pool, 1.0, "all are out, so zones do not matter" if pool.nodes else "nobody is left")]
        else:
            parts = self._levels(pool, local)
        texts = [why if len(parts) == 1 else f"{why} ({share:.0%} of the calls)" for _, share, why in parts]
        return pool.keep(self, (Shares([(part, share) for part, share, _ in parts]), texts), self._prepare)

    def _levels(self, pool: Pool[N], local: Pool[N]) -> list[tuple[Pool[N], float, str]]:
        levels = [(local, f"in zone {self._zone}")]
        for zone in self._order[1:]:
            levels.append((self._part(pool, zone), self._elsewhere(local, f"in zone {zone}")))
        rest = pool.narrowed((self, None), lambda node: node.instance.zone not in self._order)
        levels.append((rest, self._elsewhere(local, "in other zones")))
        carries = [_carries(part) for part, _ in levels]
        # If all together cannot carry the calls, each carries more, in proportion.
        scale = max(1 / sum(carries), 1.0)
        parts: list[tuple[Pool[N], float, str]] = []
        left = 1.0
        for (part, why), carried in zip(levels, carries, strict=True):
            share = min(left, carried * scale)
            left -= share
            if share > 1e-9:
                parts.append((part, share, why))
        return parts

    def _part(self, pool: Pool[N], zone: str) -> Pool[N]:
        return pool.narrowed((self, zone), lambda node: node.instance.zone == zone)

    def _elsewhere(self, local: Pool[Any], where: str) -> str:
        out = sum(node.is_out for node in local.nodes)
        home = f"{out} of {len(local)} are out" if local.nodes else "nobody is"
        return f"{where}, because {home} in zone {self._zone}"

    def _key(self) -> str:
        whose = f" in the rule {self.label}" if self.label else ""
        return f'mode = "prefer"{whose}' if self.rule.mode == "only" else f"force = false{whose}"


def _carries(part: Pool[Any]) -> float:
    """The part of all calls that these can carry, from 0 to 1."""
    weights = [node.instance.weight for node in part.nodes]
    if not any(weights):
        weights = [1] * len(weights)
    well = sum(weight for node, weight in zip(part.nodes, weights, strict=True) if not node.is_out)
    return min(1.0, _OVERPROVISIONING * well / sum(weights)) if well else 0.0
