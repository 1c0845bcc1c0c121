"""Router `tag`: send calls with a tag to instances with that tag, and all others to instances without a tag.

The tag of a call is `Call.tag`, which `using(tag=...)` sets. The tag of an instance is in its tags
(`tags = {"tag": "gray"}`), or the rule assigns it:

    [[routes]]
    router = "tag"
    tags = { gray = ["10.0.0.1:9090", "10.1.0.0/16", "users-7"] }

If no healthy instance has the tag of a call, the call goes to instances without a tag; with `force`, it fails. A call
without a tag never goes to instances with one, even if there are no others: tags provide isolation.

The explicit tag of a call takes precedence: this router runs before all others except `group`, which asks it for the
tags of instances, and `canary` does not apply to calls that were routed by tag.

Source: Dubbo's `TagStateRouter`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from idlrt.core import Call, ClockAndRandom, Instance
from idlrt.route.base import CallerInfo, N, Pool, Rule, Step
from idlrt.route.router_base import RouterBase, RuleError
from idlrt.route.values import is_within, network_of

__all__ = ["TagRouter", "TagRule"]


class TagRule(Rule, frozen=True, kw_only=True):
    """Rule of the router `tag`.

    Attributes:
        tags: instances by tag, each as `host:port`, host, network (`10.1.0.0/16`) or id.
    """

    router: str = "tag"
    tags: Mapping[str, tuple[str, ...]] = {}


class TagRouter(RouterBase):
    """Routing by tag. Implements `Router`."""

    Rule = TagRule
    name: ClassVar[str] = "tag"

    def __init__(self, rule: TagRule, caller: CallerInfo, sources: ClockAndRandom) -> None:
        super().__init__(rule, caller, sources)
        if "" in rule.tags:
            raise RuleError("tags", "a tag must not be empty; instances that are not listed have no tag")
        self._lists = {tag: _listed(tag, members) for tag, members in rule.tags.items()}
        self._force = rule.force

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        parts: dict[str, Pool[N]] = pool.cache.get(self) or self._parts(pool)
        tag = call.tag
        own = parts.get(tag)
        if own is None or (tag and own.is_unhealthy):
            own = pool.empty if self._force else parts[""]
        if steps is not None:
            self._add_step(steps, self._why(tag, parts, pool, own), pool, own)
        return own

    def is_idle(self, pool: Pool[Any]) -> bool:
        return not self._force and (pool.cache.get(self) or self._parts(pool))[""] is pool

    def tags_of(self, instance: Instance) -> list[str]:
        """Return the tags of `instance`."""
        own = instance.tags.get("tag", "")
        listed = [tag for tag, has in self._lists.items() if tag != own and has(instance)]
        return [own, *listed] if own else listed

    def _why(self, tag: str, parts: Mapping[str, Pool[N]], pool: Pool[N], found: Pool[N]) -> str:
        if not tag:
            if found.endpoints or not pool.endpoints:
                return "the call has no tag"
            tagged = ", ".join(f"{len(part)} {name}" for name, part in sorted(parts.items()) if name)
            return f"none without a tag, and the call has none (tagged: {tagged})"
        own = parts.get(tag)
        if found is own:
            return f"the call has the tag {tag}"
        if found.endpoints or not pool.endpoints:
            missing = "no instance has" if own is None else "all instances are unhealthy that have"
            return f"{missing} the tag {tag}: using instances without a tag"
        wanted = f"with the tag {tag} of the call{' is healthy' if own is not None else ''}"
        return f"none {wanted}{'; `force` excludes the others' if self._force else ', and none without a tag'}"

    def _parts(self, pool: Pool[N]) -> dict[str, Pool[N]]:
        """Return the endpoints by tag; those without a tag under the empty text."""
        endpoints: dict[str, list[N]] = {}
        for endpoint in pool.endpoints:
            for tag in self.tags_of(endpoint.instance) or [""]:
                endpoints.setdefault(tag, []).append(endpoint)
        plain = endpoints.pop("", [])
        parts = {tag: Pool(found, tag=tag) for tag, found in endpoints.items()}
        parts[""] = pool if len(plain) == len(pool) else Pool(plain)
        return pool.store(self, parts, self._parts)


def _listed(tag: str, members: tuple[str, ...]) -> Callable[[Instance], bool]:
    names = frozenset(members)
    networks: list[Any] = []
    for number, member in enumerate(members):
        if "/" in member:
            network = network_of(member)
            if network is None:
                raise RuleError(f"tags.{tag}[{number}]", f"expected a network such as 10.1.0.0/16, got {member!r}")
            networks.append(network)

    def has(instance: Instance) -> bool:
        if instance.address in names or instance.id in names or instance.host in names:
            return True
        return any(is_within(instance.host, network) for network in networks)

    return has
