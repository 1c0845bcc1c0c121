"""Blocking use of the connection pool: the common base of both transports of blocking clients.

The only synchronization primitives are `threading` locks and `queue.SimpleQueue`: their methods are written in C, so an
exception of a signal handler cannot leave them in an invalid state. `Condition`, `Event` and `Semaphore` are written in
Python.
"""

from __future__ import annotations

import contextlib
import time
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from idlrt.client.connection_pool import RECHECK_INTERVAL, ConnectionPool, Lease, PoolConnection
from idlrt.client.connector import Connector
from idlrt.client.errors import client_closed, pool_exhausted, superseded
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.core.forks import forks
from idlrt.core.races import is_cancelled

__all__ = ["BlockingLease", "BlockingPool"]

C = TypeVar("C", bound=PoolConnection)


class BlockingLease(Lease[C]):
    """Claim of a call to a connection, for which its thread waits."""

    __slots__ = ("_mailbox",)

    def __init__(self) -> None:
        super().__init__()
        self._mailbox: SimpleQueue[None] = SimpleQueue()

    def wake(self) -> None:
        """Wake the thread."""
        self._mailbox.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until `wake`, for at most `seconds` and at most `RECHECK_INTERVAL`."""
        with contextlib.suppress(Empty):  # the caller checks again
            self._mailbox.get(timeout=min(seconds, RECHECK_INTERVAL))


class BlockingPool(Generic[C]):
    """Base of the transports of blocking clients: waiting for a connection, statistics, forks and closing.

    Args:
        connector: opens connections.
        pool: decides which connection a call gets.
        max_connections: of the pool, for messages.
    """

    def __init__(self, connector: Connector, pool: ConnectionPool[C], max_connections: int) -> None:
        self._connector = connector
        self._peer = connector.peer
        self._pool = pool
        self._max = max_connections
        forks.register(self)

    def after_fork(self) -> None:
        """Forget all connections in a child of the process, without closing them: the sockets belong to the parent."""
        self._pool.after_fork()

    @property
    def carries_metadata(self) -> bool:
        """Whether metadata travels with calls."""
        return self._peer.carries_metadata

    def _wait(self, lease: BlockingLease[C], call: Call, until: float) -> C:
        """Wait for a connection for `call`, and return it.

        Raises:
            NotSent: the client is closed, or the result is no longer needed.
            Overloaded: all connections were in use until the deadline.
        """
        pool = self._pool
        now = time.monotonic()
        while not pool.acquire(lease, now):
            if pool.is_closed:
                raise client_closed(call)
            if now >= until:
                raise pool_exhausted(call, self._max)
            lease.wait(until - now)
            if is_cancelled():
                raise superseded(call)
            now = time.monotonic()
        connection = lease.connection
        assert connection is not None
        return connection

    def reset_backoff(self) -> None:
        """Reset the connection backoff: the server is reachable, so the next call tries to connect."""
        self._connector.backoff.succeeded()

    def connections(self) -> int:
        """Return the number of connections."""
        return self._pool.count

    def stats(self) -> PoolStats:
        """Return connection statistics."""
        pool = self._pool
        return self._peer.stats(pool.count, pool.in_flight, pool.waiting)

    def close(self) -> None:
        """Close the connections. Calls in flight finish first; new ones are rejected."""
        self._pool.close()
