"""Sliding window of successes and failures.

The window is divided into buckets. Events are counted in the current bucket; the sums of the earlier ones are computed
when it ends. So counting an event costs one addition, whatever the number of buckets.
"""

from __future__ import annotations

import threading

from idlrt.core.forks import forks

__all__ = ["Window"]


class Window:
    """Two counters over a sliding window. Threads may share it; simultaneous increments may lose one of them, which
    statistics tolerate.

    Before counters are read or incremented, an expired bucket must be closed:

        if now >= window.ends:
            window.rotate(now)
        window.successes += 1

    Args:
        seconds: length of the window, the current bucket included.
        buckets: number of buckets.

    Attributes:
        ends: time at which the current bucket ends.
        successes: successes in the current bucket; `failures` likewise for failures.
        earlier_successes: successes in the earlier buckets; `earlier_failures` likewise for failures.
    """

    __slots__ = (
        "__weakref__",
        "_lock",
        "_past",
        "_place",
        "_width",
        "earlier_failures",
        "earlier_successes",
        "ends",
        "failures",
        "successes",
    )

    def __init__(self, seconds: float, buckets: int) -> None:
        self.after_fork()
        forks.register(self)
        self._width = seconds / buckets
        self._past: list[tuple[int, int]] = [(0, 0)] * (buckets - 1)
        self._place = 0
        self.ends = float("-inf")
        self.successes = self.failures = self.earlier_successes = self.earlier_failures = 0

    def after_fork(self) -> None:
        """Replace the lock after a fork."""
        self._lock = threading.Lock()

    def rotate(self, now: float) -> None:
        """Start a new bucket if the current one has ended."""
        with self._lock:
            if now < self.ends:
                return
            if self.ends == float("-inf"):
                self.ends = now + self._width
                return
            passed = int((now - self.ends) / self._width) + 1
            if self.ends + passed * self._width <= now:  # it was rounded down
                passed += 1
            count = len(self._past)
            if passed > count:
                self._past = [(0, 0)] * count
            elif count:
                ended = self.successes, self.failures
                for _ in range(passed):
                    self._past[self._place] = ended
                    self._place = (self._place + 1) % count
                    ended = 0, 0
            self.successes = self.failures = 0
            self.earlier_successes = sum(good for good, _ in self._past)
            self.earlier_failures = sum(bad for _, bad in self._past)
            self.ends += passed * self._width

    def clear(self) -> None:
        """Reset all counters."""
        with self._lock:
            self._past = [(0, 0)] * len(self._past)
            self.successes = self.failures = self.earlier_successes = self.earlier_failures = 0
