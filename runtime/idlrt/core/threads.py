"""Thread pool for the concurrency of blocking clients.

Idle threads are reused, because starting a thread takes longer than a call. They are daemon threads: one that still
waits for a server does not delay the exit of the program. Tasks run in a copy of the context (`contextvars`) of the
thread that started them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Final

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger

__all__ = ["THREADS", "Threads"]

_log: Final = get_logger("idlrt.client")

_SPARE_SECONDS: Final = 10.0

Inbox = queue.SimpleQueue[Callable[[], object]]


class Threads:
    """Unbounded pool of daemon threads.

    Args:
        spare_seconds: seconds after which an idle thread ends.
    """

    def __init__(self, spare_seconds: float = _SPARE_SECONDS) -> None:
        self._spare_seconds = spare_seconds
        self._idle: list[Inbox] = []
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Start with an empty pool after a fork: the threads exist in the parent only."""
        self._lock = threading.Lock()
        self._idle = []

    @property
    def idle(self) -> int:
        """Number of idle threads."""
        return len(self._idle)

    def run(self, work: Callable[[], object]) -> None:
        """Run `work` immediately on an idle or new thread. Exceptions are logged."""
        task = _in_context(work)
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
            if inbox is not None:
                inbox.put(task)
                return
        threading.Thread(target=self._serve, args=(task,), name="idlrt background", daemon=True).start()

    def _serve(self, task: Callable[[], object] | None) -> None:
        inbox: Inbox = queue.SimpleQueue()
        while task is not None:
            try:
                task()
            except BaseException:  # noqa: BLE001
                _log.exception("background thread task failed")
            task = None
            with self._lock:
                idle = self._idle
                idle.append(inbox)
            try:
                task = inbox.get(timeout=self._spare_seconds)
            except queue.Empty:
                with self._lock:
                    if inbox in idle:
                        idle.remove(inbox)
                        return
                # `run` has just taken it and put a task; or a signal handler's exception interrupted the release.
                try:
                    task = inbox.get_nowait()
                except queue.Empty:
                    return


def _in_context(work: Callable[[], object]) -> Callable[[], object]:
    context = copy_context()
    return lambda: context.run(work)


THREADS: Final = Threads()
"""The pool of the process."""
