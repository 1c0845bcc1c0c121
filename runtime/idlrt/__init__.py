"""idlrt: the runtime of generated clients and servers.

`Server` serves handlers; generated clients call them. `encode` and `decode` convert values to bytes and back (`codec`
is faster for many values of one type), `to_json` and `from_json` to human-readable JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports
from idlrt.version import __version__

if TYPE_CHECKING:
    from idlrt.client import CallOptions, ClientStats, ConnectOptions, client_stats
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
    from idlrt.net.tls import Tls
    from idlrt.protocol.http.options import Cors, Http
    from idlrt.serialization import Limits
    from idlrt.serialization.plain_json import from_json, to_json
    from idlrt.serialization.validation import ValidationError, Violation, validate
    from idlrt.server import Admin, AsyncServer, ProcessServer, Server, ServerOptions, check_constraints
    from idlrt.server.registration import InstanceOptions
    from idlrt.spec import Annotations, DeclaredError, annotations_of, which

__all__ = [
    "Admin",
    "Annotations",
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
    "ValidationError",
    "Violation",
    "__version__",
    "annotations_of",
    "check_constraints",
    "client_stats",
    "codec",
    "current_call",
    "decode",
    "encode",
    "from_json",
    "request_metadata",
    "to_json",
    "validate",
    "which",
]


if not TYPE_CHECKING:
    # Importing everything takes 150 ms, which a health probe must not pay, nor programs that only need one part.
    __getattr__ = lazy_exports(
        __name__,
        {
            "idlrt.client": ("CallOptions", "ClientStats", "ConnectOptions", "client_stats"),
            "idlrt.codecs": ("codec", "decode", "encode"),
            "idlrt.core": ("Peer", "ServerCall", "current_call", "request_metadata"),
            "idlrt.errors": (
                "ApplicationCode",
                "ApplicationError",
                "CircuitOpen",
                "ConfigurationError",
                "ConnectFailed",
                "ConnectionLost",
                "DeadlineExceeded",
                "LocalProtocolError",
                "NoInstance",
                "NotSent",
                "Overloaded",
                "ProtocolError",
                "RemoteProtocolError",
                "RpcError",
                "Unknown",
            ),
            "idlrt.net.tls": ("Tls",),
            "idlrt.protocol.http.options": ("Cors", "Http"),
            "idlrt.serialization": ("Limits",),
            "idlrt.serialization.plain_json": ("from_json", "to_json"),
            "idlrt.serialization.validation": ("ValidationError", "Violation", "validate"),
            "idlrt.server": ("Admin", "AsyncServer", "ProcessServer", "Server", "ServerOptions", "check_constraints"),
            "idlrt.server.registration": ("InstanceOptions",),
            "idlrt.spec": ("Annotations", "DeclaredError", "annotations_of", "which"),
        },
        (
            "codecs",
            "core",
            "errors",
            "net",
            "observe",
            "plugins",
            "printable",
            "protocol",
            "serialization",
            "server",
            "spec",
        ),
    )

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
