"""Which protocol a client speaks, as its first bytes tell.

The protocols are asked in their order. The first that says `YES` counts; one that needs more bytes is waited for before
those after it are asked, so the result never depends on how the bytes were cut. Where none says `YES`, other protocols
that are known by their first bytes are named in the error (`idlrt.protocol.foreign`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationError, ConfigurationError, RemoteProtocolError
from idlrt.protocol.base import (
    PROTOCOLS,
    Capabilities,
    ProtocolDetected,
    RpcProtocol,
    ServerConnection,
    ServerEvent,
    Sniff,
)
from idlrt.protocol.events import ConnectionBroken, PingReceived, RequestReceived
from idlrt.protocol.foreign import ForeignProtocol
from idlrt.protocol.jsonrpc import JsonRpcProtocol
from idlrt.protocol.thrift import ThriftProtocol
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization.base import Limits
from idlrt.spec import DeclaredError

if TYPE_CHECKING:
    from idlrt.core import Served

from idlrt.core.logs import get_logger

__all__ = ["BUILT_IN", "Detecting", "detect", "is_protocol", "protocol", "served_protocols"]

BUILT_IN: Final = ("jsonrpc", "thrift")
"""Protocols of this package, in the order in which servers ask them."""

_log = get_logger("idlrt.server")

_broken: Final[set[str]] = set()
_made: Final[dict[str, RpcProtocol]] = {"jsonrpc": JsonRpcProtocol(), "thrift": ThriftProtocol()}


def protocol(name: str) -> RpcProtocol:
    """Return the protocol of this name.

    Raises:
        UnknownPlugin: the name is not known.
    """
    made = _made.get(name)
    if made is None:
        made = _made.setdefault(name, PROTOCOLS.make(name))
    return made


def is_protocol(name: str) -> bool:
    """Whether there is a protocol of this name."""
    return name in _made or name in PROTOCOLS.names()


class _Installed:
    """All protocols: those of this package, then those of other packages, which are looked for when they are needed."""

    def __iter__(self) -> Iterator[RpcProtocol]:
        yield from map(protocol, BUILT_IN)
        for name in PROTOCOLS.names():
            if name in BUILT_IN or name in _broken:
                continue
            try:
                yield protocol(name)
            except Exception as error:  # noqa: BLE001  # another package's; servers that do not name it go on without
                _broken.add(name)
                _log.warning("cannot load the protocol %s; serving without it: %s", name, error)


def served_protocols(names: Sequence[str] | None = None) -> Iterable[RpcProtocol]:
    """Return the protocols that a server speaks.

    Args:
        names: of the protocols, in the order in which they are asked; `None`: those of this package, then all others
            that are installed, by name.

    Raises:
        UnknownPlugin: a name is not known.
        ConfigurationError: there is no name.
    """
    if names is None:
        return _Installed()
    if not names:
        raise ConfigurationError("protocols of a server: expected at least one name, got none")
    return tuple(protocol(name) for name in dict.fromkeys(names))


def detect(prefix: bytes, protocols: Iterable[RpcProtocol], limits: Limits) -> RpcProtocol | None:
    """Return the protocol of a client that sends `prefix` first; `None` if that is not enough to tell.

    Raises:
        RemoteProtocolError: it is none of `protocols`; `ForeignProtocol` if it is known.
    """
    for each in protocols:
        match each.sniff(prefix, limits):
            case Sniff.YES:
                return each
            case Sniff.MORE:
                return None
            case Sniff.NO:
                pass
    error = _unknown(prefix, protocols, limits)
    if error is not None:
        raise error
    return None


def _unknown(prefix: bytes, protocols: Iterable[RpcProtocol], limits: Limits) -> RemoteProtocolError | None:
    """Return the error for a client that speaks none of `protocols`; `None` while more bytes would say more."""
    # Thrift's detector knows what begins like Thrift and what does not, and depends on a fixed number of bytes.
    served = ", ".join(each.name for each in protocols)
    try:
        found = detector(limits).detect(prefix)
    except RemoteProtocolError as error:
        return error
    if found is None:
        return None
    return RemoteProtocolError(f"the client speaks thrift ({found!r}); this server speaks {served}")


class Detecting:
    """The server's end of a connection whose protocol is not known yet. See `ServerConnection`."""

    def __init__(self, served: Served, protocols: Iterable[RpcProtocol], limits: Limits) -> None:
        self._served = served
        self._protocols = protocols
        self._limits = limits
        self._prefix = b""
        self.capabilities = Capabilities()
        self.is_broken = False
        self.is_at_eof = False

    @property
    def is_between_messages(self) -> bool:
        """See `ServerConnection.is_between_messages`."""
        return not self._prefix

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """See `ServerConnection.receive_data`. The last event is `ProtocolDetected` or `ConnectionBroken`."""
        if self.is_broken or not data:
            return []
        self._prefix += data
        try:
            found = detect(self._prefix, self._protocols, self._limits)
        except RemoteProtocolError as error:
            self.is_broken = True
            return [ConnectionBroken(error, error.answer if isinstance(error, ForeignProtocol) else b"")]
        if found is None:
            return []
        connection: ServerConnection = found.server(self._served, self._limits)
        return [ProtocolDetected(connection, self._prefix)]

    def receive_eof(self) -> list[ServerEvent]:
        """See `ServerConnection.receive_eof`."""
        self.is_at_eof = True
        if self.is_broken or not self._prefix:
            return []
        self.is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the client stopped sending within a message"))]

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        """There are no requests yet."""
        raise NotImplementedError

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """There are no requests yet."""
        raise NotImplementedError

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        """There are no requests yet."""
        raise NotImplementedError

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        """There are no requests yet."""
        raise NotImplementedError

    def pong(self, ping: PingReceived) -> bytes:
        """There are no pings yet."""
        raise NotImplementedError

    def drain_notice(self) -> bytes:
        """See `ServerConnection.drain_notice`: nothing can be said in an unknown protocol."""
        return b""
