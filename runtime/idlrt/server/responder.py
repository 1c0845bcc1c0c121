"""Responses to the requests of one connection.

Every request that expects a response gets one: the result of the handler, an exception that the IDL declares, or an
error. Errors name the class of an exception; its text and traceback stay in the server's log.

`Overloaded` and `CircuitOpen` that a filter raises before the handler is called mean that the call has not been
processed: clients may retry it on another instance. Raised by a handler, the same error concerns a call that the
handler has made itself. It is reported like any other failure, because the handler may have done half of its work.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.core import (
    NO_METADATA,
    Handler,
    Listener,
    Metadata,
    Outcome,
    Peer,
    Reason,
    Rejected,
    ServerCall,
    outcome_of,
)
from idlrt.core.logs import get_logger
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    LocalProtocolError,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.protocol import ConnectionBroken, RequestReceived, ServerConnection
from idlrt.protocol.base import ProtocolDetected
from idlrt.server.context import CallObserver
from idlrt.server.method_table import NotStarted
from idlrt.spec import DeclaredError

__all__ = ["Responder"]

_log = get_logger("idlrt.server")

_OK: Final = Outcome.OK
# The log is rate limited by `kind`: one for each code, so that a burst of one does not suppress another.
_REJECTED: Final[dict[int, dict[str, str]]] = {code: {"kind": code.name, "code": code.name} for code in ApplicationCode}


class Responder:
    """Encodes the responses of one connection. Methods return `None` where the client expects no response.

    Args:
        connection: protocol state machine of the connection.
        peer: the client, for the log.
        observer: observes requests; `None` for no observer.
        notify: emits decision events; `None` for no listeners.

    Attributes:
        connection: protocol state machine, which encodes the responses.
        observer: observes requests.
        is_draining: whether responses tell the client that the server is draining.
    """

    __slots__ = ("_notify", "_peer", "connection", "is_draining", "observer")

    def __init__(
        self,
        connection: ServerConnection,
        peer: Peer,
        observer: CallObserver | None = None,
        notify: Listener | None = None,
    ) -> None:
        self.connection = connection
        self._notify = notify
        self.observer = observer
        self.is_draining = False
        self._peer = peer

    def detected(self, event: ProtocolDetected) -> None:
        """Switch to the protocol of the client."""
        self.connection = event.connection
        if self.observer is not None:
            self.observer.connected(event.protocol)

    def connection_broken(self, event: ConnectionBroken) -> None:
        """Report that the client violates the protocol, so that the connection is closed."""
        peer = self._peer
        _log.info("closing connection from %s: %s", peer, event.error, extra={"peer": peer.address})
        if self.observer is not None:
            self.observer.connection_failed("protocol")

    def respond(self, request: RequestReceived, handler: Handler, result: Any, call: ServerCall) -> bytes | None:
        """Respond with the result of the handler."""
        if call.trace is not None and call.trace.span is not None and not call.handled_at:
            call.handled_at = call.driver.now()
        call.outcome = _OK
        answer: bytes | None = None
        if not (request.is_oneway or (handler.method.is_oneway and not request.acknowledges_oneway)):  # as `_is_mute`
            try:
                answer = self.connection.respond(request, result, call.answer_metadata, self.is_draining)
            except (ApplicationError, LocalProtocolError) as error:
                return self.unsendable(request, handler, error, call)
        if self.observer is not None:
            self.observer.answered(call, request.size, len(answer or b""))
        return answer

    def unsendable(
        self,
        request: RequestReceived,
        handler: Handler,
        error: ApplicationError | LocalProtocolError,
        call: ServerCall,
    ) -> bytes | None:
        """Respond where the result of the handler cannot be encoded or sent, for the reason in `error`."""
        answer = self._unsendable(request, handler, error, call)
        return self._ended(request, call, error, answer)

    def _unsendable(
        self,
        request: RequestReceived,
        handler: Handler,
        error: ApplicationError | LocalProtocolError,
        call: ServerCall,
    ) -> bytes | None:
        call.outcome = Outcome.INTERNAL
        method = handler.method.full_name
        fields = {"method": method, "peer": self._peer.address}
        if isinstance(error, ApplicationError):
            _log.error("cannot send the result of %s to %s: %s", method, self._peer, error.message, extra=fields)
            return self.connection.refuse(request, error, call.answer_metadata, self.is_draining)
        _log.error("cannot encode the result of %s: %s", method, error, extra=fields)
        return self.refuse(request, ApplicationCode.INTERNAL_ERROR, f"cannot encode the result: {error}")

    def fail(self, request: RequestReceived, handler: Handler, error: BaseException, call: ServerCall) -> bytes | None:
        """Respond to a call whose handler or filter has raised `error`."""
        if call.trace is not None:
            call.handled_at = call.driver.now()
        return self._ended(request, call, error, self._fail(request, handler, error, call))

    def _fail(self, request: RequestReceived, handler: Handler, error: BaseException, call: ServerCall) -> bytes | None:
        method = handler.method
        metadata: Metadata = call.answer_metadata
        call.outcome = outcome_of(error)
        if isinstance(error, Overloaded | CircuitOpen) and not call.is_begun:
            refusal = ApplicationError(str(error), ApplicationCode.LOADSHEDDING).push_back(error.retry_after)
            refusal.is_per_caller = error.is_per_caller
            return self._refuse(request, refusal, metadata)
        is_mute = _is_mute(request, handler)
        if not is_mute and isinstance(error, DeclaredError):
            try:
                thrown = self.connection.respond_error(request, error, metadata, self.is_draining)
            except LocalProtocolError as local:
                fields = {"method": method.full_name, "peer": self._peer.address}
                _log.error("cannot encode the exception of %s: %s", method.full_name, local, extra=fields)
                call.outcome = Outcome.INTERNAL
                what = f"cannot encode the exception: {local}"
                return self.refuse(request, ApplicationCode.INTERNAL_ERROR, what)
            if thrown is not None:
                return thrown
        if not is_mute and isinstance(error, ApplicationError):
            return self.connection.refuse(request, error, metadata, self.is_draining)
        call.outcome = Outcome.INTERNAL
        kind = type(error).__qualname__
        fields = {"method": method.full_name, "peer": self._peer.address, "error": kind}
        _log.error("%s failed", method.full_name, exc_info=error, extra=fields)
        what = f"{method.full_name} failed with {kind}; see the server log for details"
        return None if is_mute else self.refuse(request, ApplicationCode.INTERNAL_ERROR, what, metadata)

    def refuse(
        self,
        request: RequestReceived,
        code: ApplicationCode,
        message: str,
        metadata: Metadata = NO_METADATA,
    ) -> bytes | None:
        """Respond with an error to a request that the server rejects, for the reason in `message`."""
        return self._refuse(request, ApplicationError(message, code), metadata)

    def _refuse(self, request: RequestReceived, error: ApplicationError, metadata: Metadata) -> bytes | None:
        fields = _REJECTED.get(error.code, _REJECTED[ApplicationCode.UNKNOWN])
        if request.is_oneway:
            _log.info("dropped oneway call from %s: %s", self._peer, error.message, extra=fields)
            return None
        if error.code != ApplicationCode.INTERNAL_ERROR:  # that has been logged, with its cause
            _log.info("rejected call from %s: %s", self._peer, error.message, extra=fields)
        return self.connection.refuse(request, error, metadata, self.is_draining)

    def reject(self, request: RequestReceived, error: ApplicationError, received_at: float) -> bytes | None:
        """Respond to a request that did not become a call, because it is invalid or its method is unknown.

        Args:
            received_at: time when it arrived, on the clock of the server.
        """
        answer = self._refuse(request, error, NO_METADATA)
        if self.observer is not None:
            self.observer.refused(request, error.code, received_at, len(answer or b""))
        return answer

    def reject_unknown(self, request: RequestReceived, message: str, received_at: float) -> bytes | None:
        """Respond to a request for a method that the server does not have. A ping is no call, and not counted."""
        error = ApplicationError(message, ApplicationCode.UNKNOWN_METHOD)
        if request.is_ping and not request.is_oneway:
            return self.connection.refuse(request, error, NO_METADATA, self.is_draining)
        return self.reject(request, error, received_at)

    def reject_unreadable(
        self, request: RequestReceived, error: RemoteProtocolError, received_at: float
    ) -> bytes | None:
        """Respond to a request whose arguments cannot be read."""
        return self.reject(request, ApplicationError(str(error), ApplicationCode.PROTOCOL_ERROR), received_at)

    def expired(self, request: RequestReceived, call: ServerCall) -> bytes | None:
        """Respond to a call whose deadline passed before its handler was called."""
        call.outcome = Outcome.DEADLINE_EXCEEDED
        why = f"deadline exceeded before {call.method.full_name} started"
        self._tell(call, "expired", why)
        error = ApplicationError(why, ApplicationCode.TIMEOUT)
        return self._ended(request, call, error, self._refuse(request, error, NO_METADATA))

    def overloaded(self, request: RequestReceived, call: ServerCall, why: str) -> bytes | None:
        """Respond to a call that exceeds a limit of the server."""
        call.outcome = Outcome.RESOURCE_EXHAUSTED
        self._tell(call, "overloaded", why)
        error = ApplicationError(f"the server is overloaded: {why}", ApplicationCode.LOADSHEDDING)
        return self._ended(request, call, error, self._refuse(request, error, NO_METADATA))

    def _tell(self, call: ServerCall, reason: Reason, why: str) -> None:
        if self._notify is not None:
            self._notify(Rejected(subject=call.method.full_name, guard="server", reason=reason, why=why))

    def _ended(
        self, request: RequestReceived, call: ServerCall, error: BaseException, answer: bytes | None
    ) -> bytes | None:
        """Tell the observer about the end of a call, and return its response."""
        if self.observer is not None:
            self.observer.ended(call, error, request.size, len(answer or b""))
        return answer

    def not_started(self, request: RequestReceived, call: ServerCall, error: NotStarted) -> bytes | None:
        """Respond to a call whose handler was not called, because of overload or of its deadline."""
        return self.overloaded(request, call, error.why) if error.why else self.expired(request, call)


def _is_mute(request: RequestReceived, handler: Handler) -> bool:
    """Whether the client expects no response once the handler has started."""
    return request.is_oneway or (handler.method.is_oneway and not request.acknowledges_oneway)
