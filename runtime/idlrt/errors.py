"""Every error of the runtime, one tree: a class says what the caller may do.

```
RpcError
├─ DeclaredError          in the IDL: an answer (idlrt.spec.declared)    never retried
├─ ApplicationError       the server refused or broke (Thrift's codes)   by code
├─ NotSent                no server worked on it                         retry anywhere
│   ├─ NoInstance  ConnectFailed  Overloaded  CircuitOpen
├─ Unknown                may have been worked on                        retry only if idempotent
│   ├─ ConnectionLost  DeadlineExceeded
├─ Deferred               kept, and made again in the background        do not make it yourself
├─ ProtocolError          LocalProtocolError · RemoteProtocolError       never
├─ RegistryError          what was asked of a registry                  by class
│   ├─ RegistryUnavailable  nobody answered                              ask again
│   ├─ RegistryRefused      it may not, or cannot, be done                fix it
└─ ConfigurationError     unknown plugin, bad target URL                 fix it
```

A message is lower case and says what was attempted, on what, what happened and what can be done.

Who refuses a call may say when to come again (`PushBack`). What an IDL declares has no such word: its attributes are
the IDL's.
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
    """The root of the tree."""


class PushBack:
    """An error that can say when the call may be made again.

    Source: gRFC A6, "pushback", https://github.com/grpc/proposal/blob/master/A6-client-retries.md

    Attributes:
        retry_after: seconds from now; `math.inf`: never; `None`: nothing was said about it.
    """

    retry_after: float | None = None

    def push_back(self, seconds: float | None) -> Self:
        """Say it, and be raised: `raise Overloaded("...").push_back(0.5)`."""
        self.retry_after = seconds
        return self


class NotSent(PushBack, RpcError):
    """No server has worked on the call: it may be made again, anywhere."""


class NoInstance(NotSent):
    """There is no instance to send the call to."""


class ConnectFailed(NotSent):
    """No connection could be made."""


class Overloaded(NotSent):
    """The server (or a limit on this side) refused the call because too much is under way."""


class CircuitOpen(NotSent):
    """A circuit breaker does not let calls through at the moment."""


class Unknown(PushBack, RpcError):
    """The server may or may not have worked on the call: only idempotent methods may be called again."""


class ConnectionLost(Unknown):
    """The connection ended after the call was sent and before its answer came."""


class DeadlineExceeded(Unknown, TimeoutError):
    """The answer did not come in time."""


class Deferred(RpcError):
    """The call failed and was kept: it is made again in the background, so do not make it once more yourself."""


class ProtocolError(RpcError):
    """Somebody broke the wire protocol. Raise `LocalProtocolError` or `RemoteProtocolError`, which say who."""


class LocalProtocolError(ProtocolError):
    """This side tried to send something that cannot be put on the wire."""


class RemoteProtocolError(ProtocolError):
    """What the other side sent cannot be read, or is over a limit."""


class ConfigurationError(RpcError, ValueError):
    """A setting is wrong: an unknown plugin, a target URL that cannot be read. Fix it; retrying is no use."""


class RegistryError(RpcError):
    """A registry did not do what it was asked. Calls of services do not raise it: they go on with what is known."""


class RegistryUnavailable(RegistryError):
    """The registry could not be reached, or did not answer in time. What was asked may have been done; ask again."""


class RegistryRefused(RegistryError):
    """The registry does not allow it, or there is no such thing. Asking again is no use."""


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
    """The server refused the call or broke while working on it: Thrift's TApplicationException.

    Attributes:
        code: an `ApplicationCode`, or a plain number that Thrift does not name.
        message: what the server said.
    """

    def __init__(self, message: str, code: int = ApplicationCode.UNKNOWN) -> None:
        super().__init__(message, code)
        self.message = message
        self.code: int = _CODES.get(code, code)

    def __str__(self) -> str:
        name = self.code.name.lower() if isinstance(self.code, ApplicationCode) else f"code {self.code}"
        return f"{name}: {self.message}"


_CODES: dict[int, ApplicationCode] = {code.value: code for code in ApplicationCode}
