"""How busy this process is, of one processor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from idlrt.core.forks import forks

__all__ = ["FULL", "ProcessCpu"]

FULL: Final = 1000.0
"""What a process that never rests has, in thousandths."""

# go-zero's: seconds between two looks, and the part of what was known that is kept by each.
_INTERVAL: Final = 0.25
_BETA: Final = 0.95


class ProcessCpu:
    """Thousandths of one processor that this process uses, smoothed: call it. Threads may share it.

    One processor, because Python's threads share a lock that lets one of them run at a time: a process is at its end
    when it uses one of them up, however many the machine has. (Where extensions let go of that lock more can be used;
    that counts as 1000.) `psutil` would tell the use of all processors by everybody, which says little about that lock;
    for the process alone it tells what `time.process_time` does. It is a compiled dependency, and it has no clock that
    a test could set.

    Nothing runs in the background: who asks lets it look, at most four times a second.

    Args:
        now: seconds on a clock that never goes back.
        used: seconds of processor time that the process has used.
    """

    __slots__ = ("__weakref__", "_at", "_lock", "_now", "_used", "_used_before", "_value")

    def __init__(
        self, now: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        self.renew()
        forks.renew(self)
        self._now = now
        self._used = used
        self._at = now()
        self._used_before = used()
        self._value = 0.0

    def renew(self) -> None:
        """In a child of the process: nobody holds its lock there."""
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Thousandths, from 0 to 1000."""
        now = self._now()
        if now - self._at >= _INTERVAL:
            with self._lock:
                self._look(now)
        return self._value

    def _look(self, now: float) -> None:
        passed = now - self._at
        if passed < _INTERVAL:
            return
        used = self._used()
        present = min(max((used - self._used_before) / passed, 0.0), 1.0) * FULL
        # Nobody may have asked for a while: what was known is as old as if somebody had.
        kept = _BETA ** (passed / _INTERVAL)
        self._value = self._value * kept + present * (1 - kept)
        self._at = now
        self._used_before = used
