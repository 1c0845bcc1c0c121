"""What the calls to one server go through: connections, made as `connect` was told."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from idlrt.client.framing_probe import AUTO, CANDIDATES
from idlrt.client.options import check_seconds
from idlrt.client.peer_state import PeerState
from idlrt.client.sender import BlockingSender
from idlrt.core import Instance
from idlrt.errors import ConfigurationError
from idlrt.net.address import Address
from idlrt.net.tls import Tls
from idlrt.wire.dialect import Dialect, client_dialect
from idlrt.wire.framing import FRAMINGS
from idlrt.wire.protocol import Limits

if TYPE_CHECKING:
    from idlrt.client.aio import MultiplexedSender
    from idlrt.net.tls_context import TlsContext

__all__ = ["Settings", "async_leaf", "blocking_leaf"]

# What is spoken where nobody says: to a server at an address that may be anybody's, and to one of a registry.
_FRAMING = "framed"
_HEADER = "header"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `connect` is told, see there.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    connect_timeout: float
    framing: str | None
    protocol: str
    service: str
    limits: Limits
    max_connections: int
    calls_per_connection: int
    ping_after: float | None
    ping_timeout: float
    heartbeat: float | None
    tls: Tls | None

    def __post_init__(self) -> None:
        given: dict[str, object] = {name: getattr(self, name) for name in ("tls", "limits", "framing", "protocol")}
        if not isinstance(given["tls"], Tls | None):
            raise ConfigurationError(f"tls of a client must be idlrt.Tls, not {given['tls']!r}; Tls() is often enough")
        if not isinstance(given["limits"], Limits):
            raise ConfigurationError(f"limits of a client must be idlrt.Limits, not {given['limits']!r}")
        for name, known in (("framing", str | None), ("protocol", str)):
            if not isinstance(given[name], known):
                raise ConfigurationError(f"{name} of a client must be a name, not {given[name]!r}")
        for name in ("max_connections", "calls_per_connection"):
            value: object = getattr(self, name)
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

    def dialects(self, instance: Instance | None = None) -> tuple[Dialect, ...]:
        """What may be spoken to a server: what was asked for, else what it says that it understands best. For
        `framing="auto"` all that comes into question, in the order to try it.
        """
        framing = self.framing
        if framing == AUTO:
            said = instance.protocols if instance is not None else ()
            order = dict.fromkeys((*(each for each in said if each in CANDIDATES), *CANDIDATES))
            return tuple(made for each in order if (made := self._candidate(each)) is not None)
        if framing is None:
            framing = _FRAMING
            if instance is not None and (_HEADER in instance.protocols or not instance.protocols):
                framing = _HEADER
            elif instance is not None and _FRAMING not in instance.protocols:
                known = [each for each in instance.protocols if each in FRAMINGS.names()]
                framing = known[0] if known else instance.protocols[0]
        return (client_dialect(framing, self.protocol, self.limits),)

    def _candidate(self, framing: str) -> Dialect | None:
        try:
            return client_dialect(framing, self.protocol, self.limits)
        except ConfigurationError:
            if framing == _HEADER:
                return None  # it cannot carry the protocol
            raise

    def peer(self, instance: Instance | None = None) -> PeerState:
        """Return the state of a server that nothing is known of yet."""
        return PeerState(*self.dialects(instance), is_encrypted=self.tls is not None, probe_timeout=self.ping_timeout)

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
    opening = Opening(open=opened, peer=peer, service=settings.service, connect_timeout=settings.connect_timeout)
    if settings.calls_per_connection == 1:
        return PooledSender(
            opening,
            max_connections=settings.max_connections,
            ping_after=settings.idle,
            ping_timeout=settings.ping_timeout,
        )
    from idlrt.client.shared import SharedSender

    return SharedSender(
        opening,
        max_connections=settings.max_connections,
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
