"""Thread pool of plain handlers, with a bounded number of threads and a bounded queue.

When the queue is full, calls are rejected at once, with a response that tells the client that the call has not been
processed. In an unbounded queue all calls would wait behind calls whose callers have given up. Results are delivered in
batches: those that arrive in one iteration of the server's loop wake it once.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.printable import plural
from idlrt.server.context import OnDone
from idlrt.server.forked_child import exit_child
from idlrt.server.signals import interruptible

__all__ = ["WorkerPool", "run_caught"]

_log = get_logger("idlrt.server")

_STOP_TIMEOUT: Final = 2.0


@interruptible
def run_caught(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Run user code, and return its result and its exception, one of them `None`."""
    before = forks.count
    try:
        result, error = work(), None
    except BaseException as raised:  # noqa: BLE001  # returned to the caller
        result, error = None, raised
    if forks.count != before:
        exit_child(error)
    return result, error


class WorkerPool:
    """Worker threads and their queue. Its methods must be called on the server's thread.

    Args:
        count: maximum number of threads; they are started on demand.
        max_queued: maximum number of queued calls.
        deliver: calls a function on the server's thread; thread-safe.
        stop_timeout: seconds that `stop` waits for running handlers.
    """

    def __init__(
        self,
        count: int,
        max_queued: int,
        deliver: Callable[[Callable[[], None]], object],
        *,
        stop_timeout: float = _STOP_TIMEOUT,
    ) -> None:
        self._count = count
        self._max_in_flight = count + max_queued
        self._deliver = deliver
        self._stop_timeout = stop_timeout
        self._in_flight = 0
        self._queued: queue.SimpleQueue[tuple[Callable[[], Any], OnDone] | None] = queue.SimpleQueue()
        self._finished: deque[tuple[OnDone, Any, BaseException | None]] = deque()
        self._is_delivery_due = False
        self._threads: list[threading.Thread] = []
        self._idents: set[int] = set()

    @property
    def threads(self) -> set[int]:
        """Identifiers of the threads, as returned by `threading.get_ident`."""
        return self._idents

    def load(self) -> tuple[int, int, int]:
        """Return the number of busy threads, of idle ones, and of queued calls. Called on any thread."""
        in_flight = self._in_flight
        busy = min(in_flight, self._count)
        return busy, self._count - busy, in_flight - busy

    def submit(self, work: Callable[[], Any], done: OnDone) -> bool:
        """Run `work` on a thread, then call `done(result, error)` on the server's thread.

        Returns:
            `False` if the queue is full: `work` is not run and `done` is not called.
        """
        if self._in_flight >= self._max_in_flight:
            return False
        self._in_flight += 1
        self._queued.put((work, done))
        if len(self._threads) < min(self._in_flight, self._count):
            thread = threading.Thread(target=self._run, name=f"idlrt worker {len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return True

    def _run(self) -> None:
        self._idents.add(threading.get_ident())
        while (item := self._queued.get()) is not None:
            work, done = item
            result, error = run_caught(work)
            self._finished.append((done, result, error))
            # Do not keep objects of a call alive while waiting for the next one.
            del item, work, done, result, error
            if not self._is_delivery_due:
                self._is_delivery_due = True
                self._deliver(self._deliver_results)

    def _deliver_results(self) -> None:
        # Clear the flag first, so that a thread that appends from here on schedules another delivery.
        self._is_delivery_due = False
        while self._finished:
            done, result, error = self._finished.popleft()
            self._in_flight -= 1
            done(result, error)

    def stop(self) -> None:
        """End the threads. Queued calls are dropped; handlers that do not return are abandoned with a warning."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._queued.get_nowait()
        for _ in self._threads:
            self._queued.put(None)
        end = time.monotonic() + self._stop_timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        alive = sum(thread.is_alive() for thread in self._threads)
        if alive:
            seconds = self._stop_timeout
            _log.warning(
                "abandoning %s still running %g s after the server stopped",
                plural(alive, "handler"),
                seconds,
                extra={"handlers": alive, "timeout_s": seconds},
            )
