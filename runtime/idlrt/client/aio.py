"""Transport of asyncio clients: a connection pool with many calls at once on each connection.

`idlrt.client.connection_pool` decides which connection a call gets. New ones are opened by tasks, for all calls that
wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from functools import partial
from typing import Any

from idlrt.client.aio_link import Link, Lost, Open, Received
from idlrt.client.backoff import Backoff
from idlrt.client.connection_pool import ConnectionPool, Lease
from idlrt.client.options import MAX_CONNECTIONS
from idlrt.client.peer_state import PROBE_PAUSE, PeerState
from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.protocol_probe import ProtocolUnknown, find_protocol
from idlrt.client.sender import client_closed, connect_failed, no_room, reason
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, RpcError
from idlrt.protocol import ClientProtocol

__all__ = ["Lost", "MultiplexedSender", "Open", "Received"]

Connecting = asyncio.Task[None]


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
        self._ping_after = ping_after
        self._ping_timeout = ping_timeout
        self._pool = ConnectionPool(
            partial(Link, peer),
            max_connections=max_connections,
            calls_per_connection=min(calls_per_connection, peer.max_in_flight),
            ping_after=ping_after,
            is_background=True,
        )
        self._backoff = Backoff()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    def _reset(self) -> None:
        self._pool.renew()
        # All that are not lost, also those that take no further calls.
        self._links: set[Link] = set()
        self._connecting: set[Connecting] = set()

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
        lease = _Lease()
        try:
            link = await self._acquire(lease, call, loop)
            return await link.exchange(call)
        finally:
            self._pool.release(lease, call.driver.now() if self._ping_after is not math.inf else 0.0)

    async def _acquire(self, lease: _Lease, call: Call, loop: asyncio.AbstractEventLoop) -> Link:
        """Return a connection for `call`, which occupies room on it until it is released."""
        while True:
            if self._pool.is_closed:
                raise client_closed(call)
            if not self._pool.acquire(lease, call.driver.now()):
                await self._wait(lease, call, loop)
            link = lease.connection
            assert link is not None
            if not link.needs_ping and link.is_settled and not self._pool.is_closed:
                return link
            is_ready = False
            try:
                is_ready = await self._is_ready(link, call)
            finally:
                if not is_ready and (link.needs_ping or not link.is_usable):
                    self._pool.discard(link, call.driver.now())
            if is_ready:
                if link.needs_ping:
                    self._pool.make_available(link, call.driver.now())
                return link
            if link.needs_ping:
                self._pool.close_idle()  # they have been idle for longer
            self._pool.release(lease, call.driver.now())

    async def _is_ready(self, link: Link, call: Call) -> bool:
        """Return whether `call` may be put on a connection that was idle."""
        await link.settle()
        if not link.is_usable or self._pool.is_closed:
            return False
        return not link.needs_ping or await link.answers(call, self._ping_timeout)

    async def _wait(self, lease: _Lease, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for a connection.

        Raises:
            NotSent: the client is closed.
            Overloaded: there was no room in time.
            ConnectFailed: no connection could be made.
        """
        seconds = max(call.deadline.remaining(call.driver.now()), 0.0)
        try:
            async with asyncio.timeout(seconds):
                while not self._pool.acquire(lease, call.driver.now()):
                    if self._pool.is_closed:
                        raise client_closed(call)
                    self._open_more(lease, call, loop)
                    await lease.wait(loop)
        except TimeoutError as error:
            # Of the call's time, or what `_made` says of the connection's.
            if not lease.is_turned_away and any(link.is_usable for link in self._links):
                raise no_room(call, self._max) from None
            raise connect_failed(call, error, min(seconds, self._connect_timeout), self._peer) from error
        except OSError as error:
            raise connect_failed(call, error, min(seconds, self._connect_timeout), self._peer) from error

    def _open_more(self, lease: _Lease, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Open a connection, if the calls that wait need another one."""
        link = self._pool.reserve()
        if link is None:
            return
        try:
            self._backoff.check(call)
        except ConnectFailed:
            now = call.driver.now()
            self._pool.discard(link, now)
            self._pool.release(lease, now)
            self._pool.wake_first()  # the next one is told the same
            raise
        task = loop.create_task(self._make(link, call))
        self._connecting.add(task)
        task.add_done_callback(self._made)

    async def _make(self, link: Link, call: Call) -> None:
        """Make a connection, for `call` and others."""
        try:
            await self._connect(link, self._peer.protocol or await self._find_protocol(call))
        except BaseException as error:
            if isinstance(error, OSError):
                self._backoff.failed(connect_failed(call, error, self._connect_timeout, self._peer))
            self._pool.discard(link, call.driver.now())
            raise
        self._backoff.succeeded()
        self._links.add(link)
        link.ended.add_done_callback(lambda _: self._links.discard(link))
        if link.is_lost:
            self._links.discard(link)
        self._pool.make_available(link, call.driver.now())

    async def _connect(self, link: Link, protocol: ClientProtocol) -> None:
        async with asyncio.timeout(self._connect_timeout):
            await link.open(self._open, protocol.connect(self._service))

    async def _find_protocol(self, call: Call) -> ClientProtocol:
        peer = self._peer
        # Calls of a blocking client and the pings of its instances share what is known of a server.
        while (lease := peer.begin_probing()) is None:
            await asyncio.sleep(PROBE_PAUSE)
        try:
            return peer.protocol or await find_protocol(peer, call, self._ask)
        finally:
            del lease

    async def _ask(self, protocol: ClientProtocol, ping: Call) -> str:
        """See `Ask`."""
        link = Link(self._peer)
        await self._connect(link, protocol)
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
        if error is not None and not any(link.is_usable for link in self._links):
            self._pool.turn_away(self._pool.calls_per_connection, error)
        self._pool.wake_first()

    def found_again(self) -> None:
        """See `AsyncSender.found_again`."""
        self._backoff.succeeded()

    def connections(self) -> int:
        """See `AsyncSender.connections`."""
        return len(self._links) + len(self._connecting)

    def stats(self) -> PoolStats:
        """Return the statistics."""
        in_flight = sum(len(link.leases) for link in self._links)
        return self._peer.stats(self.connections(), in_flight, self._pool.waiting)

    def retire(self) -> None:
        """Close connections when the calls in flight have ended; new ones are refused. Any thread may call it."""
        self._pool.is_closed = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed, and the connections with it
                self._loop.call_soon_threadsafe(self._pool.close)

    async def close(self) -> None:
        """See `AsyncSender.close`."""
        self._pool.is_closed = True
        if self._loop is not asyncio.get_running_loop():
            return  # what belongs to another loop cannot be closed from this one
        for task in list(self._connecting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
        links, self._links = self._links, set()
        self._pool.close()
        for link in links:
            await link.close()


class _Lease(Lease[Link]):
    """The claim of a call whose task waits.

    Attributes:
        is_turned_away: whether it waits no longer, because no connection could be made.
    """

    __slots__ = ("_waiter", "is_turned_away")

    def __init__(self) -> None:
        # What `Lease` sets as well: one is made for each call.
        self.connection = None
        self.is_fresh = False
        self._waiter: asyncio.Future[None] | None = None
        self.is_turned_away = False

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until `wake`, or raise the error that `turn_away` is given."""
        self._waiter = loop.create_future()
        await self._waiter

    def wake(self) -> None:
        """Wake the task."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def turn_away(self, error: BaseException) -> None:
        """Wake the task with an error."""
        if self._waiter is not None and not self._waiter.done():
            self.is_turned_away = True
            self._waiter.set_exception(error)
