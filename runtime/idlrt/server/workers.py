"""Plain handlers on threads of their own: a bounded number of them, and a bounded queue.

Who comes when the queue is full is refused at once, with an answer that says that nobody has worked on the call.
A queue that grows would make everybody wait for work whose callers have gone. Results come back in batches: many
that end in one round of the server's loop wake it once.
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
from idlrt.server.forked import end_child
from idlrt.server.signals import entry
from idlrt.server.surroundings import Done

__all__ = ["WorkerPool", "outcome"]

_log = get_logger("idlrt.server")

_STOP_TIMEOUT: Final = 2.0


@entry
def outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Do a piece of work of a user; what has become of it."""
    before = forks.count
    try:
        result, error = work(), None
    except BaseException as raised:  # noqa: BLE001  # handed on
        result, error = None, raised
    if forks.count != before:
        end_child(error)
    return result, error


class WorkerPool:
    """The threads and their queue. All of it but the threads' own work belongs to the server's thread.

    Args:
        count: threads at most; they are started when they are needed.
        max_queued: pieces of work that may wait for a thread.
        deliver: calls a function on the server's thread; may be used by any thread.
        stop_timeout: seconds that `stop` waits for handlers that are running.
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
        self._most = count + max_queued
        self._deliver = deliver
        self._stop_timeout = stop_timeout
        self._under_way = 0
        self._coming: queue.SimpleQueue[tuple[Callable[[], Any], Done] | None] = queue.SimpleQueue()
        self._going: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._is_delivery_due = False
        self._threads: list[threading.Thread] = []
        self._idents: set[int] = set()

    @property
    def threads(self) -> set[int]:
        """Which threads they are, as `threading.get_ident` says."""
        return self._idents

    def submit(self, work: Callable[[], Any], done: Done) -> bool:
        """Let a thread do `work`, then call `done(result, error)` on the server's thread.

        Returns:
            `False` if the queue is full: nothing has been done.
        """
        if self._under_way >= self._most:
            return False
        self._under_way += 1
        self._coming.put((work, done))
        if len(self._threads) < min(self._under_way, self._count):
            thread = threading.Thread(target=self._run, name=f"idlrt worker {len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return True

    def _run(self) -> None:
        self._idents.add(threading.get_ident())
        while (item := self._coming.get()) is not None:
            work, done = item
            result, error = outcome(work)
            self._going.append((done, result, error))
            # Nothing of a call may live until the next one comes.
            del item, work, done, result, error
            if not self._is_delivery_due:
                self._is_delivery_due = True
                self._deliver(self._hand_over)

    def _hand_over(self) -> None:
        # First the flag: who appends from here on comes again.
        self._is_delivery_due = False
        while self._going:
            done, result, error = self._going.popleft()
            self._under_way -= 1
            done(result, error)

    def stop(self) -> None:
        """End the threads. What waits is not begun; a handler that does not return is left behind with a warning."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._coming.get_nowait()
        for _ in self._threads:
            self._coming.put(None)
        end = time.monotonic() + self._stop_timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        alive = sum(thread.is_alive() for thread in self._threads)
        if alive:
            seconds = self._stop_timeout
            _log.warning("left behind %d handlers that had not returned within %g s after the end", alive, seconds)
