"""Connection pool without I/O: decides which connection a call gets, for threads, shared connections and asyncio.

Transports open, ping and close connections as it decides, and block while a call waits. The rules:

- A call gets an idle connection, the most recently used one first; else the connection with the fewest calls that has
  capacity; else a new one, while there are fewer than `max_connections`; else it waits. Waiting calls are served in
  FIFO order.
- A stale idle connection is closed and not used. One that was idle for longer than `ping_after` is pinged first; no
  other call gets it meanwhile.
- A closed pool closes idle connections at once, the others when their calls have ended.

**Places are live objects; there are no counters.** A signal handler may raise an exception between any two bytecodes,
and then no code of the pool runs that would decrement a counter. So the pool holds connections in use, calls on
connections and waiting calls by weak references only. An object that an exception drops is deleted by its reference
count, and its place is free again: the callbacks of the weak references are methods written in C, which signal handlers
cannot interrupt. Every method leaves a valid state at every bytecode. At most a notification is lost, so waiting calls
check again after `RECHECK_INTERVAL` seconds. Regular errors release places explicitly, because programs keep
exceptions, whose tracebacks keep objects alive.

Source: the rules follow `_assign_requests_to_connections` of httpcore, https://github.com/encode/httpcore.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, TypeVar
from weakref import ref

__all__ = ["RECHECK_INTERVAL", "ConnectionPool", "Lease", "PoolConnection"]

RECHECK_INTERVAL: Final = 0.05
"""Seconds after which a waiting call checks again without having been woken."""


class PoolConnection:
    """Connection as the pool sees it. The object exists, and occupies a place, before its transport is opened.

    Attributes:
        idle_since: when its last call ended, on the clock of the transport.
        needs_ping: whether it must respond to a ping before the call that it was granted to.
        leases: leases of the calls on it, in pools with shared connections.
    """

    __slots__ = ("__weakref__", "idle_since", "leases", "needs_ping")

    may_be_stale: ClassVar[bool] = True
    """Whether `takes_calls` cannot tell that a connection is unusable, so that `is_stale` must be checked, too."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.needs_ping = False
        self.leases: set[ref[Lease[Any]]] = set()

    @property
    def takes_calls(self) -> bool:
        """Whether another call may be sent over it, without checking the socket. Must not block."""
        return True

    @property
    def is_used_up(self) -> bool:
        """Whether no further call may use it; checked when its last call has ended."""
        return not self.takes_calls

    @property
    def is_retired(self) -> bool:
        """Whether it is open, but will never accept another call."""
        return False

    def is_stale(self) -> bool:
        """Return whether an idle connection is unusable. Must not block."""
        return False

    def dispose(self) -> None:
        """Close the transport, if there is one. Must not block."""


C = TypeVar("C", bound=PoolConnection)


class Lease(Generic[C]):
    """Claim of one call, while it waits and while it is on a connection. Only the call references it.

    Attributes:
        connection: the granted connection; `None` while the call waits.
        is_fresh: whether idle connections are closed instead of used, because one of them turned out to be dead, and
            the others have been idle even longer.
    """

    __slots__ = ("__weakref__", "connection", "is_fresh")

    def __init__(self) -> None:
        self.connection: C | None = None
        self.is_fresh = False

    def wake(self) -> None:
        """Wake the call, which was granted a connection or must check again. Must not block; the lock is held."""

    def fail_waiting(self, error: BaseException) -> None:
        """Wake the call with an error. Must not block; the lock is held."""


