"""Threads for what a blocking client does at the same time: kept for a while, because making one takes longer than a
call.

They are daemons: who is still waiting for a server when the program ends holds nobody up. What runs there sees the
context (`contextvars`) of who started it.
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
    """See the module.

    Args:
        spare_seconds: after which a thread that has nothing to do ends.
    """

    def __init__(self, spare_seconds: float = _SPARE_SECONDS) -> None:
        self._spare_seconds = spare_seconds
        self._idle: list[Inbox] = []
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process: its threads are the parent's."""
        self._lock = threading.Lock()
        self._idle = []

    @property
    def idle(self) -> int:
        """Threads that wait for work."""
        return len(self._idle)

    def run(self, work: Callable[[], object]) -> None:
        """Run `work` on a thread of its own, at once. What it raises is logged."""
        task = _in_context(work)
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
            if inbox is not None:
                inbox.put(task)
                return
        threading.Thread(target=self._serve, args=(task,), name="idlrt beside", daemon=True).start()

    def _serve(self, task: Callable[[], object] | None) -> None:
        inbox: Inbox = queue.SimpleQueue()
        while task is not None:
            try:
                task()
            except BaseException:  # noqa: BLE001
                _log.exception("something on a thread of its own failed")
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
                # It was taken in this moment, with a task; or an exception of a signal handler came between.
                try:
                    task = inbox.get_nowait()
                except queue.Empty:
                    return


def _in_context(work: Callable[[], object]) -> Callable[[], object]:
    context = copy_context()
    return lambda: context.run(work)


THREADS: Final = Threads()
"""Of the process."""
