"""Leases: as many as live, whatever becomes of those that hold them."""

from __future__ import annotations

import gc
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from idlrt.core.leases import Lease, Leases


@given(st.integers(0, 4), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=100))
def test_as_many_as_live_and_never_more_than_the_limit(limit: int, steps: list[tuple[int, int]]) -> None:
    leases = Leases()
    held: list[Lease] = []
    for what, number in steps:
        if what == 0:
            lease = leases.acquire(limit)
            assert (lease is not None) is (len(held) < limit)
            if lease is not None:
                held.append(lease)
            del lease
        elif what == 1 and len(held) < limit:
            held.append(leases.begin())
        elif what == 2 and held:
            del held[number % len(held)]
        elif what == 3:
            leases.begin()  # lost at once
        elif what == 4 and not number:
            leases.after_fork()
            held.clear()
        assert len(leases) == len(held)


def test_a_lease_that_an_exception_holds_is_free_once_that_is_dropped() -> None:
    leases = Leases()

    def fail() -> None:
        lease = leases.acquire(1)
        assert lease is not None
        raise ValueError("before anything could be released")

    error: Exception | None = None
    try:
        fail()
    except ValueError as raised:
        error = raised
    assert leases.acquire(1) is None
    del error
    assert leases.acquire(1) is not None


def test_a_lease_in_a_reference_cycle_is_free_once_it_is_collected() -> None:
    leases = Leases()
    cycle: list[Any] = [leases.begin()]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert not leases


def test_leases_of_the_parent_do_not_count_after_a_fork() -> None:
    leases = Leases()
    of_parent = leases.begin()
    leases.after_fork()
    assert not leases
    own = leases.begin()
    del of_parent
    assert len(leases) == 1
    del own


def test_of_threads_that_compete_one_gets_the_last_place() -> None:
    leases = Leases()
    first = leases.acquire(2)
    for _ in range(100):
        start = threading.Barrier(4)
        found: list[Lease | None] = []

        def ask(start: threading.Barrier = start, found: list[Lease | None] = found) -> None:
            start.wait()
            found.append(leases.acquire(2))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None for lease in found) == 1
    assert first is not None