class ConnectionPool(Generic[C]):
    """Pool of connections that multiplex calls. Thread-safe.

    Args:
        make: creates a connection without a transport. It must not refer to the owner of the pool: without a reference
            cycle, the sockets are closed when the pool is dropped.
        max_connections: maximum number of connections.
        calls_per_connection: maximum number of concurrent calls on each.
        ping_after: idle time after which a connection is pinged before its next call, in seconds.
        is_background: whether new connections are opened in the background, for all waiting calls (`reserve`), and
            connections that accept no further calls do not count. If not, a call opens the connection that it gets.

    Attributes:
        calls_per_connection: as given.
        is_closed: whether no further call gets a connection.
    """

    def __init__(
        self,
        make: Callable[[], C],
        *,
        max_connections: int,
        calls_per_connection: int = 1,
        ping_after: float = math.inf,
        is_background: bool = False,
    ) -> None:
        self._make = make
        self._max = max_connections
        self.calls_per_connection = calls_per_connection
        self._ping_after = ping_after
        self._is_background = is_background
        self.is_closed = False
        self.after_fork()

    def after_fork(self) -> None:
        """Forget all connections and calls, without closing anything: after a fork, or in another event loop."""
        # A signal handler that makes a call must not wait for the call that it has interrupted.
        self._lock = threading.RLock()
        # Connections that count, and those that do not because they accept no further calls.
        self._places: set[ref[C]] = set()
        self._retired: set[ref[C]] = set()
        # Connections that are being opened in the background.
        self._opening: set[ref[C]] = set()
        # Connections that calls may get.
        self._available: list[C] = []
        self._queue: OrderedDict[ref[Lease[C]], None] = OrderedDict()

    # Calls.

    def acquire(self, lease: Lease[C], now: float) -> bool:
        """Grant a connection to a call, now or when it is its turn; return whether it has one.

        A waiting call may call this again and keeps its place in the queue.
        """
        with self._lock:
            if lease.connection is None and not self.is_closed:
                connection = None
                if not self._queue:
                    # `_select`, inlined: most calls get a connection here.
                    connection = self._pick(now, is_fresh=lease.is_fresh)
                    if connection is None and not self._is_background:
                        connection = self._new()
                if connection is None:
                    self._queue[ref(lease)] = None
                    self._assign(now)  # one may have become idle meanwhile, without the lock
                else:
                    self._grant(lease, connection)
        return lease.connection is not None

    def release(self, lease: Lease[C], now: float) -> None:
        """End a call, whether it was granted a connection or not."""
        connection = lease.connection
        with self._lock:
            if connection is None:
                self._queue.pop(ref(lease), None)
            else:
                connection.leases.discard(ref(lease))
                lease.connection = None
                if not connection.leases:
                    connection.idle_since = now
                    if self.is_closed or connection.is_used_up:
                        self._drop(connection)
            if self._queue:
                self._serve(now)

    def reserve(self) -> C | None:
        """Return a new connection to open in the background if the waiting calls need another one.

        The caller must call `make_available` or `discard` next.
        """
        with self._lock:
            if self.is_closed or len(self._queue) <= len(self._opening) * self.calls_per_connection:
                return None
            connection = self._new()
            if connection is not None:
                self._opening.add(ref(connection, self._opening.discard))
            return connection

    def make_available(self, connection: C, now: float) -> None:
        """Make a connection available to calls after it was opened, or has responded to a ping."""
        with self._lock:
            self._opening.discard(ref(connection))
            connection.needs_ping = False
            connection.idle_since = now
            if connection not in self._available:
                self._available.append(connection)
            self._settle(now)

    def discard(self, connection: C, now: float) -> None:
        """Close a connection that must not be used again."""
        with self._lock:
            self._drop(connection)
            if self._queue:
                self._serve(now)

    def close_idle(self) -> None:
        """Close all idle connections. With `is_background`, this replaces `Lease.is_fresh`."""
        with self._lock:
            self._drop_idle()

    def fail_waiting(self, count: int, error: BaseException) -> None:
        """Fail the first `count` waiting calls with an error."""
        with self._lock:
            # Not `while`: its jump back lies outside of the `with` in the bytecode of Python 3.12 and 3.13.
            for _ in range(count):
                lease = self._first()
                if lease is None:
                    break
                self._queue.pop(ref(lease), None)
                lease.fail_waiting(error)

    def wake_first(self) -> None:
        """Wake the first waiting call, so that it checks again."""
        with self._lock:
            lease = self._first()
            if lease is not None:
                lease.wake()

    def close(self) -> None:
        """Close idle connections, and the others when their calls have ended. Waiting calls are woken."""
        with self._lock:
            self.is_closed = True
            self._settle(0.0)
            waiting = [lease for each in self._queue if (lease := each()) is not None]
            self._queue.clear()
            for lease in waiting:
                lease.wake()

    # Statistics.

    def connections(self) -> list[C]:
        """Return all connections that exist."""
        # A copy of a set is made in one step: connections that end meanwhile leave the set.
        return [found for each in self._places.copy() | self._retired if (found := each()) is not None]

    @property
    def count(self) -> int:
        """Number of connections that are open or being opened."""
        return len(self._places) + len(self._retired)

    @property
    def in_flight(self) -> int:
        """Number of calls that have a connection."""
        return sum(len(connection.leases) for connection in self.connections())

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a connection."""
        with self._lock:
            return sum(each() is not None for each in self._queue)

    # Decisions, made with the lock.

    def _serve(self, now: float) -> None:
        """Grant connections to waiting calls. If there is none, wake the first call, which may open one."""
        if not self._assign(now) and self._is_background and (lease := self._first()) is not None:
            lease.wake()

    def _assign(self, now: float) -> bool:
        """Grant available connections to waiting calls in their order; return whether any was granted."""
        is_granted = False
        while not self.is_closed and (lease := self._first()) is not None:
            connection = self._select(lease, now)
            if connection is None:
                break
            self._grant(lease, connection)
            self._queue.pop(ref(lease), None)
            lease.wake()
            is_granted = True
        return is_granted

    def _first(self) -> Lease[C] | None:
        """Return the first waiting call, after removing interrupted ones before it."""
        while self._queue:
            first = next(iter(self._queue), None)
            if first is None:
                break
            lease = first()
            if lease is not None and lease.connection is None:
                return lease
            self._queue.pop(first, None)
            if lease is not None:
                lease.wake()
        return None

    def _select(self, lease: Lease[C], now: float) -> C | None:
        """Return a connection for a call; `None` if it must wait."""
        connection = self._pick(now, is_fresh=lease.is_fresh)
        return self._new() if connection is None and not self._is_background else connection

    def _pick(self, now: float, *, is_fresh: bool) -> C | None:
        """Return an existing connection with capacity, if there is one."""
        available = self._available
        while available:
            # Shortcut for the common case of one connection.
            best = available[0] if len(available) == 1 and not available[0].leases else self._least_busy()
            if best is None or best.leases:
                return best
            if not is_fresh and best.takes_calls and not (best.may_be_stale and best.is_stale()):
                best.needs_ping = now - best.idle_since > self._ping_after
                if best.needs_ping:
                    self._available.remove(best)
                return best
            self._drop(best)
        return None

    def _least_busy(self) -> C | None:
        best: C | None = None
        fewest = self.calls_per_connection
        for connection in self._available:
            calls = len(connection.leases)
            if calls and (calls >= fewest or not connection.takes_calls):
                continue
            if calls or best is None or fewest or best.idle_since < connection.idle_since:
                best, fewest = connection, calls
        return best

    def _grant(self, lease: Lease[C], connection: C) -> None:
        # In this order: after an interruption in between the call still counts, until its lease is deleted.
        connection.leases.add(ref(lease, connection.leases.discard))
        lease.connection = connection

    def _new(self) -> C | None:
        """Return a new connection if `max_connections` permits."""
        if len(self._places) >= self._max:
            self._reclaim()
            if len(self._places) >= self._max:
                return None
        connection = self._make()
        self._places.add(ref(connection, self._places.discard))
        return connection

    def _reclaim(self) -> None:
        """Free places: of connections that interrupted calls left before they became available and, with
        `is_background`, of connections that accept no further calls.
        """
        for each in self._places.copy():
            connection = each()
            if connection is None:
                continue
            if not connection.leases and connection not in self._available and each not in self._opening:
                self._drop(connection)
            elif self._is_background and connection.is_retired:
                self._retired.add(ref(connection, self._retired.discard))
                self._places.discard(each)

    def _settle(self, now: float) -> None:
        """Close idle connections of a closed pool, or serve waiting calls."""
        if self.is_closed:
            self._drop_idle()
        else:
            self._serve(now)

    def _drop_idle(self) -> None:
        for connection in tuple(self._available):
            if not connection.leases:
                self._drop(connection)

    def _drop(self, connection: C) -> None:
        if connection in self._available:
            self._available.remove(connection)
        try:
            connection.dispose()
        finally:
            for places in (self._places, self._retired, self._opening):
                places.discard(ref(connection))
