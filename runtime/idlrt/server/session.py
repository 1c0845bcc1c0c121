"""One connection of a server: calls in, answers out, in the order of the calls. It does no I/O of its own.

Calls wait in `_waiting` until there is room: the number of unanswered ones is bounded, and so is what a peer
has not taken (`high_water`). While there is none, nothing is read. Plain handlers run where they are found.
Answers of `async` handlers come later; each call behind one gets a place in `_places`, and answers leave
from its front. All answers that are ready leave in one piece.

Whatever happens, a call that wants an answer gets one: what the handler returned, what it threw and the IDL
declares, or a refusal. Refusals name the kind of the error; its text and traceback stay in the server's log.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import CoroutineType
from typing import Any, Protocol, cast

import msgspec

from idlrt.core import Handler, Served, enter_request
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.spec import DeclaredError
from idlrt.wire.connection import ServerConnection
from idlrt.wire.events import CallReceived, ServerEvent, StreamBroken
from idlrt.wire.types import MessageKind

__all__ = ["Outlet", "Session", "Surroundings"]

_log = logging.getLogger("idlrt.server")

_CALL, _ONEWAY = MessageKind.CALL, MessageKind.ONEWAY

Done = Callable[[Any, BaseException | None], None]


class Outlet(Protocol):
    """What a session needs of its connection. `idlrt.net.Channel` is one."""

    peer: str
    pending: int

    def send(self, data: bytes) -> None:
        """Send `data`; what the peer does not take is counted in `pending`."""
        ...

    def pause_reading(self) -> None:
        """Let the peer wait."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    def close(self) -> None:
        """Close when everything has been sent."""
        ...


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the sessions of a server share.

    Attributes:
        served: what is called.
        context: handlers see a copy of it each.
        call_soon: calls a function when what is going on is over.
        run_async: runs a coroutine in a context and reports result or error on the session's thread.
        max_in_flight: calls of one connection that may be unanswered.
        high_water: bytes of answers that one peer may leave untaken.
    """

    served: Served
    context: Context
    call_soon: Callable[[Callable[[], None]], object]
    run_async: Callable[[Coroutine[Any, Any, Any], Context, Done], object]
    max_in_flight: int
    high_water: int


class _Place:
    """A place in the queue of answers."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: bytes | None = None


