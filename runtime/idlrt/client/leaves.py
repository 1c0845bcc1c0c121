"""What the calls to one server go through: connections, made as `connect` was told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.client.negotiation import ProtocolChoice, no_common_protocol, select_protocol
from idlrt.client.options import MAX_CONNECTIONS, check_seconds
from idlrt.client.peer_state import PeerState
from idlrt.client.sender import BlockingSender
from idlrt.core import THRIFT, Instance
from idlrt.errors import ConfigurationError
from idlrt.net.address import Address
from idlrt.net.tls import Tls
from idlrt.protocol import ClientProtocol
from idlrt.protocol.detection import BUILT_IN, protocol
from idlrt.serialization.base import Limits

if TYPE_CHECKING:
    from idlrt.client.aio import MultiplexedSender
    from idlrt.net.tls_context import TlsContext

__all__ = ["Settings", "async_leaf", "blocking_leaf"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `connect` is told, see there.

    Attributes:
        rpc: name of the protocol; empty for Thrift, or whatever else an instance of a registry speaks.
        wire: its options, by name; it validates them.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    connect_timeout: float
    rpc: str
    wire: Mapping[str, Any]
    service: str
    limits: Limits
    max_connections: int | None
    calls_per_connection: int
    ping_after: float | None
    ping_timeout: float
    heartbeat: float | None
    tls: Tls | None

    def __post_init__(self) -> None:
        given: dict[str, object] = {name: getattr(self, name) for name in ("tls", "limits")}
        if not isinstance(given["tls"], Tls | None):
            raise ConfigurationError(f"tls of a client must be idlrt.Tls, not {given['tls']!r}; Tls() is often enough")
        if not isinstance(given["limits"], Limits):
            raise ConfigurationError(f"limits of a client must be idlrt.Limits, not {given['limits']!r}")
        for name in ("max_connections", "calls_per_connection"):
            value: object = getattr(self, name)
            if value is None and name == "max_connections":
                continue  # the protocol says
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {value!r}")
        for name in ("connect_timeout", "ping_timeout"):
            check_seconds(name, getattr(self, name))
        for name in ("ping_after", "heartbeat"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))

    @property
    def idle(self) -> float:
        """`ping_after`, or for ever."""
        return math.inf if self.ping_after is None else self.ping_after

    def protocols(self, instance: Instance | None = None) -> tuple[ClientProtocol, ...]:
        """Return what may be spoken to a server: what was asked for, else what it says that it understands best. More
        than one, in the order to try them, where that has to be found out.

        Raises:
            ConfigurationError: an option makes no sense.
        """
        options = {name: value for name, value in self.wire.items() if value is not None}
        rpc = self.rpc
        if instance is not None:
            preferred = self._preferences(options)
            chosen = select_protocol(instance.rpc_protocols, preferred)
            if chosen is None:
                raise no_common_protocol(instance, preferred)
            rpc, values = chosen
            if rpc == THRIFT:
                options["serialization"] = values
        return protocol(rpc or THRIFT).clients(options, self.limits, instance)

    def _preferences(self, options: Mapping[str, Any]) -> list[ProtocolChoice]:
        """Return the protocols and serializations that this client may speak, in its order of preference."""
        own = self.rpc or THRIFT
        values = [options["serialization"]] if "serialization" in options else protocol(own).serializations
        preferred = [(own, each) for each in values]
        if not self.rpc and not options:
            preferred += [(name, each) for name in BUILT_IN if name != own for each in protocol(name).serializations]
        return preferred

    def peer(self, instance: Instance | None = None) -> PeerState:
        """Return the state of a server that nothing is known of yet."""
        return PeerState(*self.protocols(instance), is_encrypted=self.tls is not None, probe_timeout=self.ping_timeout)

    def of(self, instance: Instance) -> Settings:
        """These, for an instance, which may say that its server has several services."""
        name = instance.metadata.get("multiplexed", "")
        return msgspec.structs.replace(self, service=name) if name and not self.service else self

    def tls_context(self) -> TlsContext | None:
        """For connections, if the servers speak TLS."""
        if self.tls is None:
            return None
        from idlrt.net.tls_context import TlsContext

        return TlsContext(self.tls, is_server=False)


def blocking_leaf(address: Address, peer: PeerState, settings: Settings, context: TlsContext | None) -> BlockingSender:
    """The leaf of a blocking client for one server."""
    from idlrt.client.blocking import PooledSender
    from idlrt.client.opening import Opening
    from idlrt.net.blocking import BlockingSocket, BlockingTransport

    opened: Callable[[float], BlockingTransport]
    if context is None:
        opened = partial(BlockingSocket.connect, address)
    else:
        from idlrt.net.blocking_tls import BlockingTlsSocket

        opened = partial(BlockingTlsSocket.connect, address, tls=context)
    most = settings.max_connections if settings.max_connections is not None else MAX_CONNECTIONS
    opening = Opening(open=opened, peer=peer, service=settings.service, connect_timeout=settings.connect_timeout)
    if settings.calls_per_connection == 1:
        return PooledSender(
            opening,
            max_connections=most,
            ping_after=settings.idle,
            ping_timeout=settings.ping_timeout,
        )
    from idlrt.client.shared import SharedSender

    return SharedSender(
        opening,
        max_connections=most,
        calls_per_connection=settings.calls_per_connection,
        ping_after=settings.idle,
        ping_timeout=settings.ping_timeout,
    )


def async_leaf(address: Address, peer: PeerState, settings: Settings, context: TlsContext | None) -> MultiplexedSender:
    """The leaf of an asyncio client for one server."""
    from idlrt.client.aio import Lost, MultiplexedSender, Received
    from idlrt.net import aio

    async def open(received: Received, lost: Lost) -> aio.AsyncioStream:
        return await aio.connect(address, received, lost, context)

    return MultiplexedSender(
        open,
        peer,
        settings.service,
        connect_timeout=settings.connect_timeout,
        max_connections=settings.max_connections,
        calls_per_connection=settings.calls_per_connection,
        ping_after=settings.idle,
        ping_timeout=settings.ping_timeout,
    )
