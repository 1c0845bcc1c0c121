"""From what `connect` is told to what calls go through: a leaf for one server, or a cluster of leaves for a service."""

from __future__ import annotations

import contextlib
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.client.alone import Alone
from idlrt.client.governance import Governance
from idlrt.client.leaves import Settings, async_leaf, blocking_leaf
from idlrt.client.options import check_seconds, values_of
from idlrt.client.peer_state import PeerState
from idlrt.client.sender import AsyncSender, BlockingSender
from idlrt.client.stats import ClientStats
from idlrt.client.target import NamedTarget, parse_target
from idlrt.config import ClientConfig, Layer, read_config
from idlrt.core import Call, Change, Instance, Listener, Snapshot
from idlrt.errors import NoInstance, RegistryError
from idlrt.net.address import Address
from idlrt.route import Here

if TYPE_CHECKING:
    from idlrt.client.aio import MultiplexedSender
    from idlrt.client.cluster import Cluster
    from idlrt.net.tls_context import TlsContext
    from idlrt.registry import Registry, Subscription

__all__ = ["Said", "async_sender", "blocking_sender"]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What `connect` is told of calls, see there."""

    timeout: float | None = None
    policy: Mapping[str, Any] | None = None
    config: ClientConfig = None
    listeners: Sequence[Listener] = ()


def governance_of(said: Said, service: str, target: Address | NamedTarget) -> tuple[Governance, Here]:
    """What holds for the calls of a client, and who it is for routing rules.

    Args:
        service: of the client's IDL.

    Raises:
        ConfigurationError: something that was said is wrong.
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
    governance = Governance(layers, listeners=said.listeners)
    governance.caller = here.app
    return governance, here


def blocking_sender(
    target: str, service: str, settings: Settings, said: Said
) -> tuple[BlockingSender, str, Governance]:
    """What the calls of a blocking client go through, the name of its target, and what holds for them.

    Args:
        service: of the client's IDL.

    Raises:
        ConfigurationError: the target or a setting makes no sense.
    """
    parsed = parse_target(target, service)
    governance, here = governance_of(said, service, parsed)
    context = settings.tls_context()
    if isinstance(parsed, Address):
        leaf = blocking_leaf(parsed, settings.peer(), settings, context)
        Alone(leaf, governance, parsed)
        return leaf, str(parsed), governance
    peers = _Peers(settings)

    def make(instance: Instance) -> BlockingSender:
        return blocking_leaf(_address(instance), peers.of(instance), settings.of(instance), context)

    def retire(sender: BlockingSender) -> None:
        sender.close()

    async def first(subscription: Subscription, call: Call) -> Snapshot:
        from idlrt.client.absence import no_snapshot

        seconds = _patience(subscription, call)
        try:
            return subscription.wait(seconds)
        except RegistryError as error:
            raise no_snapshot(error, call) from error

    cluster, end = _cluster(parsed, make, retire, first, settings, context, peers, governance, here)

    def close() -> None:
        for sender in cluster.close():
            sender.close()
        end()

    return _BlockingCluster(cluster, close), str(parsed), governance


def async_sender(target: str, service: str, settings: Settings, said: Said) -> tuple[AsyncSender, str, Governance]:
    """What the calls of an asyncio client go through. See `blocking_sender`."""
    parsed = parse_target(target, service)
    governance, here = governance_of(said, service, parsed)
    context = settings.tls_context()
    if isinstance(parsed, Address):
        leaf = async_leaf(parsed, settings.peer(), settings, context)
        Alone(leaf, governance, parsed)
        return leaf, str(parsed), governance
    peers = _Peers(settings)

    def make(instance: Instance) -> AsyncSender:
        return async_leaf(_address(instance), peers.of(instance), settings.of(instance), context)

    def retire(sender: AsyncSender) -> None:
        sender.retire()

    # What ends the waiting of those who wait for the first snapshot.
    ends: set[Callable[[], object]] = set()

    async def first(subscription: Subscription, call: Call) -> Snapshot:
        import asyncio

        from idlrt.client.absence import no_snapshot

        loop = asyncio.get_running_loop()
        known: asyncio.Future[Snapshot] = loop.create_future()

        def tell(snapshot: Snapshot) -> None:
            if not known.done():
                known.set_result(snapshot)

        def heard(change: Change) -> None:
            loop.call_soon_threadsafe(tell, change.snapshot)

        def give_up() -> None:
            with contextlib.suppress(RuntimeError):  # its loop is over
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

    cluster, end = _cluster(parsed, make, retire, first, settings, context, peers, governance, here)

    async def close() -> None:
        import asyncio

        senders = cluster.close()
        for each in list(ends):
            each()
        try:
            await asyncio.gather(*(sender.close() for sender in senders))
        finally:
            # The registry is said goodbye to, which may take its time.
            await asyncio.get_running_loop().run_in_executor(None, end)

    return _AsyncCluster(cluster, close), str(parsed), governance


