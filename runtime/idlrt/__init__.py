"""idlrt, the runtime that generated stubs run on.

`encode` and `decode` turn values into bytes and back (`codec`, if there are many), `Server` serves handlers,
generated clients call.
"""

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

__all__ = [
    "ApplicationCode",
    "ApplicationError",
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
