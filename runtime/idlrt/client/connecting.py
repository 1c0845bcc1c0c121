"""Turn `connect()` arguments into a transport: to the instances of a service, or to the server at an address."""

from __future__ import annotations

import contextlib
import uuid
import weakref
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.client.cluster import Cluster, Govern
from idlrt.client.errors import no_snapshot
from idlrt.client.governance import Governance
from idlrt.client.leaves import Settings, async_leaf, blocking_leaf
from idlrt.client.local_subscription import LocalSubscription, snapshot_of
from idlrt.client.options import ConnectSettings, check_seconds, values_of
from idlrt.client.peer_state import PeerState
from idlrt.client.stats import ClientStats
from idlrt.client.target import NamedTarget, parse_target
from idlrt.client.transport import AsyncSender, BlockingSender
from idlrt.config import Layer, read_config
from idlrt.core import Call, Change, Instance, Snapshot
from idlrt.errors import RegistryError
from idlrt.net.address import Address
from idlrt.route import Here

if TYPE_CHECKING:
    from idlrt.client.aio import MultiplexedSender
    from idlrt.registry import Registry, Subscription

__all__ = ["async_sender", "blocking_sender", "over_async", "over_blocking"]


def _govern(said: ConnectSettings, service: str, target: Address | NamedTarget) -> tuple[Govern, Here]:
    """Merge the configuration of a client. Return a factory of its call planner, and the caller for routing rules.

    Args:
        service: name in the client's IDL.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    file = read_config(said.config)
    names = [service]
    layers: list[Layer] = []
    if isinstance(target, NamedTarget):
        names.append(target.key.service)
        if target.balancer:
            layers.append(Layer("the target's URL", {"balancer": target.balancer}))
    values = values_of(said.policy, "policy") if said.policy is not None else {}
    if said.timeout is not None:
        check_seconds("timeout", said.timeout)
        values["timeout"] = said.timeout
    layers = [*file.layers(*names), *layers, Layer("connect(...)", values)]
    here = file.here
    if not here.id:
        here = msgspec.structs.replace(here, id=uuid.uuid4().hex)
    return partial(Governance, layers, listeners=said.listeners, caller=here.app), here


def blocking_sender(
    target: str, service: str, settings: Settings, said: ConnectSettings
) -> tuple[BlockingSender, str, Governance]:
    """Return the transport of a blocking client, the name of its target, and its call planner.

    Args:
        service: name in the client's IDL.
        said: the settings that were passed to `connect`.

    Raises:
        ConfigurationError: the target or a setting is invalid.
    """
    parsed = parse_target(target, service)
    make = _Maker(parsed, settings, blocking_leaf)

    def retire(sender: BlockingSender) -> None:
        sender.close()

    async def first(subscription: Subscription, call: Call) -> Snapshot:
        seconds = _patience(subscription, call)
        try:
            return subscription.wait(seconds)
        except RegistryError as error:
            raise no_snapshot(error, call) from error

    cluster, end = _cluster(parsed, service, make, retire, first, said)
    return _BlockingCluster(cluster, end), str(parsed), cluster.governance


def async_sender(
    target: str, service: str, settings: Settings, said: ConnectSettings
) -> tuple[AsyncSender, str, Governance]:
    """Return the transport of an asyncio client, the name of its target, and its call planner."""
    parsed = parse_target(target, service)
    make = _Maker(parsed, settings, async_leaf)

    def retire(sender: AsyncSender) -> None:
        sender.retire()

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

        seconds = _patience(subscription, call)
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

    cluster, end = _cluster(parsed, service, make, retire, first, said)
    return _AsyncCluster(cluster, end, ends), str(parsed), cluster.governance


def over_blocking(
    sender: BlockingSender, address: Address, service: str, said: ConnectSettings
) -> tuple[BlockingSender, Governance]:
    """Return the transport of a blocking client that has a transport to its only server, and its call planner."""
    cluster = _direct(address, service, lambda _: sender, said)
    return _BlockingCluster(cluster, _nothing), cluster.governance


def over_async(
    sender: AsyncSender, address: Address, service: str, said: ConnectSettings
) -> tuple[AsyncSender, Governance]:
    """Return the transport of an asyncio client that has a transport to its only server, and its call planner."""
    cluster = _direct(address, service, lambda _: sender, said)
    return _AsyncCluster(cluster, _nothing, ()), cluster.governance


def _patience(subscription: Subscription, call: Call) -> float:
    """Return how many seconds a call may wait for the first snapshot: at most 0.5 if the registry is failing."""
    left = max(call.deadline.remaining(call.driver.now()), 0.0)
    return left if subscription.last_error is None else min(left, 0.5)


def _cluster(
    target: Address | NamedTarget,
    service: str,
    make: _Maker,
    retire: Callable[[Any], object],
    first: Callable[[Subscription, Call], Coroutine[Any, Any, Snapshot]],
    said: ConnectSettings,
) -> tuple[Cluster[Any], Callable[[], None]]:
    """Return a cluster, and a function to call after it was closed."""
    if isinstance(target, Address):
        return _direct(target, service, make, said), _nothing
    govern, here = _govern(said, service, target)
    from idlrt.registry import shared_registries

    registry: Registry = shared_registries.acquire(target.registry)
    try:
        cluster = Cluster[Any](
            registry.subscribe(target.key.service, target.key.group),
            make,
            retire,
            first,
            str(target),
            govern,
            here,
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


def _direct(address: Address, service: str, make: Callable[[Instance], Any], said: ConnectSettings) -> Cluster[Any]:
    """Return a cluster whose only instance is the server at `address`."""
    govern, here = _govern(said, service, address)
    server = LocalSubscription(snapshot_of(address))
    return Cluster[Any](server, make, _keep, _never_waits, str(address), govern, here, is_watched=False, is_direct=True)


def _keep(sender: object) -> None:
    """Close nothing: the only instance is never removed."""


async def _never_waits(subscription: object, call: Call) -> Snapshot:
    raise AssertionError("the first snapshot exists from the start")


def _nothing() -> None:
    """Release nothing: a direct client has only connections."""


def _watch(registry: Registry, cluster: Cluster[Any], make: _Maker) -> Callable[[], None]:
    idle = make.settings.heartbeat
    if idle is None:
        return _nothing
    from idlrt.client.watch import watch

    return registry.run_in_background(lambda: watch(cluster, make.pinger, idle))


class _Maker:
    """Factory of the transports of a client.

    Args:
        target: of the client.
        settings: of the client.
        leaf: creates a transport.

    Raises:
        ConfigurationError: an option of the protocol is invalid.
    """

    def __init__(self, target: Address | NamedTarget, settings: Settings, leaf: Callable[..., Any]) -> None:
        self.settings = settings
        self._address = target if isinstance(target, Address) else None
        self._leaf = leaf
        self._context = settings.tls_context()
        self._peers = _Peers(settings)

    def __call__(self, instance: Instance) -> Any:
        return self._make(instance, self._leaf)

    def pinger(self, instance: Instance) -> MultiplexedSender:
        """Create a transport for pings."""
        made: MultiplexedSender = self._make(instance, async_leaf)
        return made

    def _make(self, instance: Instance, leaf: Callable[..., Any]) -> Any:
        settings = self.settings
        if self._address is not None:
            return leaf(self._address, settings.peer(), settings, self._context)
        address = Address(instance.host, instance.port)
        return leaf(address, self._peers.of(instance), settings.of(instance), self._context)


class _Peers:
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


class _BlockingCluster:
    """Blocking transport of a cluster.

    Args:
        end: called after it was closed.
    """

    carries_metadata = True  # the cluster checks each endpoint

    def __init__(self, cluster: Cluster[BlockingSender], end: Callable[[], None]) -> None:
        self.cluster = cluster
        self.send = cluster.call
        self._end: Callable[[], None] | None = end

    def found_again(self) -> None:
        """Do nothing: each endpoint has its own backoff."""

    def connections(self) -> int:
        return self.stats().connections

    def stats(self) -> ClientStats:
        return self.cluster.stats()

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            for sender in self.cluster.close():
                sender.close()
            end()


class _AsyncCluster:
    """Asyncio transport of a cluster.

    Args:
        end: called after it was closed, on another thread, because it may block.
        waits: functions that cancel waits for the first snapshot.
    """

    carries_metadata = True

    def __init__(
        self, cluster: Cluster[AsyncSender], end: Callable[[], None], waits: Collection[Callable[[], object]]
    ) -> None:
        self.cluster = cluster
        self.send = cluster.call
        self._waits = waits
        self._end: Callable[[], None] | None = end

    def found_again(self) -> None:
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
        senders = self.cluster.close()
        for wait in list(self._waits):
            wait()
        try:
            await asyncio.gather(*(sender.close() for sender in senders))
        finally:
            if end is not _nothing:
                await asyncio.get_running_loop().run_in_executor(None, end)
