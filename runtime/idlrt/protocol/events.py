"""Events of connections, in the order in which their bytes arrived.

A protocol derives its requests and responses from `RequestReceived` and `ResponseReceived`, and adds the fields that it
needs to respond to them or to decode them. Servers and clients use the fields below only, and pass the event back.

`ConnectionBroken` is always the last event: nothing can be read after it. Events before it are valid.

The garbage collector does not track requests and responses. So they must not hold an exception that is raised later:
its traceback would refer to them, which is a cycle.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from idlrt.core.context import NO_CONTEXT, RequestContext
from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationError, RemoteProtocolError
from idlrt.spec import Method

__all__ = [
    "NO_CONTEXT",
    "ClientEvent",
    "ConnectionBroken",
    "DataToSend",
    "EndOfRequests",
    "GoAway",
    "PingReceived",
    "PongReceived",
    "RequestContext",
    "RequestReceived",
    "ResponseReceived",
]


class RequestReceived(msgspec.Struct, frozen=True, gc=False):
    """Server: a request arrived. `ServerConnection.arguments` decodes its arguments.

    Attributes:
        id: identifies the request on its connection, for logs.
        key: looks the method up in the server's method table: `method` of the first service, or `Service:method`.
        method: the method to call; `None` if the server does not have it.
        is_oneway: whether the client expects no response.
        is_unordered: whether its response may overtake the responses to earlier requests.
        metadata: metadata of the request, as the client sent it.
        context: typed values of the request.
        refusal: error to respond with, for a request that cannot be processed; `None` otherwise.
        arguments: the decoded arguments; `None` if they have not been decoded, or cannot be.
        decode_error: why the arguments cannot be decoded; `None` if they can, or have not been decoded.
        size: size of the request on the wire in bytes, compressed if it was.
        decoded: upper bound of the memory of `arguments`, in bytes.
        acknowledges_oneway: whether a request for a oneway method gets a response, unless `is_oneway` is set.
    """

    acknowledges_oneway: ClassVar[bool] = False

    id: int
    key: str
    method: Method[..., Any] | None
    is_oneway: bool = False
    is_unordered: bool = False
    metadata: Metadata = NO_METADATA
    context: RequestContext = NO_CONTEXT
    refusal: ApplicationError | None = None
    arguments: tuple[Any, ...] | None = None
    decode_error: str | None = None
    size: int = 0
    decoded: int = 0

    @property
    def is_ping(self) -> bool:
        """Whether it only checks that the server responds, as pings of protocols without a heartbeat do."""
        return False


class ResponseReceived(msgspec.Struct, frozen=True, gc=False):
    """Client: the response to a request arrived. `result()` decodes it.

    Attributes:
        id: id of the request, as returned by `ClientConnection.request`.
        method: the method that was called.
        metadata: metadata of the response, as the server sent it.
        is_draining: whether the server is draining: send further requests on another connection.
        size: size of the response on the wire in bytes, compressed if it was.
    """

    id: int
    method: Method[..., Any]
    metadata: Metadata = NO_METADATA
    is_draining: bool = False
    size: int = 0

    def result(self) -> Any:
        """Return the result of the call.

        Raises:
            DeclaredError: the exception that the handler raised and the IDL declares.
            ApplicationError: the server rejected the call or failed, with `retry_after` if it sent pushback.
            RemoteProtocolError: the response cannot be decoded; the connection stays usable.
        """
        raise NotImplementedError


class PingReceived(msgspec.Struct, frozen=True):
    """Server: a ping of the protocol arrived; answer it with `ServerConnection.pong`.

    Attributes:
        token: opaque value for `pong`.
    """

    token: Any = None


class PongReceived(msgspec.Struct, frozen=True, gc=False):
    """Client: the server answered a ping.

    Attributes:
        id: id of the ping, as returned by `ClientConnection.ping`.
        is_draining: whether the server is draining.
    """

    id: int
    is_draining: bool = False


class GoAway(msgspec.Struct, frozen=True):
    """Client: the server is draining. Requests in flight are still answered; send no others on this connection."""


class DataToSend(msgspec.Struct, frozen=True):
    """Bytes to send that are not the response of a request, such as an acknowledgement.

    Attributes:
        data: the bytes.
    """

    data: bytes


class EndOfRequests(msgspec.Struct, frozen=True):
    """Server: the last request of the connection has arrived. Close it once all are answered."""


class ConnectionBroken(msgspec.Struct, frozen=True):
    """The peer sent invalid data, or closed the connection within a message. Close the connection.

    Attributes:
        error: the reason.
        answer: bytes to send before closing, in the protocol of the peer.
    """

    error: RemoteProtocolError
    answer: bytes = b""


ClientEvent = ResponseReceived | PongReceived | GoAway | DataToSend | ConnectionBroken
