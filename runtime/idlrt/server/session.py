"""One connection of a server: calls in, answers out. It does no I/O of its own.

Calls wait in `_waiting` until there is room: the number of unanswered ones is bounded, and so is what a peer
has not taken (`high_water`). While there is none, nothing is read. Plain handlers run where they are found, or
on workers; `async` ones elsewhere. Answers that come later leave in the order of the calls, by a place in
`_places`, or as they come (`_loose`) if the peer tells them apart itself. All answers that are ready leave in
one piece.

Before a handler starts a call can be refused: the server is overloaded (nobody works on it, so the client may
go elsewhere), or its caller has stopped waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from types import CoroutineType
from typing import Any, Final

from idlrt.core import Deadline, Outcome, ServerCall
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol import (
    ConnectionBroken,
    DataToSend,
    PingReceived,
    ProtocolDetected,
    RequestReceived,
    ServerConnection,
    ServerEvent,
)
from idlrt.server.forked import end_child
from idlrt.server.pending import PendingCall, Place
from idlrt.server.responder import Responder
from idlrt.server.routes import NotStarted, Route, unless_expired
from idlrt.server.surroundings import Done, Outlet, Surroundings

__all__ = ["Session"]

_log = get_logger("idlrt.server")

_OK: Final = Outcome.OK
_COROUTINE: Final[Any] = CoroutineType


class Session:
    """One connection. It is a `Receiver` of the selector loop.

    Args:
        closed: called once, when the connection is gone.

    Attributes:
        received: messages that have come so far.
    """

    __slots__ = (
        "_arrived", "_closed", "_connection", "_forks", "_held", "_in_flight", "_is_detecting", "_is_draining",
        "_is_flush_due", "_is_last", "_is_lost", "_is_paused", "_loose", "_now", "_outlet", "_places", "_request",
        "_responder", "_surroundings", "_usual", "_waiting", "received",
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
        self._responder = Responder(connection, outlet.peer)
        self._surroundings = surroundings
        self._now = surroundings.driver.now
        self._closed = closed
        self._forks = forks.count
        self._waiting: deque[ServerEvent] = deque()
        # When what waits has come: nothing is read while anything waits, so it all came together.
        self._arrived = 0.0
        self._usual = Deadline(0.0, surroundings.timeout)
        self._places: deque[Place] = deque()
        self._loose: list[bytes] = []
        # Bytes of answers that wait in `_places` for one before them, or in `_loose`.
        self._held = 0
        self._in_flight = 0
        self._is_paused = False
        self._is_flush_due = False
        self._is_detecting = True
        self._is_draining = False
        # Set when no more is expected: close once everything has been answered.
        self._is_last = False
        self._is_lost = False
        # The class of its requests, once one has come: `type(event) is` takes a quarter of the time of `isinstance`.
        self._request = RequestReceived
        self.received = 0

    @property
    def is_halfway(self) -> bool:
        """Whether a message has begun to arrive and is not complete."""
        connection = self._connection
        return not (connection.is_broken or connection.is_at_eof or connection.is_between_messages)

    @property
    def is_paused(self) -> bool:
        """Whether the peer is made to wait."""
        return self._is_paused

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being done for the peer."""
        return not (self._in_flight or self._waiting or self._places or self._loose or self.is_halfway)

    # What the connection tells.

    def data_received(self, data: bytes) -> None:
        """See `Receiver.data_received`."""
        events = self._connection.receive_data(data)
        if self._is_detecting and events and isinstance(detected := events[-1], ProtocolDetected):
            events = self._detected(detected)
        if not events:
            return
        self.received += len(events)
        self._arrived = arrived = self._now()
        timeout = self._surroundings.timeout
        self._usual = Deadline(arrived + timeout, timeout)
        if len(events) == 1 and not (self._waiting or self._places or self._loose or self._in_flight):
            # The usual case, which nothing has to wait for: what `_work` would do, at half the price.
            event: Any = events[0]
            if type(event) is self._request or self._is_request(event):
                answer, outlet, around = self._answer(event), self._outlet, self._surroundings
                if answer is not None:
                    outlet.send(answer)
                is_full = self._in_flight >= around.max_in_flight or outlet.pending >= around.high_water
                if is_full or self._is_last:
                    self._work()
                return
        self._waiting.extend(events)
        self._work()

    def _detected(self, event: ProtocolDetected) -> list[ServerEvent]:
        """Continue with the protocol that the client speaks."""
        self._connection = self._responder.connection = event.connection
        self._is_detecting = False
        if self._is_draining:
            self._tell_drain()
        return event.connection.receive_data(event.data)

    def eof_received(self) -> None:
        """See `Receiver.eof_received`. Calls that came are still answered; in some protocols the end completes one."""
        events, timeout = self._connection.receive_eof(), self._surroundings.timeout
        if events and not self._waiting:
            self._arrived = self._now()
            self._usual = Deadline(self._arrived + timeout, timeout)
        self._waiting.extend(events)
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
        self._loose.clear()
        if error is not None:
            _log.debug("lost the connection of %s: %s", self._outlet.peer, error)
        self._closed(self)

    def drain(self) -> None:
        """Tell the peer with every answer that it should call elsewhere, or, where that cannot be told, close with
        the next answer."""
        self._is_draining = self._responder.is_draining = True
        self._tell_drain()

    def _tell_drain(self) -> None:
        notice = self._connection.drain_notice()
        if notice and not self._is_lost:
            self._outlet.send(notice)

    def finish(self) -> None:
        """Answer what has come, then close."""
        self._is_draining = self._responder.is_draining = self._is_last = True
        self._work()

    def abandon(self) -> None:
        """Begin no more calls, not even those that have come."""
        self._waiting.clear()

    # Working.

    def _work(self) -> None:
        """Answer what waits as far as there is room, send what is ready, and read on or not."""
        outlet, around, waiting = self._outlet, self._surroundings, self._waiting
        ready: list[bytes] = []
        size = 0
        if self._loose or self._places:
            size = self._take_ready(ready)
        while waiting and self._in_flight < around.max_in_flight:
            if size + self._held + outlet.pending >= around.high_water:
                if not ready:
                    break
                outlet.send(b"".join(ready))
                ready.clear()
                size = 0
                continue
            event: Any = waiting.popleft()
            if type(event) is self._request or self._is_request(event):
                answer, is_unordered = self._answer(event), event.is_unordered
            else:  # it must not overtake a response either, where the client tells them apart by their order
                answer, is_unordered = self._answer_other(event), False
            if not answer:
                continue
            if self._places and not is_unordered:
                self._places.append(Place(answer))
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
        if self._is_last and not self._in_flight and not self._is_lost and not self.is_halfway:
            outlet.close()
        elif self._is_paused:
            self._is_paused = False
            outlet.resume_reading()

    def _take_ready(self, ready: list[bytes]) -> int:
        """Take the answers that may leave now; how many bytes they are."""
        if self._loose:
            ready.extend(self._loose)
            self._loose.clear()
        places = self._places
        while places and (done := places[0].response) is not None:
            places.popleft()
            ready.append(done)
        size = sum(map(len, ready))
        self._held -= size
        return size

    def _is_request(self, event: ServerEvent) -> bool:
        """Return whether it is a request, and remember its class."""
        if not isinstance(event, RequestReceived):
            return False
        self._request = type(event)
        return True

    def _answer_other(self, event: ServerEvent) -> bytes | None:
        """The bytes that an event other than a request asks for."""
        if isinstance(event, DataToSend):
            return event.data
        if isinstance(event, ConnectionBroken):
            _log.info("closing the connection of %s: %s", self._outlet.peer, event.error)
            self._is_last = True
            return event.answer
        return self._connection.pong(event) if isinstance(event, PingReceived) else None

    def _answer(self, event: RequestReceived) -> bytes | None:
        """The answer to a call; `None` if there is none, or not yet."""
        around, responder = self._surroundings, self._responder
        if self._is_draining and not self._connection.capabilities.drain:
            self._is_last = True  # the client cannot be told otherwise
        if event.refusal is not None:
            _log.info("refused a call of %s: %s", self._outlet.peer, event.refusal.message)
            if event.is_oneway:
                return None
            return self._connection.refuse(event, event.refusal, is_draining=self._is_draining)
        route = around.routes.get(event.key)
        if route is None:
            return responder.refuse(event, ApplicationCode.UNKNOWN_METHOD, around.served.missing(event.key))
        handler = route.handler
        try:
            if (arguments := event.arguments) is not None:  # the usual case: read with the frame
                decoded = event.decoded
            else:
                arguments, decoded = self._connection.arguments(event)
            if handler.substitutes and None in arguments:
                arguments = handler.complete(arguments)
        except RemoteProtocolError as error:
            return responder.refuse(event, ApplicationCode.PROTOCOL_ERROR, str(error))
        deadline, told = self._usual, event.context.timeout
        if told is not None:
            deadline = Deadline(self._arrived + told, told)
        is_awaited = route.is_awaited
        driver = around.async_driver if is_awaited else around.driver
        call = ServerCall(
            handler.method, arguments, self._outlet.peer, event.metadata, deadline, driver, event.context, self._arrived
        )
        if told is not None and deadline.at <= self._now():
            return responder.expired(event, call)
        context = around.context.copy()
        if is_awaited or around.run_worker is not None:
            load = around.load
            if load.in_flight >= load.max_in_flight:
                return responder.overloaded(event, call, f"{load.in_flight} calls are under way, the most that may be")
            if load.decoded and load.decoded + decoded > load.max_decoded:
                what = f"{load.decoded} bytes of memory, {decoded} more would be over"
                most = f"max_decoded_queued={load.max_decoded}"
                return responder.overloaded(event, call, f"the arguments of the calls under way take {what} {most}")
            if not is_awaited:
                return self._hand_over(event, route, call, context, decoded)
        try:
            result = context.run(route.run, call)
        except BaseException as error:  # noqa: BLE001  # becomes the answer, and is logged
            if forks.count != self._forks:
                end_child(error)
            return responder.fail(event, handler, error, call)
        if forks.count != self._forks:
            end_child()
        if is_awaited or type(result) is _COROUTINE:
            around.run_async(result, context, self._start(event, route, call, decoded))
            return None
        call.outcome = _OK
        if event.is_oneway or (handler.method.is_oneway and not event.acknowledges_oneway):
            return None
        try:
            return self._connection.respond(event, result, call.answer_metadata, self._is_draining)
        except (ApplicationError, LocalProtocolError) as error:
            return responder.unsendable(event, handler, error, call)

    def _hand_over(
        self, event: RequestReceived, route: Route, call: ServerCall, context: Context, decoded: int
    ) -> bytes | None:
        """Let a worker do it."""
        run_worker = self._surroundings.run_worker
        assert run_worker is not None
        done = self._start(event, route, call, decoded)

        def finished(result: Any, error: BaseException | None) -> None:
            if type(result) is _COROUTINE:
                self._surroundings.run_async(result, context, done)
            else:
                done(result, error)

        def work() -> Any:
            return context.run(unless_expired, route, call)

        if run_worker(work, finished):
            return None
        done(None, NotStarted("all workers are busy and their queue is full"))
        return None

    def _start(self, event: RequestReceived, route: Route, call: ServerCall, decoded: int) -> Done:
        """Make room for an answer that comes later; what is given its result.

        Args:
            decoded: bytes of memory that the arguments take until then.
        """
        pending = PendingCall(None, self, event, route, call, decoded)
        if not event.is_unordered:
            self._places.append(pending)
        load = self._surroundings.load
        load.in_flight += 1
        load.decoded += decoded
        self._in_flight += 1
        return pending.done

    def complete(self, pending: PendingCall, result: Any, error: BaseException | None) -> None:
        """Respond to a call whose handler runs elsewhere, with what it has returned or raised."""
        request, call, load = pending.request, pending.call, self._surroundings.load
        load.in_flight -= 1
        load.decoded -= pending.decoded
        self._in_flight -= 1
        call.is_answered = True
        if self._is_draining and not self._connection.capabilities.drain:
            self._is_last = True
        if error is None:
            answer = self._responder.respond(request, pending.route.handler, result, call)
        elif isinstance(error, NotStarted):
            answer = self._responder.not_started(request, call, error)
        else:
            answer = self._responder.fail(request, pending.route.handler, error, call)
        if answer is None:
            answer = b""  # nothing to send is an answer too: it frees the place
        self._held += len(answer)
        if request.is_unordered:
            self._loose.append(answer)
        else:
            pending.response = answer
        if not self._is_flush_due and not self._is_lost:
            self._is_flush_due = True
            self._surroundings.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if not self._is_lost:
            self._work()
