"""RPC protocols as sans-IO state machines: bytes to events and back. One package per protocol."""

from idlrt.protocol.base import (
    Capabilities,
    ClientConnection,
    ClientProtocol,
    ProtocolDetected,
    RpcProtocol,
    ServerConnection,
    ServerEvent,
    Sniff,
    TimedConnection,
)
from idlrt.protocol.events import (
    ClientEvent,
    ConnectionBroken,
    DataToSend,
    EndOfRequests,
    GoAway,
    PingReceived,
    PongReceived,
    RequestContext,
    RequestReceived,
    ResponseReceived,
)

__all__ = [
    "Capabilities",
    "ClientConnection",
    "ClientEvent",
    "ClientProtocol",
    "ConnectionBroken",
    "DataToSend",
    "EndOfRequests",
    "GoAway",
    "PingReceived",
    "PongReceived",
    "ProtocolDetected",
    "RequestContext",
    "RequestReceived",
    "ResponseReceived",
    "RpcProtocol",
    "ServerConnection",
    "ServerEvent",
    "Sniff",
    "TimedConnection",
]
