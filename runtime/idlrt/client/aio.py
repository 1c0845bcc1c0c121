"""The leaf for asyncio: one connection that carries any number of calls at once, told apart by number.

The connection is made by the first call, and again by the first call after it was lost. A call that is
cancelled or out of time is forgotten; its answer, when it comes, is dropped, and the others never notice.

Many servers answer in the order of the calls, so one that hangs holds up all that come after it. When a call
runs out of time and none that was made later has been answered, the connection is *stuck*: calls under way
on it may still be answered, further ones get a new connection. The same goes for one whose server says that it is
about to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from idlrt.client.backoff import Backoff
from idlrt.client.sender import (
    broken,
    client_closed,
    connect_failed,
    deadline_exceeded,
    lost,
    metadata_of,
    result_of,
)
from idlrt.core import Call, is_draining
from idlrt.errors import RemoteProtocolError
from idlrt.net.aio import AsyncTransport
from idlrt.wire.connection import ClientConnection
from idlrt.wire.dialect import Dialect
from idlrt.wire.events import ReplyReceived, StreamBroken

__all__ = ["MultiplexedSender", "Open"]

Received = Callable[[bytes], None]
Lost = Callable[[Exception | None], None]
Open = Callable[[Received, Lost], Awaitable[AsyncTransport]]
"""Makes a connection; what the server sends and its end go to the two functions. Raises `OSError`."""

_ROUNDS = 3
_CLOSE_PATIENCE = 1.0
# Seconds that a timer may fire too early.
_PRECISION = 0.001
# A server that leaves so many calls unanswered is not going to answer; a new connection may help.
_MAX_FORGOTTEN = 4096


class _Link:
    """One connection and the calls that are on it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_lost = False
        self.is_stuck = False
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._connection = connection
        self._answers: dict[int, tuple[asyncio.Future[ReplyReceived], Call, int]] = {}
        # Calls in the order in which they were made: how many, and the last that was answered.
        self._made = 0
        self._answered = 0
        self._transport: AsyncTransport | None = None
        self._batch: list[bytes] = []
        # One timer for all calls, for the earliest of their ends that was known when it was set.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether a call may be put on it."""
        transport = self._transport
        return not self.is_lost and not self.is_stuck and transport is not None and not transport.is_closing

    async def open(self, open: Open) -> None:
        """Make the connection. Raises `OSError`."""
        self._transport = await open(self._received, self._lost)

    async def settle(self) -> None:
        """If it is idle: let the loop hear what has arrived, as it is the end of the connection perhaps."""
        # Reading is due after one round of the loop, and has happened after two.
        for _ in range(_ROUNDS):
            if self._answers or not self.is_usable or self._transport is None or self._transport.is_quiet():
                return
            await asyncio.sleep(0)

    async def exchange(self, call: Call) -> Any:
        """Make `call`."""
        transport = self._transport
        assert transport is not None
        if transport.is_blocked:
            await self._drain(transport, call)
        metadata = metadata_of(call, self._connection.dialect)
        number, data = self._connection.call(call.method, call.arguments, metadata)
        self._write(transport, data)
        if call.method.is_oneway:
            if transport.is_blocked:
                await self._drain(transport, call)
            return None
        answer: asyncio.Future[ReplyReceived] = self.loop.create_future()
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
                answer.set_exception(deadline_exceeded(call))
        if self._answers:
            self._set_timer(min((call for _, call, _ in self._answers.values()), key=lambda each: each.deadline.at))

    def _forget(self, number: int) -> None:
        self._connection.forget(number)
        if self._connection.forgotten > _MAX_FORGOTTEN:
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

    def _received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            if isinstance(event, StreamBroken):
                self._fail(event.error)
                assert self._transport is not None
                self._transport.abort()
                return
            waiting = self._answers.pop(event.sequence_id, None)
            if waiting is not None:
                answer, _, order = waiting
                self._answered = max(self._answered, order)
                if not answer.done():
                    answer.set_result(event)
            if is_draining(event.metadata):
                self.is_stuck = True
        if self.is_stuck:
            self._close_if_done()

    def _lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._fail(error)
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, error: Exception | None) -> None:
        """No answer will come any more."""
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for answer, call, _ in self._answers.values():
            if not answer.done():
                if isinstance(error, RemoteProtocolError):
                    answer.set_exception(broken(call, error))
                else:
                    answer.set_exception(lost(call, error))
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


class MultiplexedSender:
    """See the module. An `AsyncSender`. Belongs to the event loop that uses it; another loop gets another connection.

    Args:
        open: makes a connection.
        dialect: what to speak.
        service: the name of the service among several that the server has; empty for a server that has one.
        connect_timeout: seconds that making a connection may take.
    """

    def __init__(self, open: Open, dialect: Dialect, service: str = "", *, connect_timeout: float) -> None:
        self._open = open
        self._dialect = dialect
        self._service = service
        self._connect_timeout = connect_timeout
        self._is_closed = False
        self._link: _Link | None = None
        self._retired: set[_Link] = set()
        self._connecting: asyncio.Task[_Link] | None = None
        self._backoff = Backoff()
        # The try to connect that was the last to count as a failure.
        self._counted: asyncio.Task[_Link] | None = None

    async def send(self, call: Call) -> Any:
        """See `AsyncSender.send`."""
        link, loop = self._link, asyncio.get_running_loop()
        if link is not None and link.loop is loop:
            await link.settle()
        if self._is_closed:
            raise client_closed(call)
        link = self._link
        if link is None or not link.is_usable or link.loop is not loop:
            link = await self._connect(call)
        return await link.exchange(call)

    async def _connect(self, call: Call) -> _Link:
        """The connection, which everybody who needs it waits for."""
        task = self._connecting
        loop = asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            self._backoff.check(call)
            task = self._connecting = loop.create_task(self._make())
            task.add_done_callback(_look_at)
        seconds = min(self._connect_timeout, call.deadline.remaining(call.driver.now()))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except OSError as error:
            failure = connect_failed(call, error, max(seconds, 0.0))
            if task.done() and self._counted is not task:
                self._counted = task  # of those who waited for it the first one counts
                self._backoff.failed(failure)
            raise failure from error
        except asyncio.CancelledError:
            if task.cancelled() and self._is_closed:
                raise client_closed(call) from None  # it is not the caller who was cancelled
            raise

    async def _make(self) -> _Link:
        async with asyncio.timeout(self._connect_timeout):
            link = _Link(ClientConnection(self._dialect, self._service))
            await link.open(self._open)
        self._backoff.succeeded()
        if self._is_closed:
            await link.close()
        if self._link is not None and self._link.is_stuck:
            self._retired.add(self._link)
        self._retired = {each for each in self._retired if not each.is_lost}
        self._link = link
        return link

    async def close(self) -> None:
        """See `AsyncSender.close`."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        if self._connecting is not None and self._connecting.get_loop() is loop:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await self._connecting
        links = [*self._retired, *([self._link] if self._link is not None else [])]
        self._retired, self._link = set(), None
        for link in links:
            if link.loop is loop:
                await link.close()


def _look_at(task: asyncio.Task[_Link]) -> None:
    """Nobody may be left who waits for it."""
    if not task.cancelled():
        task.exception()
