"""Transport of blocking clients that multiplexes calls: a pool of connections that threads share."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

from idlrt.client.blocking_pool import BlockingPool
from idlrt.client.connection_pool import ConnectionPool
from idlrt.client.connector import Connector
from idlrt.client.errors import not_sent
from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.shared_link import Link, StaleLink, Waiter
from idlrt.core import Call

__all__ = ["SharedTransport"]


class SharedTransport(BlockingPool[Link]):
    """Blocking transport to one server, with shared connections.

    Args:
        connector: opens connections.
        max_connections: maximum number of connections.
        calls_per_connection: maximum number of calls in flight on each; further calls wait.
        ping_after: idle time after which a connection is checked with a ping before its next call, in seconds.
        ping_timeout: timeout of such a ping, in seconds.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        max_connections: int,
        calls_per_connection: int,
        ping_after: float = math.inf,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        pool = ConnectionPool(
            partial(Link, connector.peer),
            max_connections=max_connections,
            calls_per_connection=min(calls_per_connection, connector.peer.max_in_flight),
            ping_after=ping_after,
        )
        super().__init__(connector, pool, max_connections)
        self._ping_timeout = ping_timeout

    async def send(self, call: Call) -> Any:
        """Send `call` and return its result."""
        if call.metadata:
            self._peer.check_metadata(call)
        until = call.deadline.at
        is_fresh = False
        while True:
            waiter = Waiter()
            waiter.is_fresh = is_fresh
            try:
                return self._acquire(waiter, call, until).exchange(waiter, call, until)
            except StaleLink as stale:
                # Nothing was sent, so another connection is tried, but only once if the server closes them.
                if is_fresh and not stale.is_interrupted:
                    error = ConnectionResetError("the server closed the connection")
                    raise not_sent(call, error) from None
                is_fresh = is_fresh or not stale.is_interrupted
            finally:
                self._pool.release(waiter, time.monotonic())

    def _acquire(self, waiter: Waiter, call: Call, until: float) -> Link:
        """Return a connection for `call`. The lease occupies capacity on it until it is released."""
        while True:
            link = self._wait(waiter, call, until)
            if link.is_open and not link.needs_ping:
                return link
            is_ready = False
            try:
                is_ready = self._is_ready(link, call, until)
            finally:
                if not is_ready:
                    self._pool.discard(link, time.monotonic())
            if is_ready:
                self._pool.make_available(link, time.monotonic())
                return link
            # The others have been idle even longer.
            self._pool.release(waiter, time.monotonic())
            waiter.is_fresh = True

    def _is_ready(self, link: Link, call: Call, until: float) -> bool:
        """Open a connection, or ping the server after it was idle. Return whether calls may follow."""
        if link.is_open:
            return link.answers(call, self._ping_timeout)
        link.open(*self._connector.connect(call, until))
        return True
