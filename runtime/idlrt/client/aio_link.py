"""A connection of asyncio clients, which carries any number of calls at once, told apart by number.

A call that is cancelled or out of time is forgotten; its answer, when it comes, is dropped, and the others never
notice.

Many servers answer in the order of the calls, so one that hangs holds up all that come after it. When a call
runs out of time and none that was made later has been answered, the connection is *stuck*: calls under way
on it may still be answered, further ones get another connection. The same goes for one whose server says that it is
about to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from idlrt.client.connection_pool import PoolConnection
from idlrt.client.peer_state import PeerState
from idlrt.client.ping import PING, ping_before
from idlrt.client.sender import RESPONSES, broken, deadline_exceeded, is_full, lost, result_of
from idlrt.core import Call
from idlrt.errors import RemoteProtocolError, RpcError
from idlrt.net.aio import AsyncTransport
from idlrt.protocol import ClientConnection, ConnectionBroken, DataToSend, GoAway, PongReceived, ResponseReceived

__all__ = ["Link", "Lost", "Open", "Received"]

Received = Callable[[bytes], None]
Lost = Callable[[Exception | None], None]
Open = Callable[[Received, Lost], Awaitable[AsyncTransport]]
"""Makes a connection; what the server sends and its end go to the two functions. Raises `OSError`."""

_ROUNDS = 3
_CLOSE_PATIENCE = 1.0
# Seconds that a timer may fire too early.
_PRECISION = 0.001


class Link(PoolConnection):
    """One connection and the calls that are on it.

    Attributes:
        is_lost: whether it is gone.
        is_stuck: whether it takes no further calls, although some may still be answered.
        ended: is done when it is closed.
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
        # Calls in the order in which they were made: how many, and the last that was answered.
        self._made = 0
        self._answered = 0
        self._transport: AsyncTransport | None = None
        # Of the last response.
        self._response_class: type[Any] | None = None
        self._batch: list[bytes] = []
        # One timer for all calls, for the earliest of their ends that was known when it was set.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether a call may be put on it."""
        transport = self._transport
        return not self.is_lost and not self.is_stuck and transport is not None and not transport.is_closing

    @property
    def takes_calls(self) -> bool:
        """Whether another call may be put on it. Cancelled calls occupy room until they are answered."""
        # Whether the transport is about to close is asked last, by `is_settled`.
        if self.is_lost or self.is_stuck or self._transport is None:
            return False
        connection = self._connection
        return len(self.leases) + connection.cancelled < connection.capabilities.max_in_flight

    @property
    def is_retired(self) -> bool:
        """Whether it was opened and will never take another call."""
        return self._transport is not None and not self.is_usable

    @property
    def is_settled(self) -> bool:
        """Whether it is usable, and nothing has arrived that the event loop has not heard of: see `settle`."""
        transport = self._transport
        if self.is_lost or self.is_stuck or transport is None or transport.is_closing:
            return False
        return bool(self._answers) or transport.is_quiet()

    @property
    def is_used_up(self) -> bool:
        """Whether it will never take another call."""
        return self.is_lost or self.is_stuck

    def dispose(self) -> None:
        """Close the connection when no call is left on it."""
        self.is_stuck = True
        self._close_if_done()

    async def open(self, open: Open, connection: ClientConnection) -> None:
        """Make the connection. Raises `OSError`."""
        self._connection = connection
        self._transport = await open(self._received, self._lost)

    async def settle(self) -> None:
        """If it is idle: let the loop hear what has arrived, as it is the end of the connection perhaps."""
        # Reading is due after one round of the loop, and has happened after two.
        for _ in range(_ROUNDS):
            if self._answers or not self.is_usable or self._transport is None or self._transport.is_quiet():
                return
            await asyncio.sleep(0)

    async def answers(self, call: Call, ping_timeout: float) -> bool:
        """Whether the server answers a ping, so that `call` may follow."""
        with contextlib.suppress(RpcError):
            await self.exchange(ping_before(call, ping_timeout))
        if self.is_usable:
            return True
        self.is_stuck = True
        self._close_if_done()
        return False

    async def exchange(self, call: Call) -> Any:
        """Make `call`."""
        transport = self._transport
        assert transport is not None
        if transport.is_blocked:
            await self._drain(transport, call)
        if call.method is PING:
            number, data = self._connection.ping()
        else:
            metadata, context = self._peer.metadata_of(call, self._connection.capabilities)
            number, data = self._connection.request(call.method, call.arguments, metadata, context)
        self._write(transport, data)
        if call.method.is_oneway:
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
        """Send now what is alone; calls that are made in the same round leave in one piece."""
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
        """Wake up when the time of `call` is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = call.deadline.at
        self._timer = self.loop.call_later(max(call.deadline.remaining(call.driver.now()), 0.0), self._expire)

    def _expire(self) -> None:
        """Give up the calls whose time is over."""
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
        """A connection that takes no more calls is of no use after its last answer."""
        if not self.is_stuck or self._answers or self._transport is None:
            return
        if self._transport.is_blocked:
            self._transport.abort()  # what it would send first is not taken
        else:
            self._transport.close()

    def _received(self, data: bytes, events: Sequence[Any] | None = None) -> None:
        event: Any
        for event in self._connection.receive_data(data) if events is None else events:
            # `isinstance` of a msgspec struct costs more than all the rest here.
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
        """Handle an event that is not a response. Returns whether the connection goes on."""
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
        """No answer will come any more."""
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answers and not self._answered:
            self._peer.reconsider()
        for answer, call, _ in self._answers.values():
            if not answer.done():
                if isinstance(error, RemoteProtocolError):
                    answer.set_exception(broken(call, error))
                else:
                    answer.set_exception(lost(call, error, self._peer))
        self._answers.clear()

    async def close(self) -> None:
        """Close the connection."""
        if self._transport is None:
            return
        self._flush()
        self._fail(None)
        self._transport.close()
        try:
            async with asyncio.timeout(_CLOSE_PATIENCE):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self._transport.abort()
