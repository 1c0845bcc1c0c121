"""Router `zone`: prefer the caller's zone, and spill over to other zones when it lacks capacity.

While at least 1/1.4 (71 %) of the zone's weight is healthy, all calls stay. Below that, a share of the calls goes to
the next zones in `order`, by the same rule, and finally to all remaining zones. So no call leaves the zone
unnecessarily, and a zone that is half down is not overloaded.

    [[routes]]
    router = "zone"
    order = ["eu-2", "eu-3"]

A `zone` rule replaces the default one. `mode = "only"`, or `force`, always keeps calls in the zone; `mode = "off"`
ignores zones.

Source: Envoy's priority levels with the same overprovisioning factor of 1.4
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from idlrt.core import Call, ClockAndRandom
from idlrt.printable import plural
from idlrt.route.base import CallerInfo, N, Pool, Rule, Shares, Step
from idlrt.route.router_base import RouterBase

__all__ = ["ZoneRouter", "ZoneRule"]

_OVERPROVISIONING: Final = 1.4


class ZoneRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `zone`.

    Attributes:
        mode: `prefer`, `only` or `off`.
        order: other zones, nearest first.
    """

    router: str = "zone"
    mode: Literal["prefer", "only", "off"] = "prefer"
    order: tuple[str, ...] = ()


class ZoneRouter(RouterBase):
    """Zone-aware routing. Implements `Router`."""

    Rule = ZoneRule
    name: ClassVar[str] = "zone"

    def __init__(self, rule: ZoneRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        self._zone = caller.zone
        self._is_only = rule.mode == "only" or rule.force
        self._order = list(dict.fromkeys([caller.zone, *rule.order]))
        self._aside = "the rule is off" if rule.mode == "off" else "" if caller.zone else "the caller's zone is unknown"

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        if self._aside:
            found, why = pool, self._aside
        else:
            shares, texts = pool.cache.get(self) or self._prepare(pool)
            number = shares.draw(self._sources)
            found, why = shares.parts[number], texts[number]
        if steps is not None:
            self._add_step(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        if self._aside or not pool.endpoints:
            return True
        if all(endpoint.instance.zone == self._zone for endpoint in pool.endpoints):
            return True
        # There is no local instance, and the others have the same priority.
        return not self._is_only and all(endpoint.instance.zone not in self._order for endpoint in pool.endpoints)

    def _prepare(self, pool: Pool[N]) -> tuple[Shares[N], list[str]]:
        """Return the shares of the priority levels and a description of each."""
        local = self._part(pool, self._zone)
        away = len(pool) - len(local)
        parts: list[tuple[Pool[N], float, str]]
        if self._is_only and (local.endpoints or pool.endpoints):
            why = f"in zone {self._zone}"
            if not local.endpoints:
                why = f"none in zone {self._zone}; {away} in other zones, set {self._key()} to use them"
            parts = [(local, 1.0, why)]
        elif pool.is_unhealthy:
            why = "all instances are unhealthy: ignoring zones" if pool.endpoints else "none left by other rules"
            parts = [(pool, 1.0, why)]
        else:
            parts = self._levels(pool, local)
        texts = [why if len(parts) == 1 else f"{why} ({share:.0%} of the calls)" for _, share, why in parts]
        return pool.store(self, (Shares([(part, share) for part, share, _ in parts]), texts), self._prepare)

    def _levels(self, pool: Pool[N], local: Pool[N]) -> list[tuple[Pool[N], float, str]]:
        levels = [(local, f"in zone {self._zone}")]
        for zone in self._order[1:]:
            levels.append((self._part(pool, zone), self._elsewhere(local, f"in zone {zone}")))
        rest = pool.narrowed((self, None), lambda endpoint: endpoint.instance.zone not in self._order)
        levels.append((rest, self._elsewhere(local, "in other zones")))
        carries = [_carries(part) for part, _ in levels]
        # If the total capacity is insufficient, scale up the shares in proportion.
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
        return pool.narrowed((self, zone), lambda endpoint: endpoint.instance.zone == zone)

    def _elsewhere(self, local: Pool[Any], where: str) -> str:
        out = sum(endpoint.is_unhealthy for endpoint in local.endpoints)
        if not local.endpoints:
            return f"{where}: no instance in zone {self._zone}"
        return f"{where}: {out} of {plural(len(local), 'instance')} unhealthy in zone {self._zone}"

    def _key(self) -> str:
        whose = f" in rule {self.label}" if self.label else ""
        return f'mode = "prefer"{whose}' if self.rule.mode == "only" else f"force = false{whose}"


def _carries(part: Pool[Any]) -> float:
    """Return the fraction of all calls, 0 to 1, that the healthy instances have capacity for."""
    weights = [endpoint.instance.weight for endpoint in part.endpoints]
    if not any(weights):
        weights = [1] * len(weights)
    healthy = sum(weight for endpoint, weight in zip(part.endpoints, weights, strict=True) if not endpoint.is_unhealthy)
    return min(1.0, _OVERPROVISIONING * healthy / sum(weights)) if healthy else 0.0
