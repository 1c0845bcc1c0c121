"""idlrt, the runtime that generated stubs run on.

`encode` and `decode` turn values into bytes and back (`codec`, if there are many), `Server` serves handlers,
generated clients call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idlrt.core import Peer, ServerCall, current_call, request_metadata
from idlrt.door import codec, decode, encode
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    NoInstance,
    NotSent,
    Overloaded,
    ProtocolError,
    RemoteProtocolError,
    RpcError,
    Unknown,
)
from idlrt.net.tls import Tls
from idlrt.server import Server
from idlrt.spec import DeclaredError, which
from idlrt.version import __version__
from idlrt.wire import Limits

if TYPE_CHECKING:
    from idlrt.server import AsyncServer, ProcessServer

__all__ = [
    "ApplicationCode",
    "ApplicationError",
    "AsyncServer",
    "CircuitOpen",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "DeclaredError",
    "Limits",
    "LocalProtocolError",
    "NoInstance",
    "NotSent",
    "Overloaded",
    "Peer",
    "ProcessServer",
    "ProtocolError",
    "RemoteProtocolError",
    "RpcError",
    "Server",
    "ServerCall",
    "Tls",
    "Unknown",
    "__version__",
    "codec",
    "current_call",
    "decode",
    "encode",
    "request_metadata",
    "which",
]


def __getattr__(name: str) -> Any:
    # Not everybody needs them, and importing asyncio takes tens of milliseconds.
    if name in ("AsyncServer", "ProcessServer"):
        import idlrt.server

        return getattr(idlrt.server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
