"""The threads for plain handlers, without a server."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

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
        deliveries.get(timeout=20)()
    assert results == [(1, None), (2, None)]
    assert pool.submit(lambda: 4, done)
    pool.stop()


def test_the_pool_leaves_behind_who_does_not_return(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("idlrt.server.workers._PATIENCE", 0.01)
    gate = threading.Event()
    pool = WorkerPool(2, 2, lambda deliver: None)
    pool.submit(lambda: gate.wait(20), lambda result, error: None)
    pool.stop()

    assert "left behind 1 handlers" in caplog.text
    gate.set()
