"""Bulkheads: limit and queue, in virtual time, with threads, with tasks, and with both."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from guarded import Guarded
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import AsyncioDriver, BlockingDriver, ClockAndRandom, Rejected, drive
from idlrt.core.leases import Lease
from idlrt.errors import Overloaded
from idlrt.guard import Bulkhead
from idlrt.guard.bulkhead import BulkheadSettings, Permits, Waiter
from idlrt.testing import FakeDriver
from idlrt.testing.guards import GET, PUT, call_for


def test_calls_beyond_the_limit_are_rejected() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=2)
    found = guarded.at_once(3, 1.0)
    assert found[:2] == ["answer"] * 2
    assert isinstance(found[2], Overloaded)
    assert str(found[2]) == "rejected Check.get: limit of 2 concurrent calls reached"
    (told,) = guarded.told
    assert isinstance(told, Rejected)
    assert (told.subject, told.guard) == ("Check.get", "bulkhead")
    assert guarded.at_once(2, 1.0) == ["answer"] * 2


def test_calls_are_queued_in_order_up_to_a_limit() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, max_queued_calls=2, max_wait=10)
    began = guarded.now()
    found = guarded.at_once(4, 3.0)
    assert found[:3] == ["answer"] * 3
    assert "queue of 2 calls is full" in str(found[3])
    assert guarded.now() - began == 9


def test_a_call_that_waits_too_long_is_rejected_and_leaves_the_queue() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, max_queued_calls=5, max_wait=2)
    found = guarded.at_once(3, 5.0)
    assert found[0] == "answer"
    assert all("queued for 2 s (limit: 1 concurrent call)" in str(each) for each in found[1:])
    assert guarded.at_once(1, 1.0) == ["answer"]


def test_no_call_is_queued_beyond_its_deadline() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, max_queued_calls=5, max_wait=20)
    first = guarded.call(seconds=100)
    first.send(None)
    began = guarded.now()
    assert isinstance(guarded.run(call=call_for(guarded.driver, 3.0)), Overloaded)
    assert guarded.now() - began == 3
    first.close()


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError()], ids=repr)
def test_a_permit_is_released_whatever_the_outcome(error: BaseException) -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1)
    for _ in range(5):
        assert guarded.run(error) is error
    assert guarded.run() == "answer"


def test_a_cancelled_call_leaves_the_queue() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, max_queued_calls=1, max_wait=100)
    in_flight = guarded.call(seconds=1)
    in_flight.send(None)
    waiting = guarded.call()
    waiting.send(None)
    waiting.close()
    another = guarded.call()
    another.send(None)
    in_flight.close()
    assert guarded.reached == 1
    with pytest.raises(StopIteration, match="answer"):
        another.send(None)
    assert guarded.run() == "answer"


def test_a_call_that_is_cancelled_with_a_granted_permit_passes_it_on() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, max_queued_calls=1, max_wait=100)
    in_flight = guarded.call(seconds=1)
    in_flight.send(None)
    waiting = guarded.call()
    waiting.send(None)
    in_flight.close()
    waiting.close()
    assert guarded.run() == "answer"


@pytest.mark.parametrize(("per", "is_refused"), [("service", True), ("method", False)])
def test_scope_is_service_or_method(per: str, is_refused: bool) -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, per=per)
    in_flight = guarded.call(seconds=1)
    in_flight.send(None)
    other = guarded.on_server()
    other.method = PUT
    assert isinstance(guarded.run(call=other), Overloaded) is is_refused
    in_flight.close()


def test_a_queued_call_polls_for_a_permit() -> None:
    guarded = Guarded("bulkhead", max_concurrent_calls=1, max_queued_calls=3, max_wait=100)
    permits = guarded.guard.permits[GET]
    leases = [permits.enter()]

    async def lose(_: Any = None) -> None:
        await guarded.driver.sleep(10)
        # As if an exception of a signal handler had come before the next in line could be notified.
        leases.clear()
        raise ValueError("the race goes on")

    async def wait() -> Any:
        return await guarded.call()

    began = guarded.now()
    assert guarded.driver.run(guarded.driver.race([lose, wait])) == "answer"
    assert 10 <= guarded.now() - began <= 10.1


@given(st.integers(1, 3), st.integers(0, 3), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=100))
def test_permits_are_never_lost_nor_granted_twice(limit: int, max_waiting: int, steps: Any) -> None:
    """Calls come, wait, go, and are interrupted between any two of these steps."""
    permits, driver = Permits(limit, max_waiting), FakeDriver()
    inside: list[Lease | None] = []
    line: list[Waiter] = []

    def step_in() -> None:
        """The first in the line have been handed all places that are free."""
        while line and len(inside) < limit:
            inside.append(take(line.pop(0)))

    for what, number in steps:
        if what == 0:
            lease = permits.enter()
            step_in()
            if lease is not None:
                inside.append(lease)
            else:
                assert len(inside) == limit
                ticket = Waiter(driver.event())
                assert permits.enqueue(ticket) is (len(line) < max_waiting)
                if len(line) < max_waiting:
                    assert not ticket.is_granted
                    line.append(ticket)
                del ticket
            del lease
        elif what == 1 and inside:
            del inside[number % len(inside)]
            permits.grant_free()
            step_in()
        elif what == 2 and line and len(inside) == limit:
            assert permits.cancel(line.pop(number % len(line))) is None
        elif what == 3 and inside:
            del inside[number % len(inside)]  # interrupted before `grant_free`
        elif what == 4 and line:
            del line[number % len(line)]  # interrupted before `cancel`
        elif what == 5:
            permits.grant_free()
            step_in()
        assert (permits.in_flight, permits.waiting) == (len(inside), len(line))
        assert len(inside) <= limit


def take(ticket: Waiter) -> Lease:
    """The place that the first in the line was handed."""
    assert ticket.is_granted, "the first in the line"
    lease = ticket.take()
    assert lease is not None
    return lease


# Not in virtual time.


class Counting:
    """Stands behind a bulkhead: how many are there at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.all = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


