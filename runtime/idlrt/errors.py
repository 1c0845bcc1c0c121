"""Exception hierarchy of the runtime. The class of an exception tells what the caller may do.

```
RpcError
├─ DeclaredError            declared in the IDL (idlrt.spec.declared)       a response: never retry
├─ ApplicationError         the server rejected or failed (Thrift codes)    depends on the code
├─ NotSent                  no server has processed the call                retry on any server
│   ├─ NoInstance  ConnectFailed  Overloaded  CircuitOpen
├─ Unknown                  a server may have processed the call            retry if idempotent
│   ├─ ConnectionLost  DeadlineExceeded
├─ Deferred                 will be retried in the background               do not retry
├─ ProtocolError            LocalProtocolError · RemoteProtocolError        do not retry
├─ RegistryError            a registry operation failed                     depends on the class
│   ├─ RegistryUnavailable  no response from the registry                   retry
│   ├─ RegistryRefused      not permitted, or not possible                  fix the request
└─ ConfigurationError       unknown plugin, invalid target URL              fix the configuration
```

A message is lower case and names what was attempted, on what, what went wrong and what to do about it.

An error by which a server or a guard rejects a call may tell when to retry (`PushBack`). Errors declared in an IDL
cannot: their attributes are those of the IDL.
"""

from __future__ import annotations

import enum
from typing import Self

__all__ = [
    "ApplicationCode",
    "ApplicationError",
    "CircuitOpen",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "Deferred",
    "LocalProtocolError",
    "NoInstance",
    "NotSent",
    "Overloaded",
    "ProtocolError",
    "PushBack",
    "RegistryError",
    "RegistryRefused",
    "RegistryUnavailable",
    "RemoteProtocolError",
    "RpcError",
    "Unknown",
]


class RpcError(Exception):
    """Base class of all errors of the runtime."""


class PushBack:
    """Error that may tell when to retry the call.

    Source: gRFC A6, "pushback", https://github.com/grpc/proposal/blob/master/A6-client-retries.md

    Attributes:
        retry_after: seconds to wait before a retry; `math.inf`: do not retry; `None`: not specified.
        is_per_caller: whether a limit of this caller was exceeded, so that other callers are still served.
    """

    retry_after: float | None = None
    is_per_caller: bool = False

    def push_back(self, seconds: float | None) -> Self:
        """Set `retry_after` and return the error: `raise Overloaded("...").push_back(0.5)`."""
        self.retry_after = seconds
        return self


class NotSent(PushBack, RpcError):
    """No server has processed the call: it is safe to retry on any server."""


class NoInstance(NotSent):
    """No instance can receive the call."""


class ConnectFailed(NotSent):
    """No connection could be established."""


class Overloaded(NotSent):
    """The server, or a limit of the client, rejected the call because of too much load."""


class CircuitOpen(NotSent):
    """A circuit breaker is open and rejected the call."""


class Unknown(PushBack, RpcError):
    """A server may have processed the call: only calls of idempotent methods are safe to retry."""


class ConnectionLost(Unknown):
    """The connection ended after the call was sent and before the response arrived."""


class DeadlineExceeded(Unknown, TimeoutError):
    """No response arrived before the deadline."""


class Deferred(RpcError):
    """The call failed and will be retried in the background: do not retry it."""


class ProtocolError(RpcError):
    """The wire protocol was violated. Base class: `LocalProtocolError` and `RemoteProtocolError` tell by which side."""


class LocalProtocolError(ProtocolError):
    """This side tried to send data that cannot be encoded."""


class RemoteProtocolError(ProtocolError):
    """The other side sent data that cannot be decoded, or that exceeds a limit."""


class ConfigurationError(RpcError, ValueError):
    """A setting is invalid, such as an unknown plugin or a malformed target URL. Fix it; retrying does not help."""


class RegistryError(RpcError):
    """A registry operation failed. Calls of services do not raise it: they use the last known instances."""


class RegistryUnavailable(RegistryError):
    """The registry was unreachable, or did not respond in time. It may have performed the operation; retry it."""


class RegistryRefused(RegistryError):
    """The operation is not permitted, or its object does not exist. Retrying does not help."""


class ApplicationCode(enum.IntEnum):
    """Thrift's TApplicationException types; 11 and 12 are fbthrift's, those from 1000 on gRPC's status codes plus 1000.

    Sources: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md, fbthrift's
    `TApplicationException.h`, https://grpc.io/docs/guides/status-codes/
    """

    UNKNOWN = 0
    UNKNOWN_METHOD = 1
    INVALID_MESSAGE_TYPE = 2
    WRONG_METHOD_NAME = 3
    BAD_SEQUENCE_ID = 4
    MISSING_RESULT = 5
    INTERNAL_ERROR = 6
    PROTOCOL_ERROR = 7
    INVALID_TRANSFORM = 8
    INVALID_PROTOCOL = 9
    UNSUPPORTED_CLIENT_TYPE = 10
    LOADSHEDDING = 11
    TIMEOUT = 12
    PERMISSION_DENIED = 1007
    UNAUTHENTICATED = 1016


class ApplicationError(PushBack, RpcError):
    """The server rejected the call, or failed while processing it: Thrift's TApplicationException.

    Attributes:
        code: an `ApplicationCode`, or an `int` if Thrift defines no name for it.
        message: the message of the server.
    """

    def __init__(self, message: str, code: int = ApplicationCode.UNKNOWN) -> None:
        super().__init__(message, code)
        self.message = message
        self.code: int = _CODES.get(code, code)

    def __str__(self) -> str:
        name = self.code.name.lower() if isinstance(self.code, ApplicationCode) else f"code {self.code}"
        return f"{name}: {self.message}"


_CODES: dict[int, ApplicationCode] = {code.value: code for code in ApplicationCode}
