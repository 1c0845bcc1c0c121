"""The instances that a cluster knows: follows the snapshots of a service, and of other groups of it where rules mix
them.

New snapshots are followed on the registry's thread. An instance that changes but is reached over the same connections
keeps its node, with all that was measured. Calls in flight on an instance that is gone go on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic

import msgspec

from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.node import Node, S
from idlrt.core import Call, Change, Deadline, Instance, Snapshot
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError, NoInstance

if TYPE_CHECKING:
    from idlrt.registry import Subscription

__all__ = ["EndpointSet"]

_log: Final = get_logger("idlrt.client")

# Seconds that a call waits for what is in another group.
_FOR_GROUPS: Final = 0.5


class EndpointSet(Generic[S]):
    """See the module. Threads may share it.

    Args:
        subscription: of the service; becomes this object's.
        other: subscribes to another group of the service.
        make: makes the node for an instance.
        retire: is given the leaf of one that is there no more.
        name: of the service, for messages.
        changed: is called when there is a newer snapshot, on the registry's thread or on that which subscribes.

    Attributes:
        snapshot: what was followed last; `None` if nothing was.
        awaited: groups that were asked for just now, of which nothing is known yet.
    """

    def __init__(
        self,
        subscription: Subscription | LocalSubscription,
        other: Callable[[str], Subscription] | None,
        make: Callable[[Instance], Node[S]],
        retire: Callable[[S], object],
        name: str,
        changed: Callable[[Change], object],
    ) -> None:
        self.subscription = subscription
        self.snapshot: Snapshot | None = None
        self.awaited: Sequence[Subscription] = ()
        self._other = other
        self._make = make
        self._retire = retire
        self._name = name
        self._changed = changed
        self._groups: dict[str, Subscription] = {}
        self._unheard: list[Subscription] = []
        # `None`: they are to be looked at again, because there are other groups.
        self._seen: list[Snapshot | None] | None = []
        self._nodes: dict[tuple[str, str], Node[S]] = {}
        # Why an instance cannot be called by this client.
        self._strange: dict[tuple[str, str], str] = {}
        self._is_closed = False
        self.renew()

    def renew(self) -> None:
        """In a child of the process that made it: the calls that are under way are the parent's."""
        self._lock = threading.Lock()
        for node in self._nodes.values():
            node.load.calls.renew()

    @property
    def nodes(self) -> list[Node[S]]:
        """All that are known."""
        return list(self._nodes.values())

    def _snapshots(self) -> list[Snapshot | None]:
        return [each.snapshot for each in self._groups.values()]

    def mix(self, groups: Collection[str]) -> None:
        """Follow these groups beside the service's own, and no others."""
        if not groups and not self._groups:
            return
        with self._lock:
            if self._is_closed or self._other is None:
                return
            wanted = set(groups) - {self.subscription.key.group}
            left = [each for group, each in self._groups.items() if group not in wanted]
            known, self._groups = self._groups, {}
            for group in sorted(wanted):
                self._groups[group] = known.get(group) or self._other(group)
            fresh = self.awaited = [each for group, each in self._groups.items() if group not in known]
            self._unheard += fresh
            self._seen = None
        for each in left:
            each.close()

    def listen(self) -> None:
        """Listen to the groups that `mix` has added. Hold no lock that a listener needs."""
        with self._lock:
            unheard, self._unheard = self._unheard, []
        for each in unheard:
            each.listen(self._changed)

    async def wait_for_groups(self, call: Call, first: Callable[[Subscription, Call], Awaitable[Snapshot]]) -> None:
        """Rules have asked for other groups just now, and who is there is about to be known. Nobody waits for it twice.

        Args:
            first: waits for the first snapshot.
        """
        deadline = Deadline(min(call.deadline.at, call.driver.now() + _FOR_GROUPS), _FOR_GROUPS)
        for each in self.awaited:
            if each.snapshot is None:
                with contextlib.suppress(NoInstance):
                    await first(each, msgspec.structs.replace(call, deadline=deadline))
        self.awaited = ()

    def follow(self) -> bool:
        """Take over the newest snapshots. Whether anything may be different now."""
        with self._lock:
            # Looked at with the lock: who has looked before may have slept, and must not bring an older one back.
            snapshot = self.subscription.snapshot
            others = self._snapshots()
            if snapshot is None or self._is_closed or (snapshot is self.snapshot and others == self._seen):
                return False
            nodes: dict[tuple[str, str], Node[S]] = {}
            strange: dict[tuple[str, str], str] = {}
            for each in (snapshot, *others):
                for instance in each.instances if each is not None else ():
                    self._take(instance, nodes, strange)
            gone = [node for key, node in self._nodes.items() if nodes.get(key) is not node]
            self._nodes, self._strange = nodes, strange
            self.snapshot, self._seen = snapshot, others
        for node in gone:
            self._retire(node.sender)
        return True

    def _take(self, instance: Instance, nodes: dict[Any, Node[S]], strange: dict[Any, str]) -> None:
        key = (instance.group, instance.id)
        known = self._nodes.get(key)
        if known is None or not _is_same(known.instance, instance):
            try:
                nodes[key] = self._make(instance)
            except ConfigurationError as error:
                # One that speaks something else must not cost calls of the others.
                strange[key] = str(error)
                if key not in self._strange:
                    _log.warning("cannot call %s of %s: %s", instance.address, self._name, error)
            return
        if known.instance != instance:
            # The node itself: calls under way on it count on.
            known.instance = instance
        nodes[key] = known

    def states(self) -> list[str]:
        """What keeps each instance from being called, or its state."""
        snapshots = (self.snapshot, *(self._seen or ()))
        return [self._state(each) for snapshot in snapshots if snapshot is not None for each in snapshot.instances]

    def _state(self, instance: Instance) -> str:
        if instance.is_callable and (why := self._strange.get((instance.group, instance.id))) is not None:
            return f"incompatible ({why})"
        return instance.status.value if instance.weight else "without weight"

    def close(self) -> list[S]:
        """Follow nothing any more. The leaves, to be closed."""
        with self._lock:
            self._is_closed = True
            nodes, self._nodes = self._nodes, {}
            groups, self._groups = self._groups, {}
        for each in (self.subscription, *groups.values()):
            each.close()
        return [node.sender for node in nodes.values()]


def _is_same(one: Instance, other: Instance) -> bool:
    """Whether the same connections lead to both."""
    return _connection_key(one) == _connection_key(other)


def _connection_key(instance: Instance) -> tuple[Any, ...]:
    return instance.host, instance.port, instance.protocols, instance.rpc_protocols, instance.started_at