def _address(instance: Instance) -> Address:
    return Address(instance.host, instance.port)


def _patience(subscription: Subscription, call: Call) -> float:
    """Seconds that a call may wait for the first snapshot: not long if it is known already that there is trouble."""
    left = max(call.deadline.remaining(call.driver.now()), 0.0)
    return left if subscription.trouble is None else min(left, 0.5)


def no_snapshot(error: RegistryError, call: Call) -> NoInstance:
    """Nothing is known of the service yet."""
    return NoInstance(f"cannot call {call.method.full_name}: {error}")


def _cluster(
    target: NamedTarget,
    make: Any,
    retire: Any,
    first: Any,
    settings: Settings,
    context: TlsContext | None,
    peers: _Peers,
    governance: Governance,
    here: Here,
) -> tuple[Cluster[Any], Callable[[], None]]:
    """A cluster, and what is to be done when it is closed."""
    from idlrt.client.cluster import Cluster
    from idlrt.registry import shared_registries

    registry: Registry = shared_registries.take(target.registry)
    try:
        cluster = Cluster[Any](
            registry.subscribe(target.key.service, target.key.group),
            make,
            retire,
            first,
            str(target),
            governance,
            here,
            lambda group: registry.subscribe(target.key.service, group),
            is_watched=settings.heartbeat is not None,
            metadata_advice=settings.protocols()[0].metadata_advice(),
        )
        end_watch = _watch(registry, cluster, settings, context, peers)
    except BaseException:
        shared_registries.give_back(target.registry)
        raise

    def end() -> None:
        end_watch()
        shared_registries.give_back(target.registry)

    return cluster, end


def _watch(
    registry: Registry, cluster: Cluster[Any], settings: Settings, context: TlsContext | None, peers: _Peers
) -> Callable[[], None]:
    idle = settings.heartbeat
    if idle is None:
        return lambda: None
    from idlrt.client.watch import watch

    def make(instance: Instance) -> MultiplexedSender:
        return async_leaf(_address(instance), peers.of(instance), settings.of(instance), context)

    return registry.run_beside(lambda: watch(cluster, make, idle))


class _Peers:
    """What is known of the instances of a cluster, for calls and for pings.

    Raises:
        ConfigurationError: what is to be spoken makes no sense.
    """

    def __init__(self, settings: Settings) -> None:
        settings.protocols()
        self._settings = settings
        self._known: weakref.WeakValueDictionary[Any, PeerState] = weakref.WeakValueDictionary()

    def of(self, instance: Instance) -> PeerState:
        """Return the state of one, which is shared as long as somebody has it."""
        spoken = instance.protocols, tuple(instance.rpc_protocols.items())
        key = instance.group, instance.id, instance.address, spoken, instance.started_at
        found = self._known.get(key)
        if found is None:
            found = self._known.setdefault(key, self._settings.peer(instance))
        return found


class _BlockingCluster:
    """A `BlockingSender` of a cluster."""

    carries_metadata = True  # the cluster looks at each instance

    def __init__(self, cluster: Cluster[BlockingSender], close: Callable[[], None]) -> None:
        self.cluster = cluster
        self.send = cluster.call
        self._close: Callable[[], None] | None = close

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        return self.stats().connections

    def stats(self) -> ClientStats:
        """See `BlockingSender.stats`."""
        return self.cluster.stats()

    def close(self) -> None:
        """See `BlockingSender.close`."""
        close, self._close = self._close, None
        if close is not None:
            close()


class _AsyncCluster:
    """An `AsyncSender` of a cluster."""

    carries_metadata = True

    def __init__(self, cluster: Cluster[AsyncSender], close: Callable[[], Any]) -> None:
        self.cluster = cluster
        self.send = cluster.call
        self._close: Callable[[], Any] | None = close

    def found_again(self) -> None:
        """See `AsyncSender.found_again`."""

    def connections(self) -> int:
        """See `AsyncSender.connections`."""
        return self.stats().connections

    def stats(self) -> ClientStats:
        """See `AsyncSender.stats`."""
        return self.cluster.stats()

    def retire(self) -> None:
        """See `AsyncSender.retire`."""

    async def close(self) -> None:
        """See `AsyncSender.close`."""
        close, self._close = self._close, None
        if close is not None:
            await close()
