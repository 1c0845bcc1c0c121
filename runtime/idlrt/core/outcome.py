"""Outcomes of calls, independent of the protocol, for filters, monitoring and tracing.

The names are gRPC's status codes, plus one for exceptions that the IDL declares, which are regular responses.

`Evidence` is separate: it classifies one attempt by what it reveals about the server. Ejection, circuit breakers and
admission control all use it, so that they agree on which attempts are failures.
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
    RemoteProtocolError,
    RpcError,
)
from idlrt.spec import DeclaredError

__all__ = ["Evidence", "Outcome", "evidence_of", "outcome_of"]


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
    """Rejected because too many calls were in flight."""
    UNAVAILABLE = "unavailable"
    """No server executed the call, or the connection was lost."""
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

    Undeclared exceptions of handlers are `INTERNAL`; cancellation is recognized by its class name, in any library.
    """
    if error is None:
        return Outcome.OK
    if isinstance(error, ApplicationError):
        return _OF_CODE.get(error.code, Outcome.UNKNOWN)
    for kind, outcome in _OF_ERROR:
        if isinstance(error, kind):
            return outcome
    return Outcome.CANCELLED if type(error).__name__ == "CancelledError" else Outcome.INTERNAL


class Evidence(enum.Enum):
    """Evidence about the server from the end of an attempt."""

    ANSWERED = enum.auto()
    """The server responded with a result, an exception that the IDL declares, or a rejection of the call."""
    BROKEN = enum.auto()
    """The server reported an internal error (`INTERNAL_ERROR`)."""
    UNREADABLE = enum.auto()
    """The response violates the protocol."""
    UNREACHABLE = enum.auto()
    """Connecting failed."""
    LOST = enum.auto()
    """The connection was lost before the response."""
    TIMED_OUT = enum.auto()
    """The response did not arrive in time."""
    REJECTED = enum.auto()
    """The server is overloaded. A server that rejects calls is healthy."""
    NOT_ASKED = enum.auto()
    """The call was sent to no server: there is none, or a circuit breaker is open."""
    RAISED = enum.auto()
    """Code outside of the runtime raised an exception, e.g. a handler behind a server's guard."""
    NOTHING = enum.auto()
    """None: the attempt was cancelled or failed locally."""

    @property
    def is_failure(self) -> bool:
        """Whether the server did not respond, which all of them count as a failure."""
        return self in _FAILURES


_FAILURES: Final = frozenset({Evidence.UNREACHABLE, Evidence.LOST, Evidence.TIMED_OUT})
_EVIDENCE: Final[tuple[tuple[type[BaseException], Evidence], ...]] = (
    (DeclaredError, Evidence.ANSWERED),
    (ConnectFailed, Evidence.UNREACHABLE),
    (ConnectionLost, Evidence.LOST),
    (DeadlineExceeded, Evidence.TIMED_OUT),
    (Overloaded, Evidence.REJECTED),
    (CircuitOpen, Evidence.NOT_ASKED),
    (NoInstance, Evidence.NOT_ASKED),
    (RemoteProtocolError, Evidence.UNREADABLE),
    (RpcError, Evidence.NOTHING),
    (Exception, Evidence.RAISED),
)


def evidence_of(error: BaseException | None) -> Evidence:
    """Return what an attempt that ended with `error`, or without one, reveals about the server."""
    if error is None:
        return Evidence.ANSWERED
    if isinstance(error, ApplicationError):
        return Evidence.BROKEN if error.code == ApplicationCode.INTERNAL_ERROR else Evidence.ANSWERED
    for kind, evidence in _EVIDENCE:
        if isinstance(error, kind):
            return evidence
    return Evidence.NOTHING
