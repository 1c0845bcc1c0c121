"""How a call ended, in words that no protocol owns: for filters, monitoring and tracing.

The names are those of gRPC's status codes, with one more for exceptions that the IDL declares: they are answers.
"""

from __future__ import annotations

import enum
from typing import Final

from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    Overloaded,
    ProtocolError,
)
from idlrt.spec import DeclaredError

__all__ = ["Outcome", "outcome_of"]


class Outcome(enum.StrEnum):
    """How a call ended.

    Source: https://grpc.io/docs/guides/status-codes/
    """

    OK = "ok"
    DECLARED_ERROR = "declared_error"
    """The handler raised an exception that the IDL declares."""
    CANCELLED = "cancelled"
    INVALID_ARGUMENT = "invalid_argument"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    UNIMPLEMENTED = "unimplemented"
    PERMISSION_DENIED = "permission_denied"
    UNAUTHENTICATED = "unauthenticated"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    """Refused because too much was in flight."""
    UNAVAILABLE = "unavailable"
    """No server worked on it, or the connection was lost."""
    INTERNAL = "internal"
    """The handler failed, or its result could not be sent."""
    UNKNOWN = "unknown"


_OF_CODE: Final[dict[int, Outcome]] = {
    ApplicationCode.UNKNOWN_METHOD: Outcome.UNIMPLEMENTED,
    ApplicationCode.INVALID_MESSAGE_TYPE: Outcome.INVALID_ARGUMENT,
    ApplicationCode.WRONG_METHOD_NAME: Outcome.UNIMPLEMENTED,
    ApplicationCode.BAD_SEQUENCE_ID: Outcome.INTERNAL,
    ApplicationCode.MISSING_RESULT: Outcome.INTERNAL,
    ApplicationCode.INTERNAL_ERROR: Outcome.INTERNAL,
    ApplicationCode.PROTOCOL_ERROR: Outcome.INVALID_ARGUMENT,
    ApplicationCode.INVALID_TRANSFORM: Outcome.INVALID_ARGUMENT,
    ApplicationCode.INVALID_PROTOCOL: Outcome.INVALID_ARGUMENT,
    ApplicationCode.UNSUPPORTED_CLIENT_TYPE: Outcome.INVALID_ARGUMENT,
    ApplicationCode.LOADSHEDDING: Outcome.RESOURCE_EXHAUSTED,
    ApplicationCode.TIMEOUT: Outcome.DEADLINE_EXCEEDED,
    ApplicationCode.PERMISSION_DENIED: Outcome.PERMISSION_DENIED,
    ApplicationCode.UNAUTHENTICATED: Outcome.UNAUTHENTICATED,
}

_OF_ERROR: Final[tuple[tuple[type[BaseException], Outcome], ...]] = (
    (DeclaredError, Outcome.DECLARED_ERROR),
    (Overloaded, Outcome.RESOURCE_EXHAUSTED),
    (DeadlineExceeded, Outcome.DEADLINE_EXCEEDED),
    (CircuitOpen, Outcome.UNAVAILABLE),
    (NoInstance, Outcome.UNAVAILABLE),
    (ConnectFailed, Outcome.UNAVAILABLE),
    (ConnectionLost, Outcome.UNAVAILABLE),
    (ProtocolError, Outcome.INVALID_ARGUMENT),
)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of a call that ended with `error`, or without one.

    Handlers' own exceptions are `INTERNAL`; cancellation is told by the name of its class, whichever library's it is.
    """
    if error is None:
        return Outcome.OK
    if isinstance(error, ApplicationError):
        return _OF_CODE.get(error.code, Outcome.UNKNOWN)
    for kind, outcome in _OF_ERROR:
        if isinstance(error, kind):
            return outcome
    return Outcome.CANCELLED if type(error).__name__ == "CancelledError" else Outcome.INTERNAL