class Session:
    """One connection. It is a `Receiver` of the selector loop.

    Args:
        closed: called once, when the connection is gone.
    """

    __slots__ = (
        "_closed", "_connection", "_held", "_in_flight", "_is_flush_due", "_is_last", "_is_lost", "_is_paused",
        "_outlet", "_places", "_surroundings", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        outlet: Outlet,
        connection: ServerConnection,
        surroundings: Surroundings,
        closed: Callable[[Session], object],
    ) -> None:
        self._outlet = outlet
        self._connection = connection
        self._surroundings = surroundings
        self._closed = closed
        self._waiting: deque[ServerEvent] = deque()
        self._places: deque[_Place] = deque()
        # Bytes of answers that wait in `_places` for one before them.
        self._held = 0
        self._in_flight = 0
        self._is_paused = False
        self._is_flush_due = False
        # Set when no more is expected: close once everything has been answered.
        self._is_last = False
        self._is_lost = False

    # What the connection tells.

    def data_received(self, data: bytes) -> None:
        """See `Receiver.data_received`."""
        self._waiting.extend(self._connection.receive_data(data))
        self._work()

    def eof_received(self) -> None:
        """See `Receiver.eof_received`. Calls that came are still answered."""
        self._waiting.extend(self._connection.receive_eof())
        self._is_last = True
        self._work()

    def drained(self) -> None:
        """See `Receiver.drained`."""
        self._work()

    def connection_lost(self, error: Exception | None) -> None:
        """See `Receiver.connection_lost`. Handlers under way finish; nobody hears of it."""
        self._is_lost = True
        self._waiting.clear()
        self._places.clear()
        if error is not None:
            _log.debug("lost the connection of %s: %s", self._outlet.peer, error)
        self._closed(self)

    def finish(self) -> None:
        """Answer what has come, then close."""
        self._is_last = True
        self._work()

    # Working.

    def _work(self) -> None:
        """Answer what waits as far as there is room, send what is ready, and read on or not."""
        outlet, around, waiting = self._outlet, self._surroundings, self._waiting
        ready: list[bytes] = []
        size = 0
        while self._places and (done := self._places[0].answer) is not None:
            self._places.popleft()
            self._held -= len(done)
            ready.append(done)
            size += len(done)
        while waiting and self._in_flight < around.max_in_flight:
            if size + self._held + outlet.pending >= around.high_water:
                if not ready:
                    break
                outlet.send(b"".join(ready))
                ready.clear()
                size = 0
                continue
            event = waiting.popleft()
            if isinstance(event, StreamBroken):
                _log.info("closing the connection of %s: %s", outlet.peer, event.error)
                self._is_last = True
                break
            answer = self._answer(event)
            if answer is None:
                continue
            if self._places:
                place = _Place()
                place.answer = answer
                self._places.append(place)
                self._held += len(answer)
            else:
                ready.append(answer)
                size += len(answer)
        if ready:
            outlet.send(ready[0] if len(ready) == 1 else b"".join(ready))
        if waiting or self._in_flight >= around.max_in_flight or outlet.pending >= around.high_water:
            if not self._is_paused:
                self._is_paused = True
                outlet.pause_reading()
            return
        if self._is_last and not self._in_flight and not self._is_lost and self._is_complete():
            outlet.close()
        elif self._is_paused:
            self._is_paused = False
            outlet.resume_reading()

    def _is_complete(self) -> bool:
        return self._connection.is_broken or self._connection.is_at_eof or self._connection.is_between_messages

    def _answer(self, call: CallReceived) -> bytes | None:
        """The answer to a call; `None` if there is none, or not yet."""
        if call.fault is not None:
            _log.info("refused a call of %s: %s", self._outlet.peer, call.fault.message)
            return self._connection.refuse(call, call.fault)
        served = self._surroundings.served
        handler = served.table.get(call.name)
        if handler is None:
            return self._refuse(call, ApplicationCode.UNKNOWN_METHOD, served.missing(call.name))
        if call.kind is not _CALL and call.kind is not _ONEWAY:
            what = f"{call.name!r} came as a {call.kind.name.lower()} message, which only servers send"
            return self._refuse(call, ApplicationCode.INVALID_MESSAGE_TYPE, what)
        try:
            arguments = self._connection.arguments(call)
        except RemoteProtocolError as error:
            return self._refuse(call, ApplicationCode.PROTOCOL_ERROR, str(error))
        context = self._surroundings.context.copy()
        if call.metadata:
            enter_request(context, call.metadata)
        try:
            result = context.run(handler.function, *arguments)
        except BaseException as error:  # noqa: BLE001  # becomes the answer, and is logged
            return self._fail(call, handler, error)
        if handler.is_coroutine or type(result) is CoroutineType:
            self._start(call, handler, cast("Coroutine[Any, Any, Any]", result), context)
            return None
        return self._reply(call, handler, result)

    def _start(self, call: CallReceived, handler: Handler, work: Coroutine[Any, Any, Any], context: Context) -> None:
        place = _Place()
        self._places.append(place)
        self._in_flight += 1

        def done(result: Any, error: BaseException | None) -> None:
            self._in_flight -= 1
            answer = self._reply(call, handler, result) if error is None else self._fail(call, handler, error)
            # Nothing to send is an answer too: it frees the place.
            place.answer = answer if answer is not None else b""
            self._held += len(place.answer)
            if not self._is_flush_due and not self._is_lost:
                self._is_flush_due = True
                self._surroundings.call_soon(self._flush)

        self._surroundings.run_async(work, context, done)

    def _flush(self) -> None:
        self._is_flush_due = False
        if not self._is_lost:
            self._work()

    # Answers.

    def _reply(self, call: CallReceived, handler: Handler, result: Any) -> bytes | None:
        if call.kind is _ONEWAY or handler.method.is_oneway:
            return None
        try:
            return self._connection.reply(call, result)
        except ApplicationError as error:
            _log.error("%s", error.message)
            return self._connection.refuse(call, error)
        except LocalProtocolError as error:
            _log.error("cannot send the result of %s: %s", handler.method.full_name, error)
            return self._refuse(call, ApplicationCode.INTERNAL_ERROR, f"the result cannot be sent: {error}")

    def _fail(self, call: CallReceived, handler: Handler, error: BaseException) -> bytes | None:
        method = handler.method
        is_mute = call.kind is _ONEWAY or method.is_oneway
        if not is_mute and isinstance(error, DeclaredError):
            try:
                thrown = self._connection.throw(call, error)
            except LocalProtocolError as local:
                _log.error("cannot send what %s threw: %s", method.full_name, local)
                return self._refuse(call, ApplicationCode.INTERNAL_ERROR, f"the exception cannot be sent: {local}")
            if thrown is not None:
                return thrown
        if not is_mute and isinstance(error, ApplicationError):
            return self._connection.refuse(call, error)
        _log.error("%s failed", method.full_name, exc_info=error)
        kind = type(error).__qualname__
        what = f"{method.full_name} failed with {kind}; the server's log has the details"
        return None if is_mute else self._refuse(call, ApplicationCode.INTERNAL_ERROR, what)

    def _refuse(self, call: CallReceived, code: ApplicationCode, message: str) -> bytes | None:
        if call.kind is _ONEWAY:
            _log.info("dropped a oneway call of %s: %s", self._outlet.peer, message)
            return None
        return self._connection.refuse(call, ApplicationError(message, code))
