"""Interfaces of RPC protocols. Sans-IO: bytes in, events out, bytes to send; no sockets, clocks or threads.

A protocol is a plugin of the group `idlrt.protocols`: an `RpcProtocol` recognizes its clients by their first bytes,
makes the server's end of a connection, and validates the options of clients. Servers, clients, pools and tools know
these interfaces and no protocol.

Two rules keep a connection in step. What fails while a message is read whose end is known costs one call, not the
connection. And what fails before bytes were returned to be sent has left no trace: nothing half-written ever leaves.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationError
from idlrt.plugins import Plugins
from idlrt.protocol.events import (
    NO_CONTEXT,
    ClientEvent,
    ConnectionBroken,
    DataToSend,
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
]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a protocol that decide how its connections are used.

    Attributes:
        metadata: whether requests and responses carry metadata.
        context: whether requests carry typed values (`RequestContext`).
        max_in_flight: requests that may wait for their responses on one connection, cancelled ones included; 1 for
            protocols without ids.
        drain: whether a server can tell its clients that it is about to stop.
    """

    metadata: bool = False
    context: bool = False
    max_in_flight: int = 0x7FFFFFFF
    drain: bool = False


class Sniff(enum.Enum):
    """Whether the first bytes of a connection belong to a protocol."""

    YES = "yes"
    NO = "no"
    MORE = "more"
    """The bytes so far may be its beginning; more are needed."""


class ServerConnection(Protocol):
    """The server's end of one connection.

    Attributes:
        capabilities: of what the client speaks.
        is_broken: whether nothing can be read any more.
        is_at_eof: whether the client sends no more.
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
        """Handle the end of the client's data. Returns the message that the end completes, in protocols where it can,
        or `ConnectionBroken` if it ended within a message.
        """
        ...

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        """Return the arguments of a request whose method is known, and the memory that they take at most, in bytes.

        Raises:
            RemoteProtocolError: they cannot be decoded; `refuse` the request, the connection is still good.
        """
        ...

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """Return the bytes of a response with `result`.

        Args:
            metadata: sent along if the protocol carries any.
            is_draining: tell the client that this server is about to stop, if the protocol can.

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
        """Return the bytes of a response without a result: the request was refused, or its handler failed. The client
        gets them whatever the limits are. `error.retry_after` is sent as push-back if the protocol can.
        """
        ...

    def pong(self, ping: PingReceived) -> bytes:
        """Return the bytes that answer a heartbeat."""
        ...

    def drain_notice(self) -> bytes:
        """Return bytes that tell the client, without a response, that this server is about to stop; empty if the
        protocol has no such message.
        """
        ...


class ProtocolDetected(msgspec.Struct, frozen=True):
    """Server: the first bytes tell the protocol. Continue with its connection.

    Attributes:
        connection: speaks the protocol.
        data: the bytes that have arrived so far: give them to `connection`.
    """

    connection: ServerConnection
    data: bytes


ServerEvent = RequestReceived | PingReceived | DataToSend | ConnectionBroken | ProtocolDetected


class ClientConnection(Protocol):
    """The client's end of one connection. Not thread-safe.

    Attributes:
        capabilities: of the protocol.
    """

    capabilities: Capabilities

    @property
    def in_flight(self) -> int:
        """Requests that wait for their responses."""
        ...

    @property
    def cancelled(self) -> int:
        """Cancelled requests whose responses may still arrive."""
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
        """Start a call: return its id and the bytes to send. A oneway call is over with that.

        Args:
            metadata: sent along if the protocol carries any.
            context: likewise.

        Raises:
            LocalProtocolError: the arguments or the metadata cannot be encoded, or `max_in_flight` requests have no
                response yet; nothing has started.
        """
        ...

    def cancel(self, id: int) -> bytes:
        """Drop the response of a request when it arrives. Returns bytes to send, empty in most protocols."""
        ...

    def ping(self) -> tuple[int, bytes]:
        """Start a ping, which every server of the protocol answers: return its id and the bytes to send."""
        ...

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Return the events that `data` completes, in order; none once the connection is broken."""
        ...

    def receive_eof(self) -> list[ClientEvent]:
        """Handle the end of the server's data. Returns the response that the end completes, in protocols where it can,
        or `ConnectionBroken` if it ended within a message.
        """
        ...


class ClientProtocol(Protocol):
    """A protocol with the options of one client. Thread-safe; connections share it.

    Attributes:
        name: of the protocol with its options, for messages, for example `framed binary`.
        capabilities: of its connections.
    """

    name: str
    capabilities: Capabilities

    def connect(self, service: str = "") -> ClientConnection:
        """Return a new connection.

        Args:
            service: name of the service among several that the server has; empty for its first one.
        """
        ...

    def advice(self) -> str:
        """Return what a user may change if a server closes the connection, or keeps silent, before its first response;
        empty if there is nothing to say.
        """
        ...

    def metadata_advice(self) -> str:
        """Return what a user may change to send metadata; empty if metadata is sent."""
        ...


class RpcProtocol(Protocol):
    """A protocol. Plugins are classes, made without arguments; instances are shared.

    Attributes:
        name: under which it is registered; the scheme of targets, `name://host:port`.
        serializations: names of the serializations that its messages may have, the preferred one first.
    """

    name: str
    serializations: tuple[str, ...]

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """Tell whether a client that sends `prefix` first, at least one byte, speaks this protocol. `YES` and `NO` hold
        for every longer prefix, however the bytes were cut.
        """
        ...

    def server(self, served: Served, limits: Limits) -> ServerConnection:
        """Return the server's end of a new connection."""
        ...

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[ClientProtocol, ...]:
        """Return the protocol with the options of a client: how a server may be spoken to. More than one, in the order
        to try them, where that has to be found out.

        Args:
            instance: the server, if a registry says something of it.

        Raises:
            ConfigurationError: an option is unknown or wrong.
        """
        ...


PROTOCOLS: Final[Plugins[RpcProtocol]] = Plugins("idlrt.protocols")
