"""`tag`: calls with a tag go to instances with that tag, all others to instances without any.

A call has its tag in its metadata (`rpc_tag`, see `idlrt.core.headers`). An instance has it in its tags
(`tags = {"tag": "gray"}`), or the rule lists it:

    [[routes]]
    router = "tag"
    tags = { gray = ["10.0.0.1:9090", "10.1.0.0/16", "users-7"] }

Where nobody has the tag of a call, or all who have it are out, the call goes to those without a tag; with `force`, to
nobody. A call without a tag never goes to instances that have one, even if there are no others: that isolation is what
tags are for.

Source: Dubbo's `TagStateRouter`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from idlrt.core import TAG, Call, Chance, Instance
from idlrt.route.base import Here, N, Pool, Rule, Step
from idlrt.route.following import Following, RuleError
from idlrt.route.values import is_within, network_of

__all__ = ["TagRouter", "TagRule"]


class TagRule(Rule, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        tags: instances by tag, each as `host:port`, host, network (`10.1.0.0/16`) or id.
    """

    router: str = "tag"
    tags: Mapping[str, tuple[str, ...]] = {}


class TagRouter(Following):
    """See the module. A `Router`."""

    Rule = TagRule
    name: ClassVar[str] = "tag"

    def __init__(self, rule: TagRule, here: Here, chance: Chance) -> None:
        super().__init__(rule, here, chance)
        self._lists = {tag: _listed(tag, members) for tag, members in rule.tags.items()}
        self._force = rule.force

    def route(self, call: Call, pool: Pool[N], steps: list[Step] | None) -> Pool[N]:
        """See `Router.route`."""
        parts: dict[str, Pool[N]] = pool.kept.get(self) or self._parts(pool)
        tag = call.metadata.get(TAG, "")
        if not tag:
            found = parts[""]
            why = "the call has no tag"
            if not found.nodes and pool.nodes:
                why = f"none without a tag, as the call has none; {_tagged(parts)}"
        else:
            own = parts.get(tag)
            wanted = f"with the tag {tag} of the call{' that is not out' if own is not None else ''}"
            if own is not None and not own.is_out:
                found, why = own, f"the call has the tag {tag}"
            elif self._force:
                found = pool.nobody
                why = f"none {wanted}; `force` forbids others"
            else:
                found, missing = parts[""], f"{'all are out that have' if own else 'nobody has'} the tag {tag}"
                why = f"{missing}, so those without a tag"
                if not found.nodes and pool.nodes:
                    why = (
                        f"none with the tag {tag} of the call{' that is not out' if own else ''} and none without a tag"
                    )
        if steps is not None:
            self._tell(steps, why, pool, found)
        return found

    def is_idle(self, pool: Pool[Any]) -> bool:
        """See `Router.is_idle`."""
        return not self._force and (pool.kept.get(self) or self._parts(pool))[""] is pool

    def tags_of(self, instance: Instance) -> list[str]:
        """The tags that `instance` has."""
        own = instance.tags.get("tag", "")
        listed = [tag for tag, has in self._lists.items() if tag != own and has(instance)]
        return [own, *listed] if own else listed

    def _parts(self, pool: Pool[N]) -> dict[str, Pool[N]]:
        """Those without a tag by the empty text, the others by tag."""
        nodes: dict[str, list[N]] = {}
        for node in pool.nodes:
            for tag in self.tags_of(node.instance) or [""]:
                nodes.setdefault(tag, []).append(node)
        plain = nodes.pop("", [])
        parts = {tag: Pool(found) for tag, found in nodes.items()}
        parts[""] = pool if len(plain) == len(pool) else Pool(plain)
        pool.kept[self] = parts
        return parts


def _listed(tag: str, members: tuple[str, ...]) -> Callable[[Instance], bool]:
    names = frozenset(members)
    networks: list[Any] = []
    for number, member in enumerate(members):
        if "/" in member:
            network = network_of(member)
            if network is None:
                raise RuleError(f"tags.{tag}[{number}]", f"{member!r} is no network such as 10.1.0.0/16")
            networks.append(network)

    def has(instance: Instance) -> bool:
        if instance.address in names or instance.id in names or instance.host in names:
            return True
        return any(is_within(instance.host, network) for network in networks)

    return has


def _tagged(parts: Mapping[str, Pool[Any]]) -> str:
    tags = ", ".join(f"{len(part)} {tag}" for tag, part in sorted(parts.items()) if tag)
    return f"tagged: {tags}"
