"""Responses to the requests of one connection.

Every request that wants a response gets one: what the handler returned, what it raised and the IDL declares, or a
refusal. Refusals name the kind of an error; its text and traceback stay in the server's log.

`Overloaded` and `CircuitOpen` of a filter, before the handler was called, say that the server has not worked on the
call: clients may send it elsewhere. The same error of a handler says it of a call that the handler has made itself.
That is a failure like any other: the handler may have done half of its work.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.core import NO_METADATA, Handler, Metadata, Outcome, Peer, ServerCall, outcome_of
from idlrt.core.logs import get_logger
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    LocalProtocolError,
    Overloaded,
)
from idlrt.protocol import RequestReceived, ServerConnection
from idlrt.server.routes import NotStarted
from idlrt.spec import DeclaredError

__all__ = ["Responder"]

_log = get_logger("idlrt.server")

_OK: Final = Outcome.OK
# A kind of its own for each, so that many of one do not hide another.
_REFUSED: Final = {code: {"kind": code.name} for code in ApplicationCode}


class Responder:
    """Makes the responses of one connection. Methods return `None` where the client expects no response.

    Args:
        peer: the client, for the log.

    Attributes:
        connection: makes the bytes.
        is_draining: whether responses say that the server is about to stop.
    """

    __slots__ = ("_peer", "connection", "is_draining")

    def __init__(self, connection: ServerConnection, peer: Peer) -> None:
        self.connection = connection
        self.is_draining = False
        self._peer = peer

    def respond(self, request: RequestReceived, handler: Handler, result: Any, call: ServerCall) -> bytes | None:
        """Respond with the result of the handler."""
        call.outcome = _OK
        if request.is_oneway or (handler.method.is_oneway and not request.acknowledges_oneway):  # as `_is_mute`
            return None
        try:
            return self.connection.respond(request, result, call.answer_metadata, self.is_draining)
        except (ApplicationError, LocalProtocolError) as error:
            return self.unsendable(request, handler, error, call)

    def unsendable(
        self,
        request: RequestReceived,
        handler: Handler,
        error: ApplicationError | LocalProtocolError,
        call: ServerCall,
    ) -> bytes | None:
        """Respond where the result of the handler cannot be sent, for the reason in `error`."""
        call.outcome = Outcome.INTERNAL
        if isinstance(error, ApplicationError):
            _log.error("cannot answer a call of %s: %s", self._peer, error.message)
            return self.connection.refuse(request, error, call.answer_metadata, self.is_draining)
        _log.error("cannot send the result of %s: %s", handler.method.full_name, error)
        return self.refuse(request, ApplicationCode.INTERNAL_ERROR, f"the result cannot be sent: {error}")

    def fail(self, request: RequestReceived, handler: Handler, error: BaseException, call: ServerCall) -> bytes | None:
        """Respond to a call whose handler, or a filter in front of it, has raised `error`."""
        method = handler.method
        metadata: Metadata = call.answer_metadata
        call.outcome = outcome_of(error)
        if isinstance(error, Overloaded | CircuitOpen) and not call.is_begun:
            code = ApplicationCode.LOADSHEDDING
            return self.refuse(request, code, str(error), metadata, error.retry_after)
        is_mute = _is_mute(request, handler)
        if not is_mute and isinstance(error, DeclaredError):
            try:
                thrown = self.connection.respond_error(request, error, metadata, self.is_draining)
            except LocalProtocolError as local:
                _log.error("cannot send what %s threw: %s", method.full_name, local)
                call.outcome = Outcome.INTERNAL
                what = f"the exception cannot be sent: {local}"
                return self.refuse(request, ApplicationCode.INTERNAL_ERROR, what)
            if thrown is not None:
                return thrown
        if not is_mute and isinstance(error, ApplicationError):
            return self.connection.refuse(request, error, metadata, self.is_draining)
        call.outcome = Outcome.INTERNAL
        _log.error("%s failed", method.full_name, exc_info=error)
        kind = type(error).__qualname__
        what = f"{method.full_name} failed with {kind}; the server's log has the details"
        return None if is_mute else self.refuse(request, ApplicationCode.INTERNAL_ERROR, what, metadata)

    def refuse(
        self,
        request: RequestReceived,
        code: ApplicationCode,
        message: str,
        metadata: Metadata = NO_METADATA,
        retry_after: float | None = None,
    ) -> bytes | None:
        """Respond to a request that the server does not work on, for the reason in `message`."""
        if request.is_oneway:
            _log.info("dropped a oneway call of %s: %s", self._peer, message)
            return None
        if code is not ApplicationCode.INTERNAL_ERROR:  # that has been logged, with what is wrong
            _log.info("refused a call of %s: %s", self._peer, message, extra=_REFUSED[code])
        error = ApplicationError(message, code).push_back(retry_after)
        return self.connection.refuse(request, error, metadata, self.is_draining)

    def expired(self, request: RequestReceived, call: ServerCall) -> bytes | None:
        """Respond to a call whose caller has stopped waiting."""
        call.outcome = Outcome.DEADLINE_EXCEEDED
        what = f"its caller had stopped waiting before {call.method.full_name} could begin"
        return self.refuse(request, ApplicationCode.TIMEOUT, what)

    def overloaded(self, request: RequestReceived, call: ServerCall, why: str) -> bytes | None:
        """Respond to a call for which there is no room."""
        call.outcome = Outcome.RESOURCE_EXHAUSTED
        return self.refuse(request, ApplicationCode.LOADSHEDDING, f"the server is overloaded: {why}")

    def not_started(self, request: RequestReceived, call: ServerCall, error: NotStarted) -> bytes | None:
        """Respond to a call that no handler has seen."""
        return self.overloaded(request, call, error.why) if error.why else self.expired(request, call)


def _is_mute(request: RequestReceived, handler: Handler) -> bool:
    """Whether the client expects no response once the handler has begun."""
    return request.is_oneway or (handler.method.is_oneway and not request.acknowledges_oneway)
