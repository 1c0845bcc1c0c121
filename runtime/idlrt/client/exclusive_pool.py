"""Connection pool without I/O whose connections carry one call at a time; see `idlrt.client.connection_pool`."""

from __future__ import annotations

from typing import TypeVar
from weakref import ref

from idlrt.client.connection_pool import ConnectionPool, Lease, PoolConnection

__all__ = ["ExclusivePool"]

C = TypeVar("C", bound=PoolConnection)


class ExclusivePool(ConnectionPool[C]):
    """Pool of connections that carry one call at a time.

    A connection in use is referenced by its call only, so that it is closed when the call is interrupted and the
    exception is dropped. Taking an idle connection and giving it back need no lock: they pop from and append to a list.
    """

    def acquire_idle(self, now: float) -> C | None:
        """Return an idle connection, unless other calls wait for one."""
        return None if self._queue else self._pick(now, is_fresh=False)

    def give_back(self, connection: C, now: float) -> None:
        """Make a connection idle after its call."""
        connection.idle_since = now
        self._available.append(connection)
        # In this order: a call checks for idle connections after it has entered the queue.
        if self._queue or self.is_closed:
            with self._lock:
                self._settle(now)

    def release(self, lease: Lease[C], now: float) -> None:
        """End the wait of a call. A connection granted to it becomes idle, or is closed if it was not opened."""
        with self._lock:
            self._queue.pop(ref(lease), None)
            connection, lease.connection = lease.connection, None
            if connection is not None:
                if connection.takes_calls:
                    self._available.append(connection)
                else:
                    self._drop(connection)
            self._settle(now)

    @property
    def in_flight(self) -> int:
        """Number of calls that have a connection."""
        return max(len(self._places) - len(self._available), 0)

    def _pick(self, now: float, *, is_fresh: bool) -> C | None:
        while True:
            try:
                connection = self._available.pop()
            except IndexError:
                return None
            if not is_fresh and not connection.is_stale():
                connection.needs_ping = now - connection.idle_since > self._ping_after
                return connection
            self._drop(connection)

    def _drop_idle(self) -> None:
        self._pick(0.0, is_fresh=True)

    def _grant(self, lease: Lease[C], connection: C) -> None:
        lease.connection = connection

    def _reclaim(self) -> None:
        """Do nothing: reference counts free all places."""
