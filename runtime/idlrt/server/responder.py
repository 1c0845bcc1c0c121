"""Responses to the requests of one connection.

Every request that wants a response gets one: what the handler returned, what it raised and the IDL declares, or a
refusal. Refusals name the kind of an error; its text and traceback stay in the server's log.

`Overloaded` and `CircuitOpen` of a filter, before the handler was called, say that the server has not worked on the
call: clients may send it elsewhere. The same error of a handler says it of a call that the handler has made itself.
That is a failure like any other: the handler may have done half of its work.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.core import NO_METADATA, Handler, Metadata, Peer, ServerCall
from idlrt.core.logs import get_logger
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    LocalProtocolError,
    Overloaded,
)
from idlrt.protocol import RequestReceived, ServerConnection
from idlrt.spec import DeclaredError

__all__ = ["Responder"]

_log = get_logger("idlrt.server")

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

    def respond(
        self, request: RequestReceived, handler: Handler, result: Any, metadata: Metadata = NO_METADATA
    ) -> bytes | None:
        """Respond with the result of the handler."""
        if request.is_oneway or handler.method.is_oneway:
            return None
        try:
            return self.connection.respond(request, result, metadata, self.is_draining)
        except (ApplicationError, LocalProtocolError) as error:
            return self.unsendable(request, handler, error, metadata)

    def unsendable(
        self,
        request: RequestReceived,
        handler: Handler,
        error: ApplicationError | LocalProtocolError,
        metadata: Metadata = NO_METADATA,
    ) -> bytes | None:
        """Respond where the result of the handler cannot be sent, for the reason in `error`."""
        if isinstance(error, ApplicationError):
            _log.error("cannot answer a call of %s: %s", self._peer, error.message)
            return self.connection.refuse(request, error, metadata, self.is_draining)
        _log.error("cannot send the result of %s: %s", handler.method.full_name, error)
        return self.refuse(request, ApplicationCode.INTERNAL_ERROR, f"the result cannot be sent: {error}")

    def fail(self, request: RequestReceived, handler: Handler, error: BaseException, call: ServerCall) -> bytes | None:
        """Respond to a call whose handler, or a filter in front of it, has raised `error`."""
        method = handler.method
        metadata: Metadata = call.answer_metadata
        if isinstance(error, Overloaded | CircuitOpen) and not call.is_begun:
            code = ApplicationCode.LOADSHEDDING
            return self.refuse(request, code, str(error), metadata, error.retry_after)
        is_mute = request.is_oneway or method.is_oneway
        if not is_mute and isinstance(error, DeclaredError):
            try:
                thrown = self.connection.respond_error(request, error, metadata, self.is_draining)
            except LocalProtocolError as local:
                _log.error("cannot send what %s threw: %s", method.full_name, local)
                what = f"the exception cannot be sent: {local}"
                return self.refuse(request, ApplicationCode.INTERNAL_ERROR, what)
            if thrown is not None:
                return thrown
        if not is_mute and isinstance(error, ApplicationError):
            return self.connection.refuse(request, error, metadata, self.is_draining)
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
