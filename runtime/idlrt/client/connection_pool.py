"""Connection pool without I/O: decides which connection a call gets, for threads, shared connections and asyncio.

Transports carry out what it decides: they open, ping and close connections, and block while a call waits. The rules:

- A call gets an idle connection, the one used last first; else the connection with the fewest calls that has room;
  else a new one, while there are fewer than `max_connections`; else it waits. Calls wait in the order in which they
  came, and a later call never overtakes.
- A stale idle connection is closed and not used. One that was idle for longer than `ping_after` is pinged first; no
  other call gets it meanwhile.
- A closed pool closes idle connections at once, the others when their calls have ended.

**Places are live objects; nothing is counted up and down.** A signal handler may raise an exception between any two
byte codes, and then no code of the pool runs that would count down. So the pool knows connections in use, calls on
connections and waiting calls by weak references only. An object that an exception drops is deleted by its reference
count, and its place is free again: the callbacks of the weak references are methods written in C, which signal handlers
cannot interrupt. Every method leaves a valid state at every byte code. At most a notification is lost, so waiting calls
look again after `LOOK_AGAIN` seconds. Regular errors release places explicitly, because programs keep exceptions, whose
tracebacks keep objects alive.

Source: the rules follow `_assign_requests_to_connections` of httpcore, https://github.com/encode/httpcore.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, TypeVar
from weakref import ref

__all__ = ["LOOK_AGAIN", "ConnectionPool", "Lease", "PoolConnection"]

LOOK_AGAIN: Final = 0.05
"""Seconds after which a waiting call looks again although nothing has woken it."""


class PoolConnection:
    """A connection as the pool sees it. The object exists, and occupies a place, before its transport is opened.

    Attributes:
        idle_since: when its last call ended, on the clock whose time the pool is given.
        needs_ping: whether it must answer a ping before the call that has got it.
        leases: of the calls on it, in pools whose connections are shared.
    """

    __slots__ = ("__weakref__", "idle_since", "leases", "needs_ping")

    may_be_stale: ClassVar[bool] = True
    """Whether `takes_calls` cannot tell that a connection is of no use, so that `is_stale` is asked."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.needs_ping = False
        self.leases: set[ref[Lease[Any]]] = set()

    @property
    def takes_calls(self) -> bool:
        """Whether another call may be put on it, as far as the connection itself knows. Must not block."""
        return True

    @property
    def is_used_up(self) -> bool:
        """Whether it is of no use for further calls, asked when the last of its calls has ended."""
        return not self.takes_calls

    @property
    def is_retired(self) -> bool:
        """Whether it is open, but will never take another call."""
        return False

    def is_stale(self) -> bool:
        """Return whether it is of no use for calls, asked while it is idle. Must not block."""
        return False

    def dispose(self) -> None:
        """Close the transport, if there is one. Must not block."""


C = TypeVar("C", bound=PoolConnection)


class Lease(Generic[C]):
    """The claim of one call, while it waits and while it is on a connection. Only the call keeps it alive.

    Attributes:
        connection: what the call has got; `None` while it waits.
        is_fresh: whether idle connections are closed instead of used, because one of them turned out to be dead: the
            others have been idle for longer.
    """

    __slots__ = ("__weakref__", "connection", "is_fresh")

    def __init__(self) -> None:
        self.connection: C | None = None
        self.is_fresh = False

    def wake(self) -> None:
        """Wake the call: it has got a connection, or has to look again. Must not block; called with the lock held."""

    def turn_away(self, error: BaseException) -> None:
        """Wake the call and let it fail. Likewise."""


