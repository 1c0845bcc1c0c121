"""Settings of a client's connections, and the transports to one server that are created with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from idlrt.client.http_target import HTTP
from idlrt.client.negotiation import ProtocolChoice, no_common_protocol, select_protocol
from idlrt.client.options import MAX_CONNECTIONS, ConnectSettings
from idlrt.client.peer_state import PeerState
from idlrt.client.transport import BlockingClientTransport
from idlrt.core import THRIFT, Instance
from idlrt.net.address import Address
from idlrt.protocol import ClientProtocol
from idlrt.protocol.detection import protocol

if TYPE_CHECKING:
    from idlrt.client.aio import MultiplexedTransport
    from idlrt.net.tls_context import TlsContext

__all__ = ["Settings", "async_transport", "blocking_transport"]

# Protocols that clients speak to instances of registries that do not list Thrift, in the order of preference.
_OTHERS: Final = ("jsonrpc", HTTP)


class Settings(ConnectSettings, frozen=True, kw_only=True):
    """Settings of `connect`, with the protocol and the service that result from them.

    Attributes:
        limits: of responses, with `text_errors` and `unknown` applied.
        rpc: name of the protocol; empty for Thrift, or another protocol that an instance of a registry announces.
        wire: options of the protocol, which validates them.
        service: name of the service on a server with several services; empty for a server with one.
        idl_service: name of the service in the client's IDL, which the paths of HTTP have.

    Raises:
        ConfigurationError: a value is invalid.
    """

    rpc: str = ""
    wire: Mapping[str, Any] = {}
    service: str = ""
    idl_service: str = ""

    @property
    def idle(self) -> float:
        """`ping_after` in seconds, `inf` if disabled."""
        return math.inf if self.ping_after is None else self.ping_after

    def protocols(self, instance: Instance | None = None) -> tuple[ClientProtocol, ...]:
        """Return the candidate protocols of a server: the requested one, else the best one that it announces.

        With several candidates the protocol is detected by trying them in this order.

        Raises:
            ConfigurationError: an option is invalid, or the instance supports no protocol of the client.
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
        if rpc == HTTP:
            options = {**options, "service": self.idl_service}
        return protocol(rpc or THRIFT).clients(options, self.limits, instance)

    def _preferences(self, options: Mapping[str, Any]) -> list[ProtocolChoice]:
        """Return the protocols and serializations that this client supports, in its order of preference."""
        own = self.rpc or THRIFT
        values = [options["serialization"]] if "serialization" in options else protocol(own).serializations
        preferred = [(own, each) for each in values]
        if not self.rpc and not options:
            preferred += [(name, each) for name in _OTHERS for each in protocol(name).serializations]
        return preferred

    def peer(self, instance: Instance | None = None) -> PeerState:
        """Return the initial state of a server."""
        return PeerState(*self.protocols(instance), is_encrypted=self.tls is not None, probe_timeout=self.ping_timeout)

    def of(self, instance: Instance) -> Settings:
        """Return the settings for an instance, which may announce that its server has several services."""
        name = instance.metadata.get("multiplexed", "")
        return msgspec.structs.replace(self, service=name) if name and not self.service else self

    def tls_context(self) -> TlsContext | None:
        """Return the TLS context of connections; `None` without TLS."""
        if self.tls is None:
            return None
        from idlrt.net.tls_context import TlsContext

        return TlsContext(self.tls, is_server=False)


def blocking_transport(
    address: Address, peer: PeerState, settings: Settings, context: TlsContext | None
) -> BlockingClientTransport:
    """Create the transport of a blocking client to one server."""
    from idlrt.client.blocking import PooledTransport
    from idlrt.client.connector import Connector
    from idlrt.net.blocking import BlockingSocket, BlockingTransport

    opened: Callable[[float], BlockingTransport]
    if context is None:
        opened = partial(BlockingSocket.connect, address)
    else:
        from idlrt.net.blocking_tls import BlockingTlsSocket

        opened = partial(BlockingTlsSocket.connect, address, tls=context)
    most = settings.max_connections if settings.max_connections is not None else MAX_CONNECTIONS
    connector = Connector(open=opened, peer=peer, service=settings.service, connect_timeout=settings.connect_timeout)
    if settings.calls_per_connection == 1:
        return PooledTransport(
            connector,
            max_connections=most,
            ping_after=settings.idle,
            ping_timeout=settings.ping_timeout,
        )
    from idlrt.client.shared import SharedTransport

    return SharedTransport(
        connector,
        max_connections=most,
        calls_per_connection=settings.calls_per_connection,
        ping_after=settings.idle,
        ping_timeout=settings.ping_timeout,
    )


def async_transport(
    address: Address, peer: PeerState, settings: Settings, context: TlsContext | None
) -> MultiplexedTransport:
    """Create the transport of an asyncio client to one server."""
    from idlrt.client.aio import Lost, MultiplexedTransport, Received
    from idlrt.net import aio

    async def open(received: Received, lost: Lost) -> aio.AsyncioStream:
        return await aio.connect(address, received, lost, context)

    return MultiplexedTransport(
        open,
        peer,
        settings.service,
        connect_timeout=settings.connect_timeout,
        max_connections=settings.max_connections,
        calls_per_connection=settings.calls_per_connection,
        ping_after=settings.idle,
        ping_timeout=settings.ping_timeout,
    )
