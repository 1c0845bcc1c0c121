"""Detection of a client's protocol by its first bytes.

The protocols are checked in order, and the first `YES` wins. If one needs more bytes, later ones are not checked before
these have arrived, so the result does not depend on packet boundaries. Without a match, the error names other
well-known protocols that it recognizes (`idlrt.protocol.foreign`).
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
from idlrt.protocol.http.plugin import HttpProtocol
from idlrt.protocol.jsonrpc import JsonRpcProtocol
from idlrt.protocol.thrift import ThriftProtocol
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization.base import Limits
from idlrt.spec import DeclaredError

if TYPE_CHECKING:
    from idlrt.core import Served

from idlrt.core.logs import get_logger

__all__ = ["BUILT_IN", "DetectingConnection", "detect", "is_protocol", "protocol", "served_protocols"]

BUILT_IN: Final = ("jsonrpc", "http", "thrift")
"""Names of the built-in protocols, in the order in which servers check them."""

_ON_REQUEST: Final = "http"

_log = get_logger("idlrt.server")

_broken: Final[set[str]] = set()
_made: Final[dict[str, RpcProtocol]] = {
    "jsonrpc": JsonRpcProtocol(),
    "http": HttpProtocol(),
    "thrift": ThriftProtocol(),
}


def protocol(name: str) -> RpcProtocol:
    """Return the protocol of this name.

    Raises:
        UnknownPlugin: the name is unknown.
    """
    made = _made.get(name)
    if made is None:
        made = _made.setdefault(name, PROTOCOLS.make(name))
    return made


def is_protocol(name: str) -> bool:
    """Whether a protocol of this name is installed."""
    return name in _made or name in PROTOCOLS.names()


class _Installed:
    """All protocols: the built-in ones, then those of other packages, which are loaded on demand."""

    def __init__(self, http: RpcProtocol | None) -> None:
        self._http = http

    def __iter__(self) -> Iterator[RpcProtocol]:
        for name in BUILT_IN:
            if name != _ON_REQUEST:
                yield protocol(name)
            elif self._http is not None:
                yield self._http
        for name in PROTOCOLS.names():
            if name in BUILT_IN or name in _broken:
                continue
            try:
                yield protocol(name)
            except Exception as error:  # noqa: BLE001  # servers that do not name it work without it
                _broken.add(name)
                _log.warning("cannot load protocol %s: %s; serving without it", name, error, extra={"protocol": name})


def served_protocols(names: Sequence[str] | None = None, http: RpcProtocol | None = None) -> Iterable[RpcProtocol]:
    """Return the protocols that a server supports.

    Args:
        names: names of the protocols, in the order in which they are checked. `None`: the built-in ones, then all other
            installed ones, by name.
        http: HTTP with the options of the server; `None`: no HTTP, unless `names` has it.

    Raises:
        UnknownPlugin: a name is unknown.
        ConfigurationError: `names` is empty.
    """
    if names is None:
        return _Installed(http)
    if not names:
        raise ConfigurationError("protocols: must have at least one name, got none")
    return tuple(http if http is not None and name == _ON_REQUEST else protocol(name) for name in dict.fromkeys(names))


def detect(prefix: bytes, protocols: Iterable[RpcProtocol], limits: Limits) -> RpcProtocol | None:
    """Return the protocol of a client whose first bytes are `prefix`; `None` while more bytes are needed.

    Raises:
        RemoteProtocolError: the client speaks none of `protocols`; `ForeignProtocol` if its protocol is recognized.
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
    """Return the error for a client that speaks none of `protocols`; `None` while more bytes allow a better message."""
    # Thrift's detector decides after a fixed number of bytes, and recognizes foreign protocols.
    served = ", ".join(each.name for each in protocols)
    try:
        found = detector(limits).detect(prefix)
    except RemoteProtocolError as error:
        return error
    if found is None:
        return None
    return RemoteProtocolError(f"the client speaks thrift ({found!r}), this server supports {served}")


class DetectingConnection:
    """Server side of a connection whose protocol is not known yet; a `ServerConnection`."""

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
        return not self._prefix

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """Return `ProtocolDetected` or `ConnectionBroken` once `data` decides it; nothing before."""
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
        return [ProtocolDetected(connection, self._prefix, found.name)]

    def receive_eof(self) -> list[ServerEvent]:
        self.is_at_eof = True
        if self.is_broken or not self._prefix:
            return []
        self.is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the client closed the connection within a message"))]

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        """Not implemented: there are no requests before detection."""
        raise NotImplementedError

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """Not implemented: there are no requests before detection."""
        raise NotImplementedError

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        """Not implemented: there are no requests before detection."""
        raise NotImplementedError

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        """Not implemented: there are no requests before detection."""
        raise NotImplementedError

    def pong(self, ping: PingReceived) -> bytes:
        """Not implemented: there are no pings before detection."""
        raise NotImplementedError

    def drain_notice(self) -> bytes:
        """Return nothing, because the protocol is unknown."""
        return b""