class ConnectionPool(Generic[C]):
    """A pool of connections that carry several calls each. Thread-safe.

    Args:
        make: makes a connection without a transport. Must not refer to the owner of the pool: without a cycle, a pool
            that is dropped closes its sockets.
        max_connections: maximum number of connections.
        calls_per_connection: maximum number of concurrent calls on each.
        ping_after: seconds of idleness after which a connection is pinged before its next call.
        is_background: whether new connections are opened in the background, for all that wait (`reserve`), and those
            that take no further calls do not count. Else a call opens the connection that it gets.

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
        self.renew()

    def renew(self) -> None:
        """Forget all connections and calls, without closing anything: after a fork, or in another event loop."""
        # A signal handler that makes a call must not wait for the call that it has interrupted.
        self._lock = threading.RLock()
        # Connections that count, and those that do not because they take no further calls.
        self._places: set[ref[C]] = set()
        self._retired: set[ref[C]] = set()
        # Those of them that are being opened in the background.
        self._opening: set[ref[C]] = set()
        # Connections that calls may get.
        self._available: list[C] = []
        self._queue: OrderedDict[ref[Lease[C]], None] = OrderedDict()

    # Calls.

    def acquire(self, lease: Lease[C], now: float) -> bool:
        """Grant a connection to a call, now or when it is its turn; return whether it has one. A call that waits may
        ask again and keeps its turn.
        """
        with self._lock:
            if lease.connection is None and not self.is_closed:
                connection = None
                if not self._queue:
                    # `_select`, written out: most calls get a connection here.
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
        """End a call, whether it has got a connection or not."""
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
        """Return a new connection to open in the background, if those being opened are too few for the waiting calls.
        `make_available` or `discard` follows.
        """
        with self._lock:
            if self.is_closed or len(self._queue) <= len(self._opening) * self.calls_per_connection:
                return None
            connection = self._new()
            if connection is not None:
                self._opening.add(ref(connection, self._opening.discard))
            return connection

    def make_available(self, connection: C, now: float) -> None:
        """Let calls have a connection that has been opened, or has answered a ping."""
        with self._lock:
            self._opening.discard(ref(connection))
            connection.needs_ping = False
            connection.idle_since = now
            if connection not in self._available:
                self._available.append(connection)
            self._settle(now)

    def discard(self, connection: C, now: float) -> None:
        """Close a connection that is of no further use."""
        with self._lock:
            self._drop(connection)
            if self._queue:
                self._serve(now)

    def close_idle(self) -> None:
        """Close all idle connections, as `Lease.is_fresh` does, which is not for connections from the background."""
        with self._lock:
            self._drop_idle()

    def turn_away(self, count: int, error: BaseException) -> None:
        """End the wait of the first `count` calls with an error."""
        with self._lock:
            # Not `while`: its jump back lies outside of the `with` in the bytecode of Python 3.12 and 3.13.
            for _ in range(count):
                lease = self._first()
                if lease is None:
                    break
                self._queue.pop(ref(lease), None)
                lease.turn_away(error)

    def wake_first(self) -> None:
        """Let the first of the waiting calls look again."""
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
        """Connections that are open or being opened."""
        return len(self._places) + len(self._retired)

    @property
    def in_flight(self) -> int:
        """Calls that have a connection."""
        return sum(len(connection.leases) for connection in self.connections())

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        with self._lock:
            return sum(each() is not None for each in self._queue)

    # Decisions, made with the lock.

    def _serve(self, now: float) -> None:
        """Grant connections to the calls that wait. If there is none, the first of them may open one."""
        if not self._assign(now) and self._is_background and (lease := self._first()) is not None:
            lease.wake()

    def _assign(self, now: float) -> bool:
        """Grant connections to the calls that wait, in their order, as long as there are any; return whether there was
        one.
        """
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
        """Return the first call that waits, having removed what precedes it: calls that were interrupted."""
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
        """Return the connection for a call; `None` if it has to wait."""
        connection = self._pick(now, is_fresh=lease.is_fresh)
        return self._new() if connection is None and not self._is_background else connection

    def _pick(self, now: float, *, is_fresh: bool) -> C | None:
        """Return an existing connection with room, if there is one."""
        available = self._available
        while available:
            # Mostly there is one.
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
        # In this order: an interruption in between leaves a call counted that dies with its lease.
        connection.leases.add(ref(lease, connection.leases.discard))
        lease.connection = connection

    def _new(self) -> C | None:
        """Return a new connection if there is a place for it."""
        if len(self._places) >= self._max:
            self._reclaim()
            if len(self._places) >= self._max:
                return None
        connection = self._make()
        self._places.add(ref(connection, self._places.discard))
        return connection

    def _reclaim(self) -> None:
        """Free the places of connections that interrupted calls have left before they became available, and in the
        background those of connections that take no further calls.
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
        """Close what a closed pool does not need, or serve the calls that wait."""
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
