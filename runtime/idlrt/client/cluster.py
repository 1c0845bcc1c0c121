"""The leaf for services that are found by name: chooses an instance, and another one when that comes to nothing.

What is chosen from follows the registry: the newest snapshot is looked at before each call, and nothing is waited for
but the first one. A call that no server has worked on goes to another instance; one that may have been worked on does
so only if its method is idempotent. Calls under way on an instance that is gone, or drains, end as they do.

Beside the calls a *watch* on the registry's thread asks instances that have been silent for a while whether they are
there, and those that are out whether they are back (`idlrt.client.health`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from idlrt.balance import BALANCERS, Load
from idlrt.client.choice import DEFAULT, Choice
from idlrt.client.health import Health
from idlrt.core import Call, Freshness, Instance, Snapshot
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError, NoInstance, NotSent, Overloaded, RegistryError, RpcError, Unknown
from idlrt.registry import Subscription

__all__ = ["Cluster", "Node"]

_log = logging.getLogger("idlrt.client")

# Dubbo's default for failover.
_RETRIES: Final = 2
_MOST_TRIED: Final = 10


class Sender(Protocol):
    """What both kinds of leaf have in common."""

    async def send(self, call: Call) -> Any:
        """See `BlockingSender.send`."""
        ...

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""
        ...

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        ...


S = TypeVar("S", bound=Sender)


class Node(Generic[S]):
    """An instance and the connections to it.

    Attributes:
        weight: its share of calls at the moment.
        load: what has been measured of it.
        is_used: whether it has been called.
    """

    __slots__ = ("health", "instance", "is_used", "load", "sender", "target", "weight")

    def __init__(self, instance: Instance, sender: S, health: Health) -> None:
        self.instance = instance
        self.weight = instance.weight
        self.sender = sender
        self.health = health
        self.load = Load(sender.connections)
        self.is_used = False
        self.target = f"tcp://{instance.address}"


class Cluster(Generic[S]):
    """See the module. Threads may share it.

    Args:
        subscription: of the service; becomes the cluster's.
        make: makes the leaf for an instance.
        retire: closes one for an instance that is there no more; calls under way on it go on.
        first: waits for the first snapshot, for a call, at most until its deadline.
        name: of the target, for messages.
        balancer: how one is chosen, if neither the call nor the service's settings in the registry say so.
    """

    def __init__(
        self,
        subscription: Subscription,
        make: Callable[[Instance], S],
        retire: Callable[[S], object],
        first: Callable[[Subscription, Call], Awaitable[Snapshot]],
        name: str,
        balancer: str = DEFAULT,
    ) -> None:
        self._subscription = subscription
        self._balancer = balancer
        # What the service's settings in the registry say.
        self._advised = ""
        self._make = make
        self._retire = retire
        self._first = first
        self._name = name
        self._seen: Snapshot | None = None
        self._nodes: dict[str, Node[S]] = {}
        # Why an instance cannot be called by this client, by id.
        self._strange: dict[str, str] = {}
        self._choice: Choice[Node[S]] = Choice(())
        self._is_closed = False
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it: the calls that are under way are the parent's."""
        self._lock = threading.Lock()
        for node in self._nodes.values():
            node.load.under_way = 0

    @property
    def nodes(self) -> list[Node[S]]:
        """All that are known, for whoever watches them."""
        return list(self._nodes.values())

    async def send(self, call: Call) -> Any:
        """See `BlockingSender.send`; `call.target` is the service, and errors name the instance."""
        snapshot = self._subscription.snapshot
        if snapshot is None:
            snapshot = await self._wait_for_first(call)
        if snapshot is not self._seen:
            self._follow()
        if self._is_closed:
            raise self._closed(call)
        retries: int = call.options.get("retries", _RETRIES)
        tried: list[Node[S]] = []
        balancer = call.options.get("balancer") or self._advised or self._balancer
        node = self._choice.pick(call, tried, balancer)
        if node is None:
            raise self._none(call, snapshot)
        while True:
            try:
                return await self._try(node, call)
            except (NotSent, Unknown) as error:
                tried.append(node)
                another = self._another(call, error, tried, retries, balancer)
                if another is None:
                    if len(tried) > 1:
                        error.add_note(f"tried before: {', '.join(each.target for each in tried[:-1])}")
                    raise
                _log.info("trying another instance of %s: %s", self._name, error)
                node = another

    async def _wait_for_first(self, call: Call) -> Snapshot:
        try:
            return await self._first(self._subscription, call)
        except NoInstance:
            if self._is_closed:
                raise self._closed(call) from None
            raise

    def _another(
        self, call: Call, error: RpcError, tried: list[Node[S]], retries: int, balancer: str
    ) -> Node[S] | None:
        """What is to be tried after `error`, of what is there by now; `None`: nothing."""
        if not self._may_go_on(call, error, len(tried), retries):
            return None
        if self._subscription.snapshot is not self._seen:
            self._follow()
        return self._choice.pick(call, tried, balancer)

    def _may_go_on(self, call: Call, error: RpcError, tried: int, retries: int) -> bool:
        """Whether another instance may be tried after `error`."""
        if call.deadline.remaining(call.driver.now()) <= 0 or not retries:
            return False
        if isinstance(error, NotSent) and not isinstance(error, Overloaded):
            return tried < _MOST_TRIED  # it costs nobody anything
        return tried <= retries and (isinstance(error, NotSent) or call.method.is_idempotent)

    async def _try(self, node: Node[S], call: Call) -> Any:
        load, now = node.load, call.driver.now
        node.is_used = True
        load.under_way += 1
        start = now()
        sent = Call(call.method, call.arguments, node.target, call.deadline, call.driver, call.metadata, call.options)
        try:
            result = await node.sender.send(sent)
        except (NotSent, Unknown) as error:
            end = now()
            load.failed(end - start, call.deadline.timeout, end)
            self.failed(node, error, end)
            raise
        except RpcError:
            end = now()
            load.answered(end - start, end)
            self.answered(node, end)  # it is there
            raise
        else:
            end = now()
            load.answered(end - start, end)
            self.answered(node, end)
            return result
        finally:
            load.under_way -= 1

    def answered(self, node: Node[S], now: float) -> None:
        """An instance has answered something."""
        if node.health.answered(now):
            self._choice.recount()
            node.sender.found_again()
            _log.info("calling %s of %s again", node.target, self._name)

    def failed(self, node: Node[S], error: Exception, now: float) -> None:
        """A call, or a ping, of an instance has come to nothing."""
        if node.health.failed(error, now):
            self._choice.recount()
            _log.warning("not calling %s of %s for the moment: %s", node.target, self._name, error)

    def _follow(self) -> None:
        """Choose from the instances of the newest snapshot from now on."""
        gone: list[Node[S]] = []
        with self._lock:
            # Looked at with the lock: who has looked before may have slept, and must not bring an older one back.
            snapshot = self._subscription.snapshot
            if snapshot is None or snapshot is self._seen or self._is_closed:
                return
            nodes: dict[str, Node[S]] = {}
            strange: dict[str, str] = {}
            for instance in snapshot.instances:
                known = self._nodes.get(instance.id)
                if known is None or not _is_same(known.instance, instance):
                    try:
                        nodes[instance.id] = Node(instance, self._make(instance), Health())
                    except ConfigurationError as error:
                        # One that speaks something else must not cost calls of the others.
                        strange[instance.id] = str(error)
                        if instance.id not in self._strange:
                            _log.warning("cannot call %s of %s: %s", instance.address, self._name, error)
                    continue
                if known.instance != instance:
                    # The node itself: calls under way on it count on.
                    known.instance, known.weight = instance, instance.weight
                nodes[instance.id] = known
            gone = [node for id, node in self._nodes.items() if nodes.get(id) is not node]
            self._nodes, self._strange = nodes, strange
            self._choice = Choice([node for node in nodes.values() if node.instance.is_callable])
            self._advised = self._advice(snapshot)
            self._choice.recount()  # some may be out, or back, since it was made
            self._seen = snapshot
        for node in gone:
            self._retire(node.sender)

    def _advice(self, snapshot: Snapshot) -> str:
        """The balancer that the service's settings ask for; a mistake there must not stop calls."""
        name = snapshot.settings.get("balancer", "")
        try:
            if name:
                BALANCERS.get(name)
        except ConfigurationError as error:
            _log.error("the settings of %s are wrong, and left aside: %s", self._name, error)
            return ""
        return name

    def _none(self, call: Call, snapshot: Snapshot) -> NoInstance:
        what = f"no instance of {self._name} for {call.method.full_name}"
        if not snapshot.instances:
            return NoInstance(f"{what}: none is registered; is the service running, in this group?")
        states = [self._state(each) for each in snapshot.instances]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        stale = "" if snapshot.freshness is Freshness.LIVE else f" ({snapshot.freshness.value})"
        return NoInstance(f"{what}: of {len(states)}{stale} none can be called: {counted}")

    def _state(self, instance: Instance) -> str:
        if instance.is_callable and (why := self._strange.get(instance.id)) is not None:
            return f"that cannot be talked to ({why})"
        return instance.status.value if instance.weight else "without weight"

    def _closed(self, call: Call) -> NotSent:
        return NotSent(f"cannot call {call.method.full_name} of {self._name}: the client is closed")

    def close(self) -> list[S]:
        """Call nobody any more. What is left to be closed."""
        with self._lock:
            self._is_closed = True
            nodes, self._nodes = self._nodes, {}
            self._choice = Choice(())
        self._subscription.close()
        return [node.sender for node in nodes.values()]


def _is_same(one: Instance, other: Instance) -> bool:
    """Whether the same connections lead to both."""
    return (one.host, one.port, one.protocols, one.started_at) == (
        other.host,
        other.port,
        other.protocols,
        other.started_at,
    )


def no_snapshot(error: RegistryError, call: Call) -> NoInstance:
    """Nothing is known of the service yet."""
    return NoInstance(f"cannot call {call.method.full_name}: {error}")