def guard(calls: int, waiting: int) -> Bulkhead:
    return Bulkhead(
        BulkheadSettings(max_concurrent_calls=calls, max_queued_calls=waiting, max_wait=3600), ClockAndRandom()
    )


def in_threads(bulkhead: Bulkhead, counting: Counting, threads: int, each: int) -> list[threading.Thread]:
    driver = BlockingDriver()

    async def behind(call: Any) -> None:
        with counting:
            await driver.sleep(0)

    def use() -> None:
        for _ in range(each):
            drive(bulkhead(call_for(driver, 3600), behind))

    started = [threading.Thread(target=use) for _ in range(threads)]
    for thread in started:
        thread.start()
    return started


async def in_tasks(bulkhead: Bulkhead, counting: Counting, tasks: int, each: int) -> None:
    driver = AsyncioDriver()

    async def behind(call: Any) -> None:
        with counting:
            await asyncio.sleep(0)

    async def use() -> None:
        for _ in range(each):
            await bulkhead(call_for(driver, 3600), behind)

    await asyncio.gather(*[use() for _ in range(tasks)])


def test_threads_wait_for_each_other() -> None:
    counting = Counting()
    for thread in in_threads(guard(2, 10), counting, 6, 100):
        thread.join()
    assert (counting.most, counting.all) == (2, 600)


def test_tasks_wait_for_each_other() -> None:
    counting = Counting()
    asyncio.run(in_tasks(guard(2, 50), counting, 50, 20))
    assert (counting.most, counting.all) == (2, 1000)


def test_threads_and_tasks_wait_for_each_other() -> None:
    counting, bulkhead = Counting(), guard(1, 100)
    threads = in_threads(bulkhead, counting, 4, 50)
    asyncio.run(in_tasks(bulkhead, counting, 20, 10))
    for thread in threads:
        thread.join()
    assert (counting.most, counting.all) == (1, 400)


def test_cancelled_tasks_lose_no_permit() -> None:
    async def main() -> None:
        bulkhead, driver = guard(1, 100), AsyncioDriver()
        gate = asyncio.Event()

        async def behind(call: Any) -> str:
            await gate.wait()
            return "answer"

        tasks = [asyncio.ensure_future(bulkhead(call_for(driver, 3600), behind)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[:-1]:
            task.cancel()
        gate.set()
        assert await tasks[-1] == "answer"

    asyncio.run(main())
