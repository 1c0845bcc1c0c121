"""Transport of asyncio clients: a connection pool that multiplexes calls on each connection.

`idlrt.client.connection_pool` decides which connection a call gets. New connections are opened by background tasks, for
all waiting calls.
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
from idlrt.client.errors import client_closed, connect_failed, pool_exhausted, reason
from idlrt.client.measuring import record_connect
from idlrt.client.options import MAX_CONNECTIONS
from idlrt.client.peer_state import PROBE_PAUSE, PeerState
from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.protocol_probe import ProtocolUnknown, find_protocol
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, RpcError
from idlrt.protocol import ClientProtocol

__all__ = ["Lost", "MultiplexedTransport", "Open", "Received"]

Connecting = asyncio.Task[None]


class MultiplexedTransport:
    """Asyncio transport to one server. It belongs to one event loop; a call from another loop gets new connections.

    Args:
        open: opens a connection.
        peer: state of the server, with its protocol.
        service: name of the service on a server with several services; empty for a server with one.
        connect_timeout: timeout for establishing a connection, in seconds.
        max_connections: maximum number of connections that accept calls. `None`: 1, or 16 with protocols that carry one
            call at a time per connection.
        calls_per_connection: maximum number of calls in flight on each; further calls wait.
        ping_after: idle time after which a connection is checked with a ping before its next call, in seconds.
        ping_timeout: timeout of such a ping, in seconds.
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
        self._pool.after_fork()
        # All open connections, including those that accept no further calls.
        self._links: set[Link] = set()
        self._connecting: set[Connecting] = set()

    @property
    def carries_metadata(self) -> bool:
        return self._peer.carries_metadata

    async def send(self, call: Call) -> Any:
        if call.metadata:
            self._peer.check_metadata(call)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Connections of a loop that does not run can be neither closed nor awaited from another one.
            self._loop = loop
            self._reset()
        lease = _Lease()
        try:
            link = await self._acquire(lease, call, loop)
            return await link.exchange(call)
        finally:
            self._pool.release(lease, call.driver.now() if self._ping_after is not math.inf else 0.0)

    async def _acquire(self, lease: _Lease, call: Call, loop: asyncio.AbstractEventLoop) -> Link:
        """Return a connection for `call`. The lease occupies capacity on it until it is released."""
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
                self._pool.close_idle()  # they have been idle even longer
            self._pool.release(lease, call.driver.now())

    async def _is_ready(self, link: Link, call: Call) -> bool:
        """Return whether `call` may be sent over a connection that was idle."""
        await link.settle()
        if not link.is_usable or self._pool.is_closed:
            return False
        return not link.needs_ping or await link.answers(call, self._ping_timeout)

    async def _wait(self, lease: _Lease, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for a connection.

        Raises:
            NotSent: the client is closed.
            Overloaded: all connections were in use until the deadline.
            ConnectFailed: no connection could be established.
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
            # Either the deadline of the call, or the connect timeout, which `_made` passes on.
            if not lease.has_failed and any(link.is_usable for link in self._links):
                raise pool_exhausted(call, self._max) from None
            raise connect_failed(call, error, min(seconds, self._connect_timeout), self._peer) from error
        except OSError as error:
            raise connect_failed(call, error, min(seconds, self._connect_timeout), self._peer) from error

    def _open_more(self, lease: _Lease, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Open a connection in the background if the waiting calls need another one."""
        link = self._pool.reserve()
        if link is None:
            return
        try:
            self._backoff.check(call)
        except ConnectFailed:
            now = call.driver.now()
            self._pool.discard(link, now)
            self._pool.release(lease, now)
            self._pool.wake_first()  # it fails in the same way
            raise
        task = loop.create_task(self._make(link, call))
        self._connecting.add(task)
        task.add_done_callback(self._made)

    async def _make(self, link: Link, call: Call) -> None:
        """Open a connection, for `call` and other waiting calls."""
        began = call.driver.now()
        try:
            await self._connect(link, self._peer.protocol or await self._find_protocol(call))
        except BaseException as error:
            if isinstance(error, OSError):
                record_connect(call, call.driver.now() - began, error)
                self._backoff.failed(connect_failed(call, error, self._connect_timeout, self._peer))
            self._pool.discard(link, call.driver.now())
            raise
        record_connect(call, call.driver.now() - began)
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
        # The state of a server is shared by the calls of a blocking client and the pings of its endpoints.
        while (lease := peer.begin_probing()) is None:
            await asyncio.sleep(PROBE_PAUSE)
        try:
            return peer.protocol or await find_protocol(peer, call, self._probe)
        finally:
            del lease

    async def _probe(self, protocol: ClientProtocol, ping: Call) -> str:
        link = Link(self._peer)
        await self._connect(link, protocol)
        try:
            await link.exchange(ping)
        except ConnectFailed as error:
            raise ProtocolUnknown(str(error.__cause__ or error)) from error
        except DeadlineExceeded:
            return f"no response within {ping.deadline.timeout:.3g} s"
        except ConnectionLost:
            return reason(None)
        except RpcError as error:
            return str(error)
        finally:
            await link.close()
        return ""

    def _made(self, task: Connecting) -> None:
        """Wake waiting calls after a connection was opened, or failed to open."""
        self._connecting.discard(task)
        error = task.exception() if not task.cancelled() else None
        if error is not None and not any(link.is_usable for link in self._links):
            self._pool.fail_waiting(self._pool.calls_per_connection, error)
        self._pool.wake_first()

    def reset_backoff(self) -> None:
        self._backoff.succeeded()

    def connections(self) -> int:
        # A task that is done has added its connection; its callback, which removes it, runs a moment later.
        return len(self._links) + sum(not task.done() for task in self._connecting)

    def stats(self) -> PoolStats:
        """Return connection statistics."""
        in_flight = sum(len(link.leases) for link in self._links)
        return self._peer.stats(self.connections(), in_flight, self._pool.waiting)

    def retire(self) -> None:
        """Close the connections once the calls in flight have finished. Any thread may call it."""
        self._pool.is_closed = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed, and the connections with it
                self._loop.call_soon_threadsafe(self._pool.close)

    async def close(self) -> None:
        """Close the connections. Calls in flight fail; new ones are rejected."""
        self._pool.is_closed = True
        if self._loop is not asyncio.get_running_loop():
            return  # connections of another loop cannot be closed from this one
        for task in list(self._connecting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
        links, self._links = self._links, set()
        self._pool.close()
        for link in links:
            await link.close()


class _Lease(Lease[Link]):
    """Claim of a call to a connection, for which its task waits.

    Attributes:
        has_failed: whether the wait has failed, because no connection could be opened.
    """

    __slots__ = ("_waiter", "has_failed")

    def __init__(self) -> None:
        # Attributes of `Lease`, without `super().__init__()`: this runs for each call.
        self.connection = None
        self.is_fresh = False
        self._waiter: asyncio.Future[None] | None = None
        self.has_failed = False

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until `wake`, or raise the error of `fail_waiting`."""
        self._waiter = loop.create_future()
        await self._waiter

    def wake(self) -> None:
        """Wake the task."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail_waiting(self, error: BaseException) -> None:
        """Wake the task with an error."""
        if self._waiter is not None and not self._waiter.done():
            self.has_failed = True
            self._waiter.set_exception(error)
