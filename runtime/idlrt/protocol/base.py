"""Interfaces of RPC protocols. Sans-IO: bytes in, events out, bytes to send; no sockets, clocks or threads.

A protocol is a plugin of the group `idlrt.protocols`: an `RpcProtocol` recognizes its clients by their first bytes,
creates the server side of a connection, and validates the options of clients. Servers, clients, pools and tools depend
on these interfaces only, not on a protocol.

Two rules keep a connection in sync. An error in a message whose end is known fails one call, not the connection. And an
error before bytes are returned leaves the state unchanged: no partial message is ever sent.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import msgspec

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationError
from idlrt.plugins import Plugins
from idlrt.protocol.events import (
    NO_CONTEXT,
    ClientEvent,
    ConnectionBroken,
    DataToSend,
    EndOfRequests,
    PingReceived,
    RequestContext,
    RequestReceived,
)
from idlrt.spec import DeclaredError, Method

if TYPE_CHECKING:
    from idlrt.core import Instance, Served
    from idlrt.serialization import Limits

__all__ = [
    "PROTOCOLS",
    "Capabilities",
    "ClientConnection",
    "ClientProtocol",
    "ProtocolDetected",
    "RpcProtocol",
    "ServerConnection",
    "ServerEvent",
    "Sniff",
    "TimedConnection",
]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a protocol that decide how its connections are used.

    Attributes:
        metadata: whether requests and responses carry metadata.
        context: whether requests carry typed values (`RequestContext`).
        max_in_flight: maximum number of requests in flight on one connection, cancelled ones included; 1 for protocols
            without request ids.
        drain: whether a server can tell its clients that it is draining.
        acknowledges_oneway: whether oneway methods get a response, for which clients wait.
    """

    metadata: bool = False
    context: bool = False
    max_in_flight: int = 0x7FFFFFFF
    drain: bool = False
    acknowledges_oneway: bool = False

    @property
    def outlives_drain(self) -> bool:
        """Whether a connection stays open after the response of a draining server: it may carry other calls, and the
        response tells the client that the server is draining.
        """
        return self.drain and self.max_in_flight > 1


class Sniff(enum.Enum):
    """Result of checking whether the first bytes of a connection belong to a protocol."""

    YES = "yes"
    NO = "no"
    MORE = "more"
    """Undecided: more bytes are needed."""


class ServerConnection(Protocol):
    """Server side of one connection. It may have the members of `TimedConnection`, too.

    Attributes:
        capabilities: capabilities of the client's protocol.
        is_broken: whether an error has made further reading impossible.
        is_at_eof: whether the client has closed its side of the stream.
    """

    capabilities: Capabilities
    is_broken: bool
    is_at_eof: bool

    @property
    def is_between_messages(self) -> bool:
        """Whether no part of an unfinished message has arrived."""
        ...

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """Return the events that `data` completes, in order; none once the connection is broken."""
        ...

    def receive_eof(self) -> list[ServerEvent]:
        """Handle the end of stream. Returns the message that it completes, in protocols where it can, or
        `ConnectionBroken` within a message.
        """
        ...

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        """Return the arguments of a request whose method is known, and an upper bound of their memory, in bytes.

        Raises:
            RemoteProtocolError: they cannot be decoded; `refuse` the request, the connection stays usable.
        """
        ...

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """Return the bytes of a response with `result`.

        Args:
            metadata: metadata of the response; ignored by protocols that carry none.
            is_draining: whether to tell the client that this server is draining, if the protocol can.

        Raises:
            LocalProtocolError: the result cannot be encoded; `refuse` the request instead.
            ApplicationError: the method has a result and `result` is `None`; `refuse` the request with it.
        """
        ...

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        """Return the bytes of a response with an exception; `None` if the IDL does not declare it for the method.

        Raises:
            LocalProtocolError: the exception cannot be encoded; `refuse` the request instead.
        """
        ...

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        """Return the bytes of an error response: the request was rejected, or its handler failed. It is sent whatever
        the limits are, if necessary with a shorter text. `error.retry_after` is sent as pushback if the protocol can.
        """
        ...

    def pong(self, ping: PingReceived) -> bytes:
        """Return the bytes that answer a heartbeat."""
        ...

    def drain_notice(self) -> bytes:
        """Return a message, independent of any response, that tells the client that this server is draining; empty if
        the protocol has none.
        """
        ...


