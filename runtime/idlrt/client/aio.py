"""The leaf for asyncio: a bounded pool of connections, each of which carries many calls at once.

A connection is made by the first call, and by a later one that finds none with room. Calls for which there is no room
wait in their order. One that has been idle for long is asked for first (`idlrt.client.ping`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from typing import Any, Final

from idlrt.client.aio_link import Link, Lost, Open, Received
from idlrt.client.backoff import Backoff
from idlrt.client.options import MAX_CONNECTIONS
from idlrt.client.peer_state import PeerState
from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.protocol_probe import ProtocolUnknown, find_protocol
from idlrt.client.sender import client_closed, connect_failed, no_room, reason
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, RpcError
from idlrt.protocol import ClientProtocol

__all__ = ["Lost", "MultiplexedSender", "Open", "Received"]

Connecting = asyncio.Task[None]

# Seconds between two looks at whether another thread or event loop has found out what the server reads.
_PROBE_PAUSE: Final = 0.01


class MultiplexedSender:
    """See the module. An `AsyncSender`. Belongs to the event loop that uses it; another loop gets other connections.

    Args:
        open: makes a connection.
        peer: what is known of the server, and its protocol.
        service: the name of the service among several that the server has; empty for a server that has one.
        connect_timeout: seconds that making a connection may take.
        max_connections: that take calls at the same time; `None`: 1, or 16 where a connection of the protocol carries
            one call at a time.
        calls_per_connection: that may be under way on each; a call for which there is no room waits.
        ping_after: seconds for which a connection may have been idle before its server is asked whether it is there.
        ping_timeout: seconds to wait for the response to such a ping.
    """

    def __init__(
        self,
        open: Open,
        peer: PeerState,
        service: str = "",
        *,
        connect_timeout: float,
        max_connections: int | None = None,
        calls_per_connection: int = 4096,
        ping_after: float = math.inf,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        self._open = open
        self._peer = peer
        self._service = service
        self._connect_timeout = connect_timeout
        if max_connections is None:
            max_connections = MAX_CONNECTIONS if peer.max_in_flight == 1 else 1
        self._max = max_connections
        self._most = min(calls_per_connection, peer.max_in_flight)
        self._ping_after = ping_after
        self._ping_timeout = ping_timeout
        self._is_closed = self._is_retired = False
        self._backoff = Backoff()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    def _reset(self) -> None:
        # All that are not lost, also those that take no further calls.
        self._links: list[Link] = []
        self._connecting: set[Connecting] = set()
        # Of calls without a connection. Each is woken to look again, or is told why there will be none.
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def carries_metadata(self) -> bool:
        """See `BlockingSender.carries_metadata`."""
        return self._peer.carries_metadata

    async def send(self, call: Call) -> Any:
        """See `AsyncSender.send`."""
        if call.metadata:
            self._peer.check_metadata(call)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What belongs to a loop that does not run cannot be closed, or waited for, from another one.
            self._loop = loop
            self._reset()
        link = await self._take(call, loop)
        try:
            return await link.exchange(call)
        finally:
            self._give_back(link)

    async def _take(self, call: Call, loop: asyncio.AbstractEventLoop) -> Link:
        """A connection with room for `call`, which is counted on it from now on."""
        is_first = True
        while True:
            if self._is_closed:
                raise client_closed(call)
            # Who has just come stands behind those who wait.
            link = self._least_busy() if not (is_first and self._waiting) else None
            if link is None:
                await self._wait(call, loop, is_first=is_first)
                is_first = False
                continue
            link.claimed += 1
            if link.claimed > 1:
                return link
            is_good = False
            try:
                is_good = await self._try_out(link, call)
            finally:
                if not is_good:
                    self._give_back(link)
            if is_good:
                return link

    async def _try_out(self, link: Link, call: Call) -> bool:
        """Whether `call` may be put on a connection that was idle."""
        await link.settle()
        if not link.is_usable or self._is_closed:
            return False
        if self._ping_after is math.inf or call.driver.now() - link.idle_since <= self._ping_after:
            return True
        link.is_asked = True
        try:
            return await link.answers(call, self._ping_timeout)
        finally:
            link.is_asked = False
            self._wake(self._most)

    def _least_busy(self) -> Link | None:
        """The connection for the next call, if there is one with room."""
        best: Link | None = None
        for link in self._links:
            if link.is_usable and not link.is_asked and link.claimed < self._most and not link.is_full:
                if not link.claimed:
                    return link
                if best is None or link.claimed < best.claimed:
                    best = link
        return best

    async def _wait(self, call: Call, loop: asyncio.AbstractEventLoop, *, is_first: bool) -> None:
        """Wait until there may be room. Who has waited before keeps its place."""
        self._links = [link for link in self._links if not link.is_lost]
        room = self._max - len(self._connecting) - sum(link.is_usable for link in self._links)
        # Each connection that is being made has so much room.
        if room > 0 and len(self._waiting) >= len(self._connecting) * self._most:
            try:
                self._backoff.check(call)
            except ConnectFailed:
                self._wake()  # the next one is told the same
                raise
            task = loop.create_task(self._make(call))
            self._connecting.add(task)
            task.add_done_callback(self._made)
        waiter: asyncio.Future[None] = loop.create_future()
        if is_first:
            self._waiting.append(waiter)
        else:
            self._waiting.appendleft(waiter)
        seconds = max(call.deadline.remaining(call.driver.now()), 0.0)
        is_woken = False
        try:
            async with asyncio.timeout(seconds):
                await waiter
            is_woken = True
        except TimeoutError as error:
            # Of the call's time, or what `_made` says of the connection's.
            if waiter.cancelled() and any(link.is_usable for link in self._links):
                raise no_room(call, self._max) from None
            raise connect_failed(call, error, min(seconds, self._connect_timeout), self._peer) from error
        except OSError as error:
            raise connect_failed(call, error, min(seconds, self._connect_timeout), self._peer) from error
        finally:
            if not is_woken:
                self._leave(waiter)

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        """Somebody does not wait any longer."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.cancelled() and waiter.exception() is None:
            self._wake()  # it was its turn

    async def _make(self, call: Call) -> None:
        """Make a connection, for `call` and others."""
        try:
            link = await self._connect(self._peer.protocol or await self._find_protocol(call))
        except OSError as error:
            self._backoff.failed(connect_failed(call, error, self._connect_timeout, self._peer))
            raise
        self._backoff.succeeded()
        if self._is_closed:
            await link.close()
            return
        link.idle_since = call.driver.now()
        self._links.append(link)

    async def _connect(self, protocol: ClientProtocol) -> Link:
        link = Link(protocol.connect(self._service), self._peer)
        async with asyncio.timeout(self._connect_timeout):
            await link.open(self._open)
        return link

    async def _find_protocol(self, call: Call) -> ClientProtocol:
        peer = self._peer
        # Calls of a blocking client and the pings of its instances share what is known of a server.
        while not peer.try_probing():
            await asyncio.sleep(_PROBE_PAUSE)
        try:
            return peer.protocol or await find_protocol(peer, call, self._ask)
        finally:
            peer.end_probing()

    async def _ask(self, protocol: ClientProtocol, ping: Call) -> str:
        """See `Ask`."""
        link = await self._connect(protocol)
        try:
            await link.exchange(ping)
        except ConnectFailed as error:
            raise ProtocolUnknown(str(error.__cause__ or error)) from error
        except DeadlineExceeded:
            return f"no answer within {ping.deadline.timeout:.3g} s"
        except ConnectionLost:
            return reason(None)
        except RpcError as error:
            return str(error)
        finally:
            await link.close()
        return ""

    def _made(self, task: Connecting) -> None:
        """A connection has been made, or has not."""
        self._connecting.discard(task)
        error = task.exception() if not task.cancelled() else None
        if error is None or any(link.is_usable for link in self._links):
            self._wake(self._most)
            return
        for waiter in [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]:
            if not waiter.done():
                waiter.set_exception(error)
        self._wake()

    def _give_back(self, link: Link) -> None:
        link.claimed -= 1
        if not link.claimed and self._ping_after is not math.inf:
            link.idle_since = link.loop.time()
        if self._waiting:
            self._wake()
        elif self._is_retired:
            self._close_idle()

    def _wake(self, count: int = 1) -> None:
        """Let the first of those who wait look again."""
        while count > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def found_again(self) -> None:
        """See `AsyncSender.found_again`."""
        self._backoff.succeeded()

    def connections(self) -> int:
        """See `AsyncSender.connections`."""
        return len(self._links) + len(self._connecting)

    def stats(self) -> PoolStats:
        """See `AsyncSender.stats`."""
        in_flight = sum(link.claimed for link in self._links)
        return self._peer.stats(self.connections(), in_flight, len(self._waiting))

    def retire(self) -> None:
        """See `AsyncSender.retire`. Any thread may call it."""
        self._is_closed = self._is_retired = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed, and the connections with it
                self._loop.call_soon_threadsafe(self._retire)

    def _retire(self) -> None:
        self._wake(len(self._waiting))
        self._close_idle()

    def _close_idle(self) -> None:
        for link in self._links:
            if not link.claimed:
                link.abandon()

    async def close(self) -> None:
        """See `AsyncSender.close`."""
        self._is_closed = True
        if self._loop is not asyncio.get_running_loop():
            return  # what belongs to another loop cannot be closed from this one
        for task in list(self._connecting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
        self._wake(len(self._waiting))
        links, self._links = self._links, []
        for link in links:
            await link.close()
