"""Decisions of connection pools, in virtual time and without sockets: a state machine, and single cases."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from idlrt.client.connection_pool import ConnectionPool, Lease, PoolConnection
from idlrt.client.exclusive_pool import ExclusivePool

PING_AFTER = 10.0


class Connection(PoolConnection):
    """A connection whose state tests set."""

    __slots__ = ("is_broken", "is_disposed", "is_open", "was_closed_by_server")

    def __init__(self) -> None:
        super().__init__()
        self.is_open = self.is_broken = self.is_disposed = self.was_closed_by_server = False

    @property
    def takes_calls(self) -> bool:
        return self.is_open and not self.is_broken

    @property
    def is_retired(self) -> bool:
        return self.is_broken

    def is_stale(self) -> bool:
        assert self.is_open
        return self.was_closed_by_server

    def dispose(self) -> None:
        self.is_disposed = True


class Claim(Lease[Connection]):
    """A lease that counts how often it was woken."""

    __slots__ = ("wakes",)

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


class PoolMachine(RuleBasedStateMachine):
    """Calls come, get connections, end, are interrupted; servers close connections; time passes.

    The machine refers to connections weakly, as the pool does: the calls hold the strong references.
    """

    is_exclusive = False

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.made: list[ref[Connection]] = []
        # In the order in which they have come.
        self.waiting: list[Claim] = []
        # Calls that open or ping a connection, and calls on a connection.
        self.preparing: list[Any] = []
        self.running: list[Any] = []

    @initialize(most=st.integers(1, 3), room=st.integers(1, 3))
    def begin(self, most: int, room: int) -> None:
        self.most, self.room = most, 1 if self.is_exclusive else room
        options: dict[str, Any] = {"max_connections": most, "ping_after": PING_AFTER}
        self.pool: ConnectionPool[Connection]
        if self.is_exclusive:
            self.pool = ExclusivePool(self.make, **options)
        else:
            self.pool = ConnectionPool(self.make, calls_per_connection=room, **options)

    def make(self) -> Connection:
        connection = Connection()
        self.made.append(ref(connection))
        return connection

    def connections(self) -> list[Connection]:
        """All that occupy a place."""
        found = [connection for each in self.made if (connection := each()) is not None]
        return [each for each in found if not each.is_disposed]

    # What callers do. In exclusive pools a call keeps the connection, in shared ones its lease.

    def connection_of(self, held: Any) -> Connection:
        found = held if self.is_exclusive else held.connection
        assert isinstance(found, Connection)
        return found

    def granted(self, claim: Claim) -> None:
        connection = claim.connection
        assert connection is not None
        assert not connection.is_disposed
        if connection.is_open and not connection.leases:
            assert not connection.was_closed_by_server
        held: Any = connection if self.is_exclusive else claim
        is_ready = connection.is_open and not connection.needs_ping
        (self.running if is_ready else self.preparing).append(held)

    def granted_in_order(self) -> None:
        """The calls that have got a connection meanwhile are the first ones that waited."""
        count = sum(claim.connection is not None for claim in self.waiting)
        first, self.waiting = self.waiting[:count], self.waiting[count:]
        for claim in first:
            assert claim.wakes
            self.granted(claim)

    def end(self, held: Any) -> None:
        if not self.is_exclusive:
            self.pool.release(held, self.now)
        elif held.takes_calls:
            assert isinstance(self.pool, ExclusivePool)
            self.pool.give_back(held, self.now)
        else:
            self.pool.discard(held, self.now)

    # Steps.

    @rule(is_fresh=st.booleans())
    def call(self, is_fresh: bool) -> None:
        if isinstance(self.pool, ExclusivePool) and not is_fresh:
            found = self.pool.acquire_idle(self.now)
            if found is not None:
                assert not self.waiting
                assert not found.was_closed_by_server
                (self.preparing if found.needs_ping else self.running).append(found)
                return
        claim = Claim()
        claim.is_fresh = is_fresh
        if self.pool.acquire(claim, self.now):
            assert not self.waiting
            self.granted(claim)
        elif not self.pool.is_closed:
            self.waiting.append(claim)

    @precondition(lambda self: self.preparing)
    @rule(data=st.data(), is_good=st.booleans())
    def prepared(self, data: st.DataObject, is_good: bool) -> None:
        """A connection is opened, or answers a ping, or fails to."""
        held = self.preparing.pop(data.draw(st.integers(0, len(self.preparing) - 1)))
        connection = self.connection_of(held)
        if is_good:
            connection.is_open = True
            if not self.is_exclusive:
                self.pool.make_available(connection, self.now)
            self.running.append(held)
        else:
            connection.is_broken = True
            self.pool.discard(connection, self.now)
            if not self.is_exclusive:
                self.pool.release(held, self.now)
        del connection, held
        self.granted_in_order()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), is_good=st.booleans())
    def ended(self, data: st.DataObject, is_good: bool) -> None:
        held = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if not is_good:
            self.connection_of(held).is_broken = True
        self.end(held)
        del held
        self.granted_in_order()

    @precondition(lambda self: self.running or self.preparing)
    @rule(data=st.data())
    def interrupted(self, data: st.DataObject) -> None:
        """No code runs for the call any more."""
        held = self.running or self.preparing
        del held[data.draw(st.integers(0, len(held) - 1))]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), is_told=st.booleans())
    def gives_up(self, data: st.DataObject, is_told: bool) -> None:
        claim = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        if is_told:
            self.pool.release(claim, self.now)
            self.granted_in_order()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def looks_again(self, data: st.DataObject) -> None:
        self.pool.acquire(self.waiting[data.draw(st.integers(0, len(self.waiting) - 1))], self.now)
        self.granted_in_order()

    @rule(data=st.data())
    def server_closes(self, data: st.DataObject) -> None:
        connections = [each for each in self.connections() if each.is_open]
        if connections:
            # Indexes, because hypothesis keeps what is drawn.
            connections[data.draw(st.integers(0, len(connections) - 1))].was_closed_by_server = True

    @rule(seconds=st.sampled_from([0.1, PING_AFTER * 2]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: len(self.made) > 5)
    @rule()
    def close(self) -> None:
        self.pool.close()
        assert all(claim.wakes for claim in self.waiting)
        self.waiting.clear()

    # Invariants.

    @invariant()
    def connections_are_bounded(self) -> None:
        if hasattr(self, "pool"):
            assert len(self.connections()) == self.pool.count <= self.most

    @invariant()
    def calls_on_a_connection_are_bounded(self) -> None:
        for connection in self.connections():
            held = [*self.running, *self.preparing]
            calls = sum(self.connection_of(each) is connection for each in held)
            assert calls <= self.room
            if not self.is_exclusive:
                assert calls == len(connection.leases)

    @invariant()
    def statistics_are_right(self) -> None:
        if hasattr(self, "pool"):
            assert self.pool.in_flight == len(self.running) + len(self.preparing)
            assert self.pool.waiting == len(self.waiting)

    @invariant()
    def no_call_waits_while_there_is_room(self) -> None:
        """At least when it has looked again."""
        if not self.waiting:
            return
        self.pool.acquire(self.waiting[-1], self.now)
        self.granted_in_order()
        if self.waiting:
            assert self.pool.count == self.most
            for connection in self.connections():
                if not self.is_exclusive and connection.takes_calls and connection.leases:
                    held = [each for each in self.preparing if self.connection_of(each) is connection]
                    assert held or len(connection.leases) == self.room

    @invariant()
    def a_closed_pool_has_no_idle_connection(self) -> None:
        if hasattr(self, "pool") and self.pool.is_closed:
            held = [self.connection_of(each) for each in [*self.running, *self.preparing]]
            idle = [each for each in self.connections() if not any(each is other for other in held)]
            # A shared one whose last call was interrupted is closed by `close`, or with the client.
            assert not (self.is_exclusive and idle)

    def teardown(self) -> None:
        """Nothing leaks, and closing closes everything."""
        if not hasattr(self, "pool"):
            return
        for held in [*self.running, *self.preparing]:
            self.end(held)
        self.running, self.preparing, self.waiting = [], [], []
        held = None
        self.pool.close()
        assert (self.pool.count, self.pool.in_flight, self.pool.waiting) == (0, 0, 0)
        assert self.connections() == []


class ExclusivePoolMachine(PoolMachine):
    is_exclusive = True


PoolMachine.TestCase.settings = ExclusivePoolMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None
)
TestSharedConnections = PoolMachine.TestCase
TestExclusiveConnections = ExclusivePoolMachine.TestCase


def opened(pool: ConnectionPool[Connection], now: float = 0.0) -> Claim:
    """Make a call that opens a connection."""
    claim = Claim()
    assert pool.acquire(claim, now)
    assert claim.connection is not None
    claim.connection.is_open = True
    pool.make_available(claim.connection, now)
    return claim


def test_the_connection_that_was_used_last_is_used_first() -> None:
    pool = ConnectionPool(Connection, max_connections=3)
    claims = [opened(pool) for _ in range(3)]
    connections = [claim.connection for claim in claims]
    for now, index in enumerate((1, 2, 0)):
        pool.release(claims[index], float(now))
    claim = Claim()
    assert pool.acquire(claim, 3.0)
    assert claim.connection is connections[0]


def test_an_idle_connection_goes_to_the_first_call_that_waits() -> None:
    pool = ExclusivePool(Connection, max_connections=1)
    connection = opened_by_hand(pool)
    claims = [Claim() for _ in range(3)]
    assert [pool.acquire(claim, 0.0) for claim in claims] == [False] * 3
    for claim in claims:
        assert claim.connection is None
        pool.give_back(connection, 0.0)
        assert (claim.connection, claim.wakes) == (connection, 1)
        assert pool.acquire_idle(0.0) is None
    pool.give_back(connection, 0.0)
    assert pool.acquire_idle(0.0) is connection


def test_a_busy_connection_is_shared_before_another_one_is_opened() -> None:
    pool = ConnectionPool(Connection, max_connections=2, calls_per_connection=2)
    first, second, third = opened(pool), Claim(), Claim()
    assert pool.acquire(second, 0.0)
    assert second.connection is first.connection
    assert pool.acquire(third, 0.0)
    assert third.connection is not first.connection


def test_connections_that_were_idle_for_long_are_pinged_and_others_are_not() -> None:
    pool = ConnectionPool(Connection, max_connections=1, calls_per_connection=2, ping_after=PING_AFTER)
    claim = opened(pool)
    connection = claim.connection
    assert connection is not None
    pool.release(claim, 0.0)
    for now, needs_ping in ((PING_AFTER, False), (PING_AFTER * 3, True)):
        claim, other = Claim(), Claim()
        assert pool.acquire(claim, now)
        assert claim.connection is connection
        assert connection.needs_ping == needs_ping
        # No other call gets it meanwhile.
        assert pool.acquire(other, now) != needs_ping
        pool.make_available(connection, now)
        assert other.connection is connection
        pool.release(claim, now)
        pool.release(other, now)


def test_a_fresh_connection_replaces_all_that_are_idle() -> None:
    pool = ConnectionPool(Connection, max_connections=3)
    claims = [opened(pool) for _ in range(3)]
    idle = [claim.connection for claim in claims if claim.connection is not None]
    for claim in claims:
        pool.release(claim, 0.0)
    claim = Claim()
    claim.is_fresh = True
    assert pool.acquire(claim, 0.0)
    assert all(each.is_disposed for each in idle)
    assert pool.count == 1


def test_background_pools_open_as_many_connections_as_waiting_calls_need() -> None:
    pool = ConnectionPool(Connection, max_connections=3, calls_per_connection=2, is_background=True)
    claims = [Claim() for _ in range(5)]
    opening: list[Connection] = []
    for claim in claims:
        assert not pool.acquire(claim, 0.0)
        opening += [each] if (each := pool.reserve()) is not None else []
    assert len(opening) == 3
    for connection in opening:
        connection.is_open = True
        pool.make_available(connection, 0.0)
    assert [claim.connection is not None for claim in claims] == [True] * 5
    assert [claim.wakes for claim in claims] == [1] * 5


def test_connections_that_take_no_calls_leave_their_places_in_background_pools() -> None:
    pool = ConnectionPool(Connection, max_connections=1, is_background=True)
    first, second = Claim(), Claim()
    assert not pool.acquire(first, 0.0)
    stuck = pool.reserve()
    assert stuck is not None
    stuck.is_open = True
    pool.make_available(stuck, 0.0)
    assert first.connection is stuck
    assert not pool.acquire(second, 0.0)
    assert pool.reserve() is None
    stuck.is_broken = True
    other = pool.reserve()
    assert other is not None
    assert (pool.count, pool.in_flight) == (2, 1)
    assert second.wakes == 0
    pool.release(first, 0.0)
    assert stuck.is_disposed
    assert pool.count == 1
    # It may open a connection, if that one fails.
    assert second.wakes == 1


@pytest.mark.parametrize("is_exclusive", [False, True])
def test_a_pool_that_is_dropped_drops_its_connections(is_exclusive: bool) -> None:
    """Without a cycle sockets are closed at once, not when the garbage collector comes."""
    made: list[ref[Connection]] = []

    def make() -> Connection:
        connection = Connection()
        made.append(ref(connection))
        return connection

    gc.disable()
    try:
        if is_exclusive:
            exclusive = ExclusivePool(make, max_connections=1)
            exclusive.give_back(opened_by_hand(exclusive), 0.0)
            del exclusive
        else:
            pool = ConnectionPool(make, max_connections=1)
            pool.release(opened(pool), 0.0)
            del pool
        assert [each() for each in made] == [None]
    finally:
        gc.enable()


def opened_by_hand(pool: ExclusivePool[Connection]) -> Connection:
    claim = Claim()
    assert pool.acquire(claim, 0.0)
    assert claim.connection is not None
    claim.connection.is_open = True
    return claim.connection
