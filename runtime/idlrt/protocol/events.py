"""Events of connections: plain values, in the order in which their bytes arrived.

A protocol derives its own requests and responses from `RequestReceived` and `ResponseReceived` and adds what it needs
to answer or to decode them. Servers and clients use the fields below only, and hand the event back.

`ConnectionBroken` is always the last event: nothing can be read after it. Events before it are still good.

The garbage collector does not track requests and responses. So they hold no error that is raised later: its traceback
would refer to them in turn.
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
        metadata: text by name, as the client sent it.
        context: typed values that travelled with it.
        refusal: why the request cannot be served, whatever its method does; `None` if it can.
        arguments: the decoded arguments; `None` if they have not been decoded, or cannot be.
        trouble: why the arguments cannot be decoded; `None` if they can, or if it has not been tried.
        size: bytes of the request as they arrived, compressed if it was.
        decoded: upper bound of the memory that `arguments` take, in bytes.
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
    trouble: str | None = None
    size: int = 0
    decoded: int = 0


class ResponseReceived(msgspec.Struct, frozen=True, gc=False):
    """Client: the response to a request arrived. `result()` decodes it.

    Attributes:
        id: the request's, as `ClientConnection.request` returned it.
        method: the method that was called.
        metadata: text by name, as the server sent it.
        is_draining: whether the server is about to stop: send further requests over another connection.
        size: bytes of the response as they arrived, compressed if it was.
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
            ApplicationError: the server refused or failed, with `retry_after` if it sent push-back.
            RemoteProtocolError: the response cannot be decoded; the connection is still good.
        """
        raise NotImplementedError


class PingReceived(msgspec.Struct, frozen=True):
    """Server: a heartbeat of the protocol arrived; answer it with `ServerConnection.pong`.

    Attributes:
        token: what `pong` repeats.
    """

    token: Any = None


class PongReceived(msgspec.Struct, frozen=True, gc=False):
    """Client: the server answered a ping.

    Attributes:
        id: the ping's, as `ClientConnection.ping` returned it.
        is_draining: as of `ResponseReceived`.
    """

    id: int
    is_draining: bool = False


class GoAway(msgspec.Struct, frozen=True):
    """Client: the server is about to stop. Requests in flight are still answered; send no others."""


class DataToSend(msgspec.Struct, frozen=True):
    """Bytes to send that answer no request: an interim response, an acknowledgement.

    Attributes:
        data: the bytes.
    """

    data: bytes


class ConnectionBroken(msgspec.Struct, frozen=True):
    """The peer sent what cannot be read, or stopped within a message. Close the connection.

    Attributes:
        error: what is wrong.
        answer: bytes to send before that, in the peer's own protocol.
    """

    error: RemoteProtocolError
    answer: bytes = b""


ClientEvent = ResponseReceived | PongReceived | GoAway | DataToSend | ConnectionBroken
