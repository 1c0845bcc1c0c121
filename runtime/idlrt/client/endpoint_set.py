"""Endpoints of a cluster, from the snapshots of a service and, where routing rules ask for them, of other groups.

Snapshots are applied on the registry's thread. An instance whose description changes keeps its endpoint, with its
connections and statistics, as long as the change does not concern its connections. When an instance is removed, its
calls in flight go on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic

import msgspec

from idlrt.client.endpoint import Endpoint, S
from idlrt.client.local_subscription import LocalSubscription
from idlrt.core import Call, Change, Deadline, Instance, Snapshot
from idlrt.core.logs import cleaned, get_logger
from idlrt.errors import ConfigurationError, NoInstance

if TYPE_CHECKING:
    from idlrt.registry import Subscription

__all__ = ["EndpointSet"]

_log: Final = get_logger("idlrt.client")

# Seconds that a call waits for the snapshots of other groups.
_FOR_GROUPS: Final = 0.5


class EndpointSet(Generic[S]):
    """Set of the endpoints of a cluster. Threads may share it.

    Args:
        subscription: to the service; closed with this object.
        other: subscribes to another group of the service.
        make: creates the endpoint of an instance.
        retire: called with the transport of a removed instance.
        name: of the service, for messages.
        changed: called when there is a newer snapshot, on the registry's thread or on the subscribing one.

    Attributes:
        snapshot: the snapshot that was applied last; `None` before the first.
        awaited: subscriptions to groups that were added and may have no snapshot yet.
    """

    def __init__(
        self,
        subscription: Subscription | LocalSubscription,
        other: Callable[[str], Subscription] | None,
        make: Callable[[Instance], Endpoint[S]],
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
        self._new_groups: list[Subscription] = []
        # `None`: they are to be looked at again, because there are other groups.
        self._seen: list[Snapshot | None] | None = []
        self._endpoints: dict[tuple[str, str], Endpoint[S]] = {}
        # Why an instance cannot be called by this client.
        self._incompatible: dict[tuple[str, str], str] = {}
        self._is_closed = False
        self.after_fork()

    def after_fork(self) -> None:
        """Reset locks and counts in a child of the process: the calls in flight belong to the parent."""
        self._lock = threading.Lock()
        for endpoint in self._endpoints.values():
            endpoint.load.calls.after_fork()

    @property
    def endpoints(self) -> list[Endpoint[S]]:
        """All known endpoints."""
        return list(self._endpoints.values())

    def _snapshots(self) -> list[Snapshot | None]:
        return [each.snapshot for each in self._groups.values()]

    def follow_groups(self, groups: Collection[str]) -> None:
        """Subscribe to these groups in addition to the one of the target, and leave all others."""
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
            self._new_groups += fresh
            self._seen = None
        for each in left:
            each.close()

    def listen(self) -> None:
        """Listen to the groups that `follow_groups` has added. The caller must hold no lock that a listener needs."""
        with self._lock:
            new_groups, self._new_groups = self._new_groups, []
        for each in new_groups:
            each.listen(self._changed)

    async def wait_for_groups(self, call: Call, first: Callable[[Subscription, Call], Awaitable[Snapshot]]) -> None:
        """Wait a short time for the snapshots of groups that routing rules have added. Each is waited for only once.

        Args:
            first: waits for the first snapshot of a subscription.
        """
        deadline = Deadline(min(call.deadline.at, call.driver.now() + _FOR_GROUPS), _FOR_GROUPS)
        for each in self.awaited:
            if each.snapshot is None:
                with contextlib.suppress(NoInstance):
                    await first(each, msgspec.structs.replace(call, deadline=deadline))
        self.awaited = ()

    def follow(self) -> bool:
        """Apply the newest snapshots. Return whether anything may have changed."""
        with self._lock:
            # Read with the lock: a thread that read them earlier and was suspended must not restore older ones.
            snapshot = self.subscription.snapshot
            others = self._snapshots()
            if snapshot is None or self._is_closed or (snapshot is self.snapshot and others == self._seen):
                return False
            endpoints: dict[tuple[str, str], Endpoint[S]] = {}
            incompatible: dict[tuple[str, str], str] = {}
            for each in (snapshot, *others):
                for instance in each.instances if each is not None else ():
                    self._take(instance, endpoints, incompatible)
            gone = [endpoint for key, endpoint in self._endpoints.items() if endpoints.get(key) is not endpoint]
            self._endpoints, self._incompatible = endpoints, incompatible
            self.snapshot, self._seen = snapshot, others
        for endpoint in gone:
            self._retire(endpoint.transport)
        return True

    def _take(self, instance: Instance, endpoints: dict[Any, Endpoint[S]], incompatible: dict[Any, str]) -> None:
        key = (instance.group, instance.id)
        known = self._endpoints.get(key)
        if known is None or not _is_same(known.instance, instance):
            try:
                endpoints[key] = self._make(instance)
            except ConfigurationError as error:
                # An instance with another protocol must not fail calls to the others.
                incompatible[key] = str(error)
                if key not in self._incompatible:
                    fields = {"service": self._name, "instance": instance.address, "reason": cleaned(str(error))}
                    _log.warning("ignoring %s of %s: %s", instance.address, self._name, error, extra=fields)
            return
        if known.instance != instance:
            # The same endpoint: calls in flight still count on it.
            known.instance = instance
        endpoints[key] = known

    def states(self) -> list[str]:
        """Return the state of each instance, such as `enabled`, `disabled`, `weight 0` or `incompatible (…)`."""
        snapshots = (self.snapshot, *(self._seen or ()))
        return [self._state(each) for snapshot in snapshots if snapshot is not None for each in snapshot.instances]

    def _state(self, instance: Instance) -> str:
        if instance.is_callable and (why := self._incompatible.get((instance.group, instance.id))) is not None:
            return f"incompatible ({why})"
        return instance.status.value if instance.weight else "with weight 0"

    def close(self) -> list[S]:
        """Close the subscriptions. Return the transports, which the caller must close."""
        with self._lock:
            self._is_closed = True
            endpoints, self._endpoints = self._endpoints, {}
            groups, self._groups = self._groups, {}
        for each in (self.subscription, *groups.values()):
            each.close()
        return [endpoint.transport for endpoint in endpoints.values()]


def _is_same(one: Instance, other: Instance) -> bool:
    """Whether the connections to one also lead to the other."""
    return _connection_key(one) == _connection_key(other)


def _connection_key(instance: Instance) -> tuple[Any, ...]:
    return instance.host, instance.port, instance.protocols, instance.rpc_protocols, instance.started_at