@runtime_checkable
class TimedConnection(Protocol):
    """Server side of a connection whose protocol has timeouts. They can only shorten those of the server."""

    @property
    def message_timeout(self) -> float | None:
        """Seconds within which the message must arrive that has begun; `None`: as the server says."""
        ...

    @property
    def idle_timeout(self) -> float | None:
        """Seconds after which an idle connection is closed; `None`: as the server says."""
        ...

    def timed_out(self) -> bytes:
        """Return bytes to send before the connection is closed because a message did not arrive in time."""
        ...


class ProtocolDetected(msgspec.Struct, frozen=True):
    """Server: the first bytes have identified the protocol. Continue with its connection.

    Attributes:
        connection: server side of the connection in this protocol.
        data: the bytes received so far, which `connection` must process.
        protocol: name of the protocol.
    """

    connection: ServerConnection
    data: bytes
    protocol: str = ""


ServerEvent = RequestReceived | PingReceived | DataToSend | EndOfRequests | ConnectionBroken | ProtocolDetected


class ClientConnection(Protocol):
    """Client side of one connection. Not thread-safe.

    Attributes:
        capabilities: capabilities of the protocol.
    """

    capabilities: Capabilities

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        ...

    @property
    def cancelled(self) -> int:
        """Number of cancelled requests whose responses may still arrive."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether no request is in flight and no part of an unfinished message has arrived."""
        ...

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        """Start a call: return its id and the bytes to send. A oneway call is complete once they are sent, unless the
        protocol acknowledges it.

        Args:
            method: method to call.
            arguments: its arguments, in their order.
            metadata: metadata of the request; ignored by protocols that carry none.
            context: typed values of the request; ignored by protocols that carry none.

        Raises:
            LocalProtocolError: the arguments or the metadata cannot be encoded, or `max_in_flight` requests are in
                flight; no call has been started.
        """
        ...

    def cancel(self, id: int) -> bytes:
        """Cancel a request: discard its response when it arrives. Returns bytes to send, empty in most protocols."""
        ...

    def ping(self) -> tuple[int, bytes]:
        """Start a ping, which every server of the protocol answers. Returns its id and the bytes to send."""
        ...

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Return the events that `data` completes, in order; none once the connection is broken."""
        ...

    def receive_eof(self) -> list[ClientEvent]:
        """Handle the end of stream. Returns the response that it completes, in protocols where it can, or
        `ConnectionBroken` within a message.
        """
        ...


class ClientProtocol(Protocol):
    """A protocol with the options of one client. Thread-safe; connections share it.

    Attributes:
        name: name of the protocol with its options, for messages, for example `framed binary`.
        capabilities: capabilities of its connections.
    """

    name: str
    capabilities: Capabilities

    def connect(self, service: str = "") -> ClientConnection:
        """Return a new connection.

        Args:
            service: name of the service to call on a server with several; empty for its first one.
        """
        ...

    def advice(self) -> str:
        """Return advice for a server that closes the connection, or does not respond, before its first response: what
        the user may change; empty if there is none.
        """
        ...

    def metadata_advice(self) -> str:
        """Return advice for sending metadata: what the user may change; empty if the protocol carries metadata."""
        ...


class RpcProtocol(Protocol):
    """A protocol. Plugins are classes, instantiated without arguments; instances are shared.

    Attributes:
        name: registered name, which is also the scheme of targets, `name://host:port`.
        serializations: names of the supported serializations, the preferred one first.
    """

    name: str
    serializations: tuple[str, ...]

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """Return whether a client whose first bytes are `prefix`, at least one byte, speaks this protocol. `YES` and
        `NO` must be the result for every longer prefix too, so that the result does not depend on packet boundaries.
        """
        ...

    def server(self, served: Served, limits: Limits) -> ServerConnection:
        """Return the server side of a new connection."""
        ...

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[ClientProtocol, ...]:
        """Return the protocol with the options of a client. Returns several, in the order to try them, where the
        variant that the server supports has to be negotiated by trial.

        Args:
            options: protocol options of the client.
            limits: limits of the client.
            instance: the server, if a registry describes it.

        Raises:
            ConfigurationError: an option is unknown or invalid.
        """
        ...


PROTOCOLS: Final[Plugins[RpcProtocol]] = Plugins("idlrt.protocols")
