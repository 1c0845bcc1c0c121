"""idlrt: the runtime of generated clients and servers.

`Server` serves handlers; generated clients call them. `encode` and `decode` convert values to bytes and back (`codec`
is faster for many values of one type), `to_json` and `from_json` to human-readable JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.codecs import codec, decode, encode
from idlrt.core import Peer, ServerCall, current_call, request_metadata
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
from idlrt.exports import lazy_exports
from idlrt.net.tls import Tls
from idlrt.protocol.http.options import Cors, Http
from idlrt.serialization import Limits
from idlrt.serialization.plain_json import from_json, to_json
from idlrt.server import Server, ServerOptions, check_constraints
from idlrt.spec import DeclaredError, which
from idlrt.version import __version__

if TYPE_CHECKING:
    from idlrt.client import CallOptions, ClientStats, ConnectOptions, client_stats
    from idlrt.server import AsyncServer, ProcessServer
    from idlrt.server.registration import InstanceOptions

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
    "Cors",
    "DeadlineExceeded",
    "DeclaredError",
    "Http",
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
    "check_constraints",
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


if not TYPE_CHECKING:
    # Importing asyncio and the client modules takes tens of milliseconds.
    __getattr__ = lazy_exports(
        __name__,
        {
            "idlrt.client": ("CallOptions", "ClientStats", "ConnectOptions", "client_stats"),
            "idlrt.server": ("AsyncServer", "ProcessServer"),
            "idlrt.server.registration": ("InstanceOptions",),
        },
    )
