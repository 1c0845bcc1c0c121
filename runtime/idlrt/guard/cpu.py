"""CPU usage of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from idlrt.core.forks import forks

__all__ = ["FULL", "ProcessCpu"]

FULL: Final = 1000.0
"""Usage of one whole processor, in thousandths."""

# As in go-zero: seconds between two samples, and the weight of the previous average (exponential smoothing).
_INTERVAL: Final = 0.25
_BETA: Final = 0.95


class ProcessCpu:
    """Callable that returns the smoothed CPU usage of this process, in thousandths of one processor. Thread-safe.

    The scale is one processor, because the GIL lets one thread run at a time: a process is saturated when it uses one
    processor, however many the machine has. (Extensions that release the GIL can use more; that counts as 1000.)
    `psutil` measures the usage of all processors by all processes, which says little about the GIL; for a single
    process it returns the same as `time.process_time`. It is a compiled dependency, and tests could not inject a clock.

    There is no background thread: calls take samples, at most 4 per second.

    Args:
        now: monotonic clock, in seconds.
        used: CPU time of the process, in seconds.
    """

    __slots__ = ("__weakref__", "_at", "_lock", "_now", "_used", "_used_before", "_value")

    def __init__(
        self, now: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        self.after_fork()
        forks.register(self)
        self._now = now
        self._used = used
        self._at = now()
        self._used_before = used()
        self._value = 0.0

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the usage, from 0 to 1000."""
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
        # After a pause in sampling the previous average decays as if samples had been taken.
        kept = _BETA ** (passed / _INTERVAL)
        self._value = self._value * kept + present * (1 - kept)
        self._at = now
        self._used_before = used
