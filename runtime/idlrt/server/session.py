"""Server side of one connection: requests in, responses out, without I/O.

Requests wait in `_waiting` while a limit is reached: the number of calls in flight, or the size of the unsent responses
(`high_water`). Meanwhile nothing is read. Plain handlers run here, on the session's thread, or on workers; `async`
handlers run on an event loop. Responses that are not ready at once leave in the order of the requests, by a slot in
`_slots`; or as they become ready (`_unordered`) if the protocol matches them by an identifier. All responses that are
ready leave in one write.

A call can be rejected before its handler starts: because the server is overloaded (the call has not been processed, so
the client may retry it on another instance), or because its deadline has passed.
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
from idlrt.errors import ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.base import ProtocolDetected, ServerConnection, ServerEvent
from idlrt.protocol.events import ConnectionBroken, DataToSend, EndOfRequests, PingReceived, RequestReceived
from idlrt.server.context import OnDone, ServerContext, Transport
from idlrt.server.forked_child import exit_child
from idlrt.server.method_table import MethodEntry, NotStarted, entering, run_unless_expired
from idlrt.server.pending import PendingCall, ResponseSlot
from idlrt.server.responder import Responder

__all__ = ["Session"]

_log = get_logger("idlrt.server")

_OK: Final = Outcome.OK
_COROUTINE: Final[Any] = CoroutineType


class Session:
    """Session of one connection, and its `Receiver`.

    Args:
        transport: the connection.
        connection: protocol state machine; a detecting one is replaced once the client's protocol is known.
        server_context: state that all sessions share.
        closed: called once, when the connection is closed.

    Attributes:
        connection: protocol state machine.
        received: number of messages received so far.
    """

    __slots__ = (
        "_arrived", "_closed", "_context", "_deadline", "_forks", "_held", "_in_flight", "_is_closed", "_is_cut",
        "_is_detecting", "_is_draining", "_is_ending", "_is_flush_due", "_is_paused", "_now", "_request", "_responder",
        "_slots", "_transport", "_unordered", "_waiting", "connection", "received",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        connection: ServerConnection,
        server_context: ServerContext,
        closed: Callable[[Session], object],
    ) -> None:
        self._transport = transport
        self.connection = connection
        self._responder = Responder(connection, transport.peer, server_context.observer, server_context.notify)
        self._context = server_context
        self._now = server_context.driver.now
        self._closed = closed
        self._forks = forks.count
        self._waiting: deque[ServerEvent] = deque()
        # Arrival time of the requests in `_waiting`: nothing is read while any wait, so they arrived together.
        self._arrived = 0.0
        self._deadline = Deadline(0.0, server_context.timeout)
        self._slots: deque[ResponseSlot] = deque()
        self._unordered: list[bytes] = []
        # Size of the responses in `_slots`, where they wait for earlier ones, and in `_unordered`.
        self._held = self._in_flight = 0
        self._is_paused = self._is_flush_due = self._is_draining = False
        self._is_detecting = True
        # Set when no more requests are expected: close once all are answered; `_is_cut`: the client may be sending.
        self._is_ending = self._is_cut = self._is_closed = False
        # Class of the requests of this protocol: `type(event) is` takes a quarter of the time of `isinstance`.
        self._request = RequestReceived
        self.received = 0

    @property
    def is_mid_message(self) -> bool:
        """Whether a message has arrived in part."""
        connection = self.connection
        return not (connection.is_broken or connection.is_at_eof or connection.is_between_messages)

    @property
    def is_paused(self) -> bool:
        """Whether reading is paused because a limit is reached."""
        return self._is_paused

    @property
    def is_idle(self) -> bool:
        """Whether there are no calls in flight, no unsent responses and no incomplete message."""
        return not (self._in_flight or self._waiting or self._slots or self._unordered or self.is_mid_message)

    # Callbacks of the connection (`Receiver`).

    def data_received(self, data: bytes) -> None:
        events = self.connection.receive_data(data)
        if self._is_detecting and events and isinstance(detected := events[-1], ProtocolDetected):
            events = self._detected(detected)
        if not events:
            return
        self.received += len(events)
        self._arrived = arrived = self._now()
        timeout = self._context.timeout
        self._deadline = Deadline(arrived + timeout, timeout)
        if len(events) == 1 and not (self._waiting or self._slots or self._unordered or self._in_flight):
            # The common case of one request with no other in flight: the same as `_process`, at half the cost.
            event: Any = events[0]
            if type(event) is self._request or self._is_request(event):
                answer, transport, shared = self._handle(event), self._transport, self._context
                if answer is not None:
                    transport.send(answer)
                is_full = self._in_flight >= shared.max_in_flight or transport.pending >= shared.high_water
                if is_full or self._is_ending:
                    self._process()
                return
        self._waiting.extend(events)
        self._process()

    def _detected(self, event: ProtocolDetected) -> list[ServerEvent]:
        """Switch to the protocol of the client."""
        self.connection = event.connection
        self._responder.detected(event)
        self._is_detecting = False
        if self._is_draining:
            self._notify_drain()
        return event.connection.receive_data(event.data)

    def eof_received(self) -> None:
        """Answer the calls that have arrived, then close. In some protocols the end of stream completes a request."""
        events, timeout = self.connection.receive_eof(), self._context.timeout
        if events and not self._waiting:
            self._arrived = self._now()
            self._deadline = Deadline(self._arrived + timeout, timeout)
        self._waiting.extend(events)
        self._is_ending = True
        self._process()

    def drained(self) -> None:
        self._process()

    def connection_lost(self, error: Exception | None) -> None:
        """Drop all responses. Running handlers finish, but their results are discarded."""
        self._is_closed = True
        self._waiting.clear()
        self._slots.clear()
        self._unordered.clear()
        if error is not None:
            peer = self._transport.peer
            _log.debug("lost connection from %s: %s", peer, error, extra={"peer": peer.address})
        self._closed(self)

    def drain(self) -> None:
        """Tell the client with every response to use other instances; if the protocol cannot express that, close the
        connection after the next response."""
        self._is_draining = self._responder.is_draining = True
        self._notify_drain()

    def _notify_drain(self) -> None:
        notice = self.connection.drain_notice()
        if notice and not self._is_closed:
            self._transport.send(notice)

    def finish(self, answer: bytes = b"") -> None:
        """Answer the calls that have arrived, then close. `answer` is sent unless responses have to precede it."""
        if answer and not self._in_flight and not self._slots:
            self._is_cut = True
            self._transport.send(answer)
        self._is_draining = self._responder.is_draining = self._is_ending = True
        self._process()

    def discard_requests(self) -> None:
        """Drop the requests that have arrived, so that no more calls start."""
        self._waiting.clear()

    # Processing.

    def _process(self) -> None:
        """Process waiting requests within the limits, send responses that are ready, and pause or resume reading."""
        transport, shared, waiting = self._transport, self._context, self._waiting
        ready: list[bytes] = []
        size = 0
        if self._unordered or self._slots:
            size = self._take_ready(ready)
        while waiting and self._in_flight < shared.max_in_flight:
            if size + self._held + transport.pending >= shared.high_water:
                if not ready:
                    break
                transport.send(b"".join(ready))
                ready.clear()
                size = 0
                continue
            event: Any = waiting.popleft()
            if type(event) is self._request or self._is_request(event):
                answer, is_unordered = self._handle(event), event.is_unordered
            else:  # must not overtake a response either, because the client may match responses by their order
                answer, is_unordered = self._handle_other(event), False
            if not answer:
                continue
            if self._slots and not is_unordered:
                self._slots.append(ResponseSlot(answer))
                self._held += len(answer)
            else:
                ready.append(answer)
                size += len(answer)
        if ready:
            transport.send(ready[0] if len(ready) == 1 else b"".join(ready))
        if waiting or self._in_flight >= shared.max_in_flight or transport.pending >= shared.high_water:
            if not self._is_paused:
                self._is_paused = True
                transport.pause_reading()
            return
        if self._is_ending and not self._in_flight and not self._is_closed and not self.is_mid_message:
            transport.close(discard=self._is_cut)
        elif self._is_paused:
            self._is_paused = False
            transport.resume_reading()

    def _take_ready(self, ready: list[bytes]) -> int:
        """Move the responses that may be sent now to `ready`, and return their size in bytes."""
        if self._unordered:
            ready.extend(self._unordered)
            self._unordered.clear()
        slots = self._slots
        while slots and (done := slots[0].response) is not None:
            slots.popleft()
            ready.append(done)
        size = sum(map(len, ready))
        self._held -= size
        return size

    def _is_request(self, event: ServerEvent) -> bool:
        """Return whether `event` is a request, and remember its class."""
        if not isinstance(event, RequestReceived):
            return False
        self._request = type(event)
        return True

    def _handle_other(self, event: ServerEvent) -> bytes | None:
        """Return the bytes to send for an event other than a request, if any."""
        if isinstance(event, DataToSend):
            return event.data
        if isinstance(event, EndOfRequests):
            self._is_ending = self._is_cut = True
            return None
        if isinstance(event, ConnectionBroken):
            self._responder.connection_broken(event)
            self._is_ending, self._is_cut = True, bool(event.answer)
            return event.answer
        return self.connection.pong(event) if isinstance(event, PingReceived) else None

    def _handle(self, event: RequestReceived) -> bytes | None:
        """Process a request and return its response; `None` if it has none, or none yet."""
        shared, responder = self._context, self._responder
        if self._is_draining and not self.connection.capabilities.outlives_drain:
            self._is_ending = True
        if event.refusal is not None:
            return responder.reject(event, event.refusal, self._arrived)
        entry = shared.methods.get(event.key)
        if entry is None or event.method is None:  # pages have no method in RPC protocols
            return responder.reject_unknown(event, shared.served.missing(event.key), self._arrived)
        handler = entry.handler
        try:
            if (arguments := event.arguments) is not None:  # the common case: decoded with the frame
                decoded = event.decoded
            else:
                arguments, decoded = self.connection.arguments(event)
            if handler.substitutes and None in arguments:
                arguments = handler.complete(arguments)
        except RemoteProtocolError as error:
            return responder.reject_unreadable(event, error, self._arrived)
        deadline, timeout = self._deadline, event.context.timeout
        if timeout is not None:
            deadline = Deadline(self._arrived + timeout, timeout)
        is_awaited, peer = entry.is_awaited, self._transport.peer
        driver = shared.async_driver if is_awaited else shared.driver
        call = ServerCall(
            handler.method, arguments, peer, event.metadata, deadline, driver, event.context, self._arrived
        )
        if shared.tracer is not None:
            shared.tracer.begin_server(call)
        if timeout is not None and deadline.at <= self._now():
            return responder.expired(event, call)
        context = shared.context.copy()
        if shared.tracer is not None and shared.tracer.enters:
            entry = entering(entry, shared.tracer.enter)
        if is_awaited or shared.run_worker is not None:
            load = shared.load
            if load.in_flight >= load.max_in_flight:
                return responder.overloaded(event, call, f"max_in_flight={load.max_in_flight} is reached")
            if load.decoded and load.decoded + decoded > load.max_decoded:
                what = f"arguments of calls in flight take {plural(load.decoded, 'byte')}"
                why = f"{what}; {decoded} more would exceed max_decoded_queued={load.max_decoded}"
                return responder.overloaded(event, call, why)
            if not is_awaited:
                self._submit(event, entry, call, context, decoded)
                return None
        try:
            result = context.run(entry.run, call)
        except BaseException as error:  # noqa: BLE001  # becomes the response, and is logged
            if forks.count != self._forks:
                exit_child(error)
            return responder.fail(event, handler, error, call)
        if forks.count != self._forks:
            exit_child()
        if is_awaited or type(result) is _COROUTINE:
            shared.run_async(result, context, self._start(event, entry, call, decoded))
            return None
        if call.trace is not None and call.trace.span is not None:
            call.handled_at = self._now()
        call.outcome = _OK
        if event.is_oneway or (handler.method.is_oneway and not event.acknowledges_oneway):
            return responder.respond(event, handler, result, call)
        try:
            answer = self.connection.respond(event, result, call.answer_metadata, self._is_draining)
        except (ApplicationError, LocalProtocolError) as error:
            return responder.unsendable(event, handler, error, call)
        if shared.observer is not None:
            shared.observer.answered(call, event.size, len(answer))
        return answer

    def _submit(
        self, event: RequestReceived, entry: MethodEntry, call: ServerCall, context: Context, decoded: int
    ) -> None:
        """Submit a call to the workers."""
        run_worker = self._context.run_worker
        assert run_worker is not None
        done = self._start(event, entry, call, decoded)

        def finished(result: Any, error: BaseException | None) -> None:
            if type(result) is _COROUTINE:
                self._context.run_async(result, context, done)
            else:
                done(result, error)

        def work() -> Any:
            return context.run(run_unless_expired, entry, call)

        if not run_worker(work, finished):
            done(None, NotStarted("all workers are busy and the queue is full"))

    def _start(self, event: RequestReceived, entry: MethodEntry, call: ServerCall, decoded: int) -> OnDone:
        """Count a call as in flight, reserve the slot of its response, and return the callback that completes it.

        Args:
            decoded: memory of the arguments until then, in bytes.
        """
        pending = PendingCall(None, self, event, entry, call, decoded)
        if not event.is_unordered:
            self._slots.append(pending)
        load = self._context.load
        load.in_flight += 1
        load.decoded += decoded
        self._in_flight += 1
        return pending.done

    def complete(self, pending: PendingCall, result: Any, error: BaseException | None) -> None:
        """Respond to a call of a worker or of the event loop with the result or the exception of its handler."""
        request, call, load = pending.request, pending.call, self._context.load
        load.in_flight -= 1
        load.decoded -= pending.decoded
        self._in_flight -= 1
        call.is_answered = True
        if self._is_draining and not self.connection.capabilities.outlives_drain:
            self._is_ending = True
        if error is None:
            answer = self._responder.respond(request, pending.entry.handler, result, call)
        elif isinstance(error, NotStarted):
            answer = self._responder.not_started(request, call, error)
        else:
            answer = self._responder.fail(request, pending.entry.handler, error, call)
        if answer is None:
            answer = b""  # an empty response frees the slot
        self._held += len(answer)
        if request.is_unordered:
            self._unordered.append(answer)
        else:
            pending.response = answer
        if not self._is_flush_due and not self._is_closed:
            self._is_flush_due = True
            self._context.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if not self._is_closed:
            self._process()
