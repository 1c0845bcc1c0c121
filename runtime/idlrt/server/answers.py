"""What a call of a server is answered with: bytes, in the dialect of the call.

Whatever happens, a call that wants an answer gets one: what the handler returned, what it threw and the IDL
declares, or a refusal. Refusals name the kind of an error; its text and traceback stay in the server's log.

`Overloaded` and `CircuitOpen` of a filter, before the handler was called, say that nobody has worked on the call:
clients may make it elsewhere. The same of a handler says it of a call that the handler has made itself. That is a
failure like any other: the handler may have done half of its work.
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.core import NO_METADATA, RETRY_AFTER, Handler, Metadata, Peer, ServerCall, push_back_text
from idlrt.core.logs import get_logger
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    LocalProtocolError,
    Overloaded,
    PushBack,
)
from idlrt.spec import DeclaredError
from idlrt.wire.connection import ServerConnection
from idlrt.wire.events import CallReceived
from idlrt.wire.types import MessageKind

__all__ = ["Answers"]

_log = get_logger("idlrt.server")

_ONEWAY = MessageKind.ONEWAY
# A kind of its own for each, so that many of one do not hide another.
_REFUSED: Final = {code: {"kind": code.name} for code in ApplicationCode}


class Answers:
    """Makes the answers of one connection. Methods answer `None` where the client wants no answer.

    Args:
        peer: who asks, for the log.
    """

    __slots__ = ("_connection", "_peer")

    def __init__(self, connection: ServerConnection, peer: Peer) -> None:
        self._connection = connection
        self._peer = peer

    def reply(
        self, call: CallReceived, handler: Handler, result: Any, metadata: Metadata = NO_METADATA
    ) -> bytes | None:
        """The handler has returned `result`."""
        if call.kind is _ONEWAY or handler.method.is_oneway:
            return None
        try:
            return self._connection.reply(call, result, metadata)
        except (ApplicationError, LocalProtocolError) as error:
            return self.unsendable(call, handler, error, metadata)

    def unsendable(
        self,
        call: CallReceived,
        handler: Handler,
        error: ApplicationError | LocalProtocolError,
        metadata: Metadata = NO_METADATA,
    ) -> bytes | None:
        """What the handler has returned cannot be sent, for the reason in `error`."""
        if isinstance(error, ApplicationError):
            _log.error("cannot answer a call of %s: %s", self._peer, error.message)
            return self._connection.refuse(call, error, metadata)
        _log.error("cannot send the result of %s: %s", handler.method.full_name, error)
        return self.refuse(call, ApplicationCode.INTERNAL_ERROR, f"the result cannot be sent: {error}")

    def fail(self, call: CallReceived, handler: Handler, error: BaseException, asked: ServerCall) -> bytes | None:
        """The handler of `asked`, or a filter in front of it, has raised `error`."""
        method = handler.method
        metadata: Metadata = asked.answer_metadata
        if isinstance(error, Overloaded | CircuitOpen) and not asked.is_begun:
            metadata = _with_push_back(metadata, error)
            return self.refuse(call, ApplicationCode.LOADSHEDDING, str(error), metadata)
        is_mute = call.kind is _ONEWAY or method.is_oneway
        if not is_mute and isinstance(error, DeclaredError):
            try:
                thrown = self._connection.throw(call, error, metadata)
            except LocalProtocolError as local:
                _log.error("cannot send what %s threw: %s", method.full_name, local)
                return self.refuse(call, ApplicationCode.INTERNAL_ERROR, f"the exception cannot be sent: {local}")
            if thrown is not None:
                return thrown
        if not is_mute and isinstance(error, ApplicationError):
            return self._connection.refuse(call, error, _with_push_back(metadata, error))
        _log.error("%s failed", method.full_name, exc_info=error)
        kind = type(error).__qualname__
        what = f"{method.full_name} failed with {kind}; the server's log has the details"
        return None if is_mute else self.refuse(call, ApplicationCode.INTERNAL_ERROR, what, metadata)

    def refuse(
        self, call: CallReceived, code: ApplicationCode, message: str, metadata: Metadata = NO_METADATA
    ) -> bytes | None:
        """Nobody works on the call, for the reason in `message`."""
        if call.kind is _ONEWAY:
            _log.info("dropped a oneway call of %s: %s", self._peer, message)
            return None
        if code is not ApplicationCode.INTERNAL_ERROR:  # that has been logged, with what is wrong
            _log.info("refused a call of %s: %s", self._peer, message, extra=_REFUSED[code])
        return self._connection.refuse(call, ApplicationError(message, code), metadata)


def _with_push_back(metadata: Metadata, error: PushBack) -> Metadata:
    after = error.retry_after
    return metadata if after is None else {**metadata, RETRY_AFTER: push_back_text(after)}
