"""The threads for plain handlers, without a server."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from eventually import TIMEOUT

from idlrt.server.workers import WorkerPool


def test_the_pool_is_full_until_a_result_has_been_delivered() -> None:
    deliveries: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    results: list[Any] = []
    pool = WorkerPool(1, 1, deliveries.put)

    def done(result: Any, error: BaseException | None) -> None:
        results.append((result, error))

    assert pool.submit(lambda: 1, done)
    assert pool.submit(lambda: 2, done)
    assert not pool.submit(lambda: 3, done)
    while len(results) < 2:
        deliveries.get(timeout=TIMEOUT)()
    assert results == [(1, None), (2, None)]
    assert pool.submit(lambda: 4, done)
    pool.stop()


def test_the_pool_leaves_behind_a_handler_that_does_not_return(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    pool = WorkerPool(2, 2, lambda deliver: None, stop_timeout=0.01)
    pool.submit(lambda: gate.wait(TIMEOUT), lambda result, error: None)
    pool.stop()

    assert "abandoning 1 handler still running" in caplog.text
    gate.set()


def test_work_that_is_queued_when_the_pool_stops_is_never_begun() -> None:
    deliveries: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    entered, gate = threading.Event(), threading.Event()
    begun: list[int] = []
    pool = WorkerPool(1, 4, deliveries.put, stop_timeout=0.01)

    def work(number: int) -> None:
        begun.append(number)
        entered.set()
        gate.wait(TIMEOUT)

    for number in range(5):
        assert pool.submit(partial(work, number), lambda result, error: None)
    assert entered.wait(TIMEOUT)
    pool.stop()
    (worker,) = [thread for thread in threading.enumerate() if thread.ident in pool.threads]
    gate.set()
    worker.join(TIMEOUT)

    assert not worker.is_alive()
    assert begun == [0]
