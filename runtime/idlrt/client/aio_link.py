"""Connection of asyncio clients, which multiplexes calls by their ids.

The response to a call that was cancelled or timed out is dropped when it arrives; other calls are not affected.

Many servers respond in the order of the calls, so a call that hangs delays all that follow it (head-of-line blocking).
When a call times out and no later one has got a response, the connection is *stuck*: calls in flight on it may still
complete, but further ones get another connection. The same applies when the server announces that it is shutting down.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from idlrt.client.connection_pool import PoolConnection
from idlrt.client.errors import bad_response, connection_lost, deadline_exceeded
from idlrt.client.peer_state import PeerState
from idlrt.client.ping import PING, ping_before
from idlrt.client.responses import RESPONSES, is_full, result_of
from idlrt.core import Call
from idlrt.errors import RemoteProtocolError, RpcError
from idlrt.net.aio import AsyncTransport
from idlrt.protocol import ClientConnection, ConnectionBroken, DataToSend, GoAway, PongReceived, ResponseReceived

__all__ = ["Link", "Lost", "Open", "Received"]

Received = Callable[[bytes], None]
Lost = Callable[[Exception | None], None]
Open = Callable[[Received, Lost], Awaitable[AsyncTransport]]
"""Opens a connection. The two functions receive the data from the server, and the end of the connection.

