"""Turn `connect()` arguments into a transport: to the instances of a service, or to the server at an address."""

from __future__ import annotations

import contextlib
import uuid
import weakref
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.client.call_planner import CallPlanner
from idlrt.client.cluster import Cluster, PlannerFactory
from idlrt.client.errors import no_snapshot
from idlrt.client.local_subscription import LocalSubscription, snapshot_of
from idlrt.client.options import ConnectSettings, check_seconds, values_of
from idlrt.client.peer_state import PeerState
from idlrt.client.stats import ClientStats
from idlrt.client.target import NamedTarget, parse_target
from idlrt.client.transport import AsyncClientTransport, BlockingClientTransport
from idlrt.client.transport_factory import Settings, async_transport, blocking_transport
from idlrt.config import Layer, read_config
from idlrt.core import DEFAULT_GROUP, Call, Change, Instance, Snapshot
from idlrt.errors import RegistryError
from idlrt.net.address import Address
from idlrt.route import CallerInfo

if TYPE_CHECKING:
    from idlrt.client.aio import MultiplexedTransport
    from idlrt.registry import Registry, Subscription

__all__ = [
    "async_cluster_transport",
    "blocking_cluster_transport",
    "direct_async_transport",
    "direct_blocking_transport",
]


def _planner_factory(
    given: ConnectSettings, service: str, target: Address | NamedTarget
) -> tuple[PlannerFactory, CallerInfo]:
    """Merge the configuration of a client. Return a factory of its call planner, and the caller for routing rules.

    Args:
        service: name in the client's IDL.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    file = read_config(given.config)
    names = [service]
    layers: list[Layer] = []
    if isinstance(target, NamedTarget):
        names.append(target.key.service)
        if target.balancer:
            layers.append(Layer("the target's URL", {"balancer": target.balancer}))
    values = values_of(given.policy, "policy") if given.policy is not None else {}
    if given.timeout is not None:
        check_seconds("timeout", given.timeout)
        values["timeout"] = given.timeout
    layers = [*file.layers(*names), *layers, Layer("connect(...)", values)]
    caller = file.caller
    if not caller.id:
        caller = msgspec.structs.replace(caller, id=uuid.uuid4().hex)
    made = partial(
        CallPlanner,
        layers,
        listeners=given.listeners,
        caller=caller.app,
        target=_label(target),
        metrics=given.metrics,
    )
    return made, caller


def _label(target: Address | NamedTarget) -> str:
    """Return the name of a target in metrics: the address of a server, or the name of a service."""
    if isinstance(target, Address):
        return str(target).removeprefix("tcp://")
    group = target.key.group
    return target.key.service if group == DEFAULT_GROUP else f"{target.key.service}?group={group}"


def blocking_cluster_transport(
    target: str, service: str, settings: Settings, given: ConnectSettings
) -> tuple[BlockingClientTransport, str, CallPlanner]:
    """Return the transport of a blocking client, the name of its target, and its call planner.

    Args:
        service: name in the client's IDL.
        given: the settings that were passed to `connect`.

    Raises:
        ConfigurationError: the target or a setting is invalid.
    """
    parsed = parse_target(target, service)
    make = _TransportFactory(parsed, settings, blocking_transport)

    def retire(transport: BlockingClientTransport) -> None:
        transport.close()

    async def first(subscription: Subscription, call: Call) -> Snapshot:
        seconds = _snapshot_timeout(subscription, call)
        try:
            return subscription.wait(seconds)
        except RegistryError as error:
            raise no_snapshot(error, call) from error

    cluster, end = _cluster(parsed, service, make, retire, first, given)
    return _BlockingClusterTransport(cluster, end), str(parsed), cluster.planner


def async_cluster_transport(
    target: str, service: str, settings: Settings, given: ConnectSettings
) -> tuple[AsyncClientTransport, str, CallPlanner]:
    """Return the transport of an asyncio client, the name of its target, and its call planner."""
    parsed = parse_target(target, service)
    make = _TransportFactory(parsed, settings, async_transport)

    def retire(transport: AsyncClientTransport) -> None:
        transport.retire()

    # Each cancels a wait for the first snapshot.
    ends: set[Callable[[], object]] = set()

    async def first(subscription: Subscription, call: Call) -> Snapshot:
        import asyncio

        loop = asyncio.get_running_loop()
        known: asyncio.Future[Snapshot] = loop.create_future()

        def tell(snapshot: Snapshot) -> None:
            if not known.done():
                known.set_result(snapshot)

        def heard(change: Change) -> None:
            loop.call_soon_threadsafe(tell, change.snapshot)

        def give_up() -> None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(known.cancel)

        seconds = _snapshot_timeout(subscription, call)
        subscription.listen(heard)
        ends.add(give_up)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait([known])
            if not known.cancelled():
                return known.result()
            raise no_snapshot(subscription.unknown(seconds), call)
        except TimeoutError:
            raise no_snapshot(subscription.unknown(seconds), call) from None
        finally:
            ends.discard(give_up)
            subscription.leave(heard)

    cluster, end = _cluster(parsed, service, make, retire, first, given)
    return _AsyncClusterTransport(cluster, end, ends), str(parsed), cluster.planner


def direct_blocking_transport(
    transport: BlockingClientTransport, address: Address, service: str, given: ConnectSettings
) -> tuple[BlockingClientTransport, CallPlanner]:
    """Return the transport of a blocking client that has a transport to its only server, and its call planner."""
    cluster = _direct(address, service, lambda _: transport, given)
    return _BlockingClusterTransport(cluster, _nothing), cluster.planner


def direct_async_transport(
    transport: AsyncClientTransport, address: Address, service: str, given: ConnectSettings
) -> tuple[AsyncClientTransport, CallPlanner]:
    """Return the transport of an asyncio client that has a transport to its only server, and its call planner."""
    cluster = _direct(address, service, lambda _: transport, given)
    return _AsyncClusterTransport(cluster, _nothing, ()), cluster.planner


def _snapshot_timeout(subscription: Subscription, call: Call) -> float:
    """Return how many seconds a call may wait for the first snapshot: at most 0.5 if the registry is failing."""
    left = max(call.deadline.remaining(call.driver.now()), 0.0)
    return left if subscription.last_error is None else min(left, 0.5)


def _cluster(
    target: Address | NamedTarget,
    service: str,
    make: _TransportFactory,
    retire: Callable[[Any], object],
    first: Callable[[Subscription, Call], Coroutine[Any, Any, Snapshot]],
    given: ConnectSettings,
) -> tuple[Cluster[Any], Callable[[], None]]:
    """Return a cluster, and a function to call after it was closed."""
    if isinstance(target, Address):
        return _direct(target, service, make, given), _nothing
    make_planner, caller = _planner_factory(given, service, target)
    from idlrt.registry import shared_registries

    registry: Registry = shared_registries.acquire(target.registry)
    try:
        cluster = Cluster[Any](
            registry.subscribe(target.key.service, target.key.group),
            make,
            retire,
            first,
            str(target),
            make_planner,
            caller,
            lambda group: registry.subscribe(target.key.service, group),
            is_watched=make.settings.heartbeat is not None,
            metadata_advice=make.settings.protocols()[0].metadata_advice(),
        )
        end_watch = _watch(registry, cluster, make)
    except BaseException:
        shared_registries.release(target.registry)
        raise

    def end() -> None:
        end_watch()
        shared_registries.release(target.registry)

    return cluster, end


def _direct(address: Address, service: str, make: Callable[[Instance], Any], given: ConnectSettings) -> Cluster[Any]:
    """Return a cluster whose only instance is the server at `address`."""
    make_planner, caller = _planner_factory(given, service, address)
    server = LocalSubscription(snapshot_of(address))
    return Cluster[Any](
        server, make, _keep, _never_waits, str(address), make_planner, caller, is_watched=False, is_direct=True
    )


def _keep(transport: object) -> None:
    """Close nothing: the only instance is never removed."""


async def _never_waits(subscription: object, call: Call) -> Snapshot:
    raise AssertionError("the first snapshot exists from the start")


def _nothing() -> None:
    """Release nothing: a direct client has only connections."""


def _watch(registry: Registry, cluster: Cluster[Any], make: _TransportFactory) -> Callable[[], None]:
    idle = make.settings.heartbeat
    if idle is None:
        return _nothing
    from idlrt.client.watch import watch

    return registry.run_in_background(lambda: watch(cluster, make.pinger, idle))


class _TransportFactory:
    """Factory of the transports of a client.

    Args:
        target: of the client.
        settings: of the client.
        make_transport: creates a transport.

    Raises:
        ConfigurationError: an option of the protocol is invalid.
    """

    def __init__(self, target: Address | NamedTarget, settings: Settings, make_transport: Callable[..., Any]) -> None:
        self.settings = settings
        self._address = target if isinstance(target, Address) else None
        self._make_transport = make_transport
        self._context = settings.tls_context()
        self._peers = _PeerStates(settings)

    def __call__(self, instance: Instance) -> Any:
        return self._make(instance, self._make_transport)

    def pinger(self, instance: Instance) -> MultiplexedTransport:
        """Create a transport for pings."""
        made: MultiplexedTransport = self._make(instance, async_transport)
        return made

    def _make(self, instance: Instance, make_transport: Callable[..., Any]) -> Any:
        settings = self.settings
        if self._address is not None:
            return make_transport(self._address, settings.peer(), settings, self._context)
        address = Address(instance.host, instance.port)
        return make_transport(address, self._peers.of(instance), settings.of(instance), self._context)


class _PeerStates:
    """States of the servers of a cluster, shared by calls and pings.

    Raises:
        ConfigurationError: an option of the protocol is invalid.
    """

    def __init__(self, settings: Settings) -> None:
        settings.protocols()
        self._settings = settings
        self._known: weakref.WeakValueDictionary[Any, PeerState] = weakref.WeakValueDictionary()

    def of(self, instance: Instance) -> PeerState:
        """Return the state of the server of an instance, which is shared while it is referenced."""
        spoken = instance.protocols, tuple(instance.rpc_protocols.items())
        key = instance.group, instance.id, instance.address, spoken, instance.started_at
        found = self._known.get(key)
        if found is None:
            found = self._known.setdefault(key, self._settings.peer(instance))
        return found


class _BlockingClusterTransport:
    """Blocking transport of a cluster.

    Args:
        end: called after it was closed.
    """

    carries_metadata = True  # the cluster checks each endpoint

    def __init__(self, cluster: Cluster[BlockingClientTransport], end: Callable[[], None]) -> None:
        self.cluster = cluster
        self.send = cluster.call
        self._end: Callable[[], None] | None = end

    def reset_backoff(self) -> None:
        """Do nothing: each endpoint has its own backoff."""

    def connections(self) -> int:
        return self.stats().connections

    def stats(self) -> ClientStats:
        return self.cluster.stats()

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            for transport in self.cluster.close():
                transport.close()
            end()


class _AsyncClusterTransport:
    """Asyncio transport of a cluster.

    Args:
        end: called after it was closed, on another thread, because it may block.
        waits: functions that cancel waits for the first snapshot.
    """

    carries_metadata = True

    def __init__(
        self, cluster: Cluster[AsyncClientTransport], end: Callable[[], None], waits: Collection[Callable[[], object]]
    ) -> None:
        self.cluster = cluster
        self.send = cluster.call
        self._waits = waits
        self._end: Callable[[], None] | None = end

    def reset_backoff(self) -> None:
        """Do nothing: each endpoint has its own backoff."""

    def connections(self) -> int:
        return self.stats().connections

    def stats(self) -> ClientStats:
        return self.cluster.stats()

    def retire(self) -> None:
        """Do nothing: clusters do not nest."""

    async def close(self) -> None:
        import asyncio

        end, self._end = self._end, None
        if end is None:
            return
        transports = self.cluster.close()
        for wait in list(self._waits):
            wait()
        try:
            await asyncio.gather(*(transport.close() for transport in transports))
        finally:
            if end is not _nothing:
                await asyncio.get_running_loop().run_in_executor(None, end)
