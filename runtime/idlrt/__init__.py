"""idlrt, the runtime that generated stubs run on.

`encode` and `decode` turn values into bytes and back (`codec`, if there are many), `to_json` and `from_json` into JSON
for people; `Server` serves handlers, generated clients call.
"""

from __future__ import annotations

import importlib
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
from idlrt.serialization import Limits
from idlrt.serialization.plain_json import from_json, to_json
from idlrt.server import Server, ServerOptions
from idlrt.spec import DeclaredError, which
from idlrt.version import __version__

if TYPE_CHECKING:
    from idlrt.client import CallOptions, ClientStats, ConnectOptions, client_stats
    from idlrt.server import AsyncServer, ProcessServer
    from idlrt.server.presence import InstanceOptions

__all__ = [
    "ApplicationCode",
    "ApplicationError",
    "AsyncServer",
    "CallOptions",
    "CircuitOpen",
    "ClientStats",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectOptions",
    "ConnectionLost",
    "DeadlineExceeded",
    "DeclaredError",
    "InstanceOptions",
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
    "ServerOptions",
    "Tls",
    "Unknown",
    "__version__",
    "client_stats",
    "codec",
    "current_call",
    "decode",
    "encode",
    "from_json",
    "request_metadata",
    "to_json",
    "which",
]


# Imported on first use: asyncio and the modules of clients take tens of milliseconds.
_LAZY = {
    "AsyncServer": "idlrt.server",
    "CallOptions": "idlrt.client",
    "ClientStats": "idlrt.client",
    "ConnectOptions": "idlrt.client",
    "InstanceOptions": "idlrt.server.presence",
    "ProcessServer": "idlrt.server",
    "client_stats": "idlrt.client",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