Raises `OSError`."""

# Iterations of the event loop after which received data has been read.
_ROUNDS = 3
# Seconds that `close` waits for the connection to end before it aborts it.
_CLOSE_TIMEOUT = 1.0
# Seconds by which a timer may fire early.
_PRECISION = 0.001


class Link(PoolConnection):
    """Connection and the calls on it.

    Attributes:
        is_lost: whether the connection has ended.
        is_stuck: whether it accepts no further calls, although calls in flight may still complete.
        ended: done when the connection is closed.
    """

    may_be_stale = False

    _connection: ClientConnection

    def __init__(self, peer: PeerState) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.is_lost = False
        self.is_stuck = False
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._peer = peer
        self._answers: dict[int, tuple[asyncio.Future[ResponseReceived | PongReceived], Call, int]] = {}
        # Sequence numbers of the last call that was sent, and of the last one that got its response.
        self._made = 0
        self._answered = 0
        self._transport: AsyncTransport | None = None
        # Class of the last response, which is checked first.
        self._response_class: type[Any] | None = None
        self._batch: list[bytes] = []
        # One timer for all calls, for the earliest deadline that was known when it was set.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether a call may be sent over it."""
        transport = self._transport
        return not self.is_lost and not self.is_stuck and transport is not None and not transport.is_closing

    @property
    def takes_calls(self) -> bool:
        """Whether another call may be sent over it. Cancelled calls occupy capacity until their responses arrive."""
        # `is_settled` checks last whether the transport is about to close.
        if self.is_lost or self.is_stuck or self._transport is None:
            return False
        connection = self._connection
        return len(self.leases) + connection.cancelled < connection.capabilities.max_in_flight

    @property
    def is_retired(self) -> bool:
        """Whether it was opened and will never accept another call."""
        return self._transport is not None and not self.is_usable

    @property
    def is_settled(self) -> bool:
        """Whether it is usable, and no received data is still unread; see `settle`."""
        transport = self._transport
        if self.is_lost or self.is_stuck or transport is None or transport.is_closing:
            return False
        return bool(self._answers) or transport.is_quiet()

    @property
    def is_used_up(self) -> bool:
        """Whether it will never accept another call."""
        return self.is_lost or self.is_stuck

    def dispose(self) -> None:
        """Close the connection once no call is left on it."""
        self.is_stuck = True
        self._close_if_done()

    async def open(self, open: Open, connection: ClientConnection) -> None:
        """Open the connection.

        Raises:
            OSError: it could not be opened.
        """
        self._connection = connection
        self._transport = await open(self._received, self._lost)

    async def settle(self) -> None:
        """Let the event loop read data that an idle connection has received: it may be the end of the connection."""
        # Reading is scheduled in one iteration of the loop, and done in the next.
        for _ in range(_ROUNDS):
            if self._answers or not self.is_usable or self._transport is None or self._transport.is_quiet():
                return
            await asyncio.sleep(0)

    async def answers(self, call: Call, ping_timeout: float) -> bool:
        """Return whether the server responds to a ping, so that `call` may follow."""
        with contextlib.suppress(RpcError):
            await self.exchange(ping_before(call, ping_timeout))
        if self.is_usable:
            return True
        self.is_stuck = True
        self._close_if_done()
        return False

    async def exchange(self, call: Call) -> Any:
        """Send `call` and return its result."""
        transport = self._transport
        assert transport is not None
        if transport.is_blocked:
            await self._drain(transport, call)
        if call.method is PING:
            number, data = self._connection.ping()
        else:
            metadata, context = self._peer.metadata_of(call, self._connection.capabilities)
            number, data = self._connection.request(call.method, call.arguments, metadata, context)
            call.sent += len(data)
        self._write(transport, data)
        if call.method.is_oneway and not self._connection.capabilities.acknowledges_oneway:
            if transport.is_blocked:
                await self._drain(transport, call)
            return None
        answer: asyncio.Future[ResponseReceived | PongReceived] = self.loop.create_future()
        self._made += 1
        self._answers[number] = answer, call, self._made
        if self._timer is None or call.deadline.at < self._timer_at:
            self._set_timer(call)
        try:
            reply = await answer
        finally:
            if self._answers.pop(number, None) is not None:
                self._forget(number)
        return result_of(reply, call)

    async def _drain(self, transport: AsyncTransport, call: Call) -> None:
        try:
            async with asyncio.timeout(call.deadline.remaining(call.driver.now())):
                await transport.drain()
        except TimeoutError:
            self.is_stuck = True
            self._close_if_done()
            raise deadline_exceeded(call) from None

    def _write(self, transport: AsyncTransport, data: bytes) -> None:
        """Send at once if no call is in flight, else together with other calls of this event loop iteration."""
        if not self._answers:
            transport.write(data)
            return
        if not self._batch:
            self.loop.call_soon(self._flush)
        self._batch.append(data)

    def _flush(self) -> None:
        if self._batch and self._transport is not None:
            self._transport.write(b"".join(self._batch))
        self._batch.clear()

    def _set_timer(self, call: Call) -> None:
        """Set the timer to the deadline of `call`."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = call.deadline.at
        self._timer = self.loop.call_later(max(call.deadline.remaining(call.driver.now()), 0.0), self._expire)

    def _expire(self) -> None:
        """Fail the calls whose deadlines have passed."""
        self._timer = None
        due = [
            number
            for number, (_, call, _) in self._answers.items()
            if call.deadline.remaining(call.driver.now()) <= _PRECISION
        ]
        for number in due:
            answer, call, order = self._answers.pop(number)
            if order > self._answered:
                self.is_stuck = True
            self._forget(number)
            if not answer.done():
                answer.set_exception(deadline_exceeded(call, self._peer))
        if self._answers:
            self._set_timer(min((call for _, call, _ in self._answers.values()), key=lambda each: each.deadline.at))

    def _forget(self, number: int) -> None:
        data = self._connection.cancel(number)
        if data and self._transport is not None:
            self._flush()  # the request comes first
            self._transport.write(data)
        if is_full(self._connection):
            self.is_stuck = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        """Close a connection that accepts no further calls after the last response."""
        if not self.is_stuck or self._answers or self._transport is None:
            return
        if self._transport.is_blocked:
            self._transport.abort()  # the server does not read what would be sent first
        else:
            self._transport.close()

    def _received(self, data: bytes, events: Sequence[Any] | None = None) -> None:
        event: Any
        for event in self._connection.receive_data(data) if events is None else events:
            # `isinstance` with a msgspec struct takes longer than all the rest here.
            if event.__class__ is self._response_class or isinstance(event, RESPONSES):
                self._response_class = event.__class__
                self._peer.has_answered = True
                waiting = self._answers.pop(event.id, None)
                if waiting is not None:
                    answer, _, order = waiting
                    if order > self._answered:
                        self._answered = order
                    if not answer.done():
                        answer.set_result(event)
                if event.is_draining:
                    self.is_stuck = True
            elif not self._handle(event):
                return
        if self.is_stuck:
            self._close_if_done()

    def _handle(self, event: ConnectionBroken | DataToSend | GoAway) -> bool:
        """Handle an event that is not a response. Return whether the connection is still usable."""
        assert self._transport is not None
        if isinstance(event, ConnectionBroken):
            self._fail(event.error)
            self._transport.abort()
            return False
        if isinstance(event, GoAway):
            self.is_stuck = True
        else:
            self._transport.write(event.data)
        return True

    def _lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if error is None:
            # The end completes a response in some protocols.
            self._received(b"", [each for each in self._connection.receive_eof() if isinstance(each, RESPONSES)])
        self._fail(error)
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, error: Exception | None) -> None:
        """Fail all calls in flight: no response will arrive."""
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answers and not self._answered:
            self._peer.reconsider()
        for answer, call, _ in self._answers.values():
            if not answer.done():
                if isinstance(error, RemoteProtocolError):
                    answer.set_exception(bad_response(call, error))
                else:
                    answer.set_exception(connection_lost(call, error, self._peer))
        self._answers.clear()

    async def close(self) -> None:
        """Close the connection."""
        if self._transport is None:
            return
        self._flush()
        self._fail(None)
        self._transport.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self._transport.abort()
