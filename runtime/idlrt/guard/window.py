"""Counting what was good and what was bad in the last seconds.

The seconds are cut into buckets. Only the present one is counted in; the sums of the others are made when it ends. So
to count costs an addition, whatever the number of buckets.
"""

from __future__ import annotations

import threading

from idlrt.core.forks import forks

__all__ = ["Window"]


class Window:
    """Two counts. Threads may share it; a count that two add to at the same time may lose one: it is a measurement.

    Whoever counts, or asks, does it in this way:

        if now >= window.ends:
            window.turn(now)
        window.good += 1

    Args:
        seconds: how far back it reaches, the present bucket included.
        buckets: how many.

    Attributes:
        ends: when the present bucket does.
        good: in the present bucket; `bad` likewise.
        good_before: in the other buckets; `bad_before` likewise.
    """

    __slots__ = (
        "__weakref__",
        "_lock",
        "_past",
        "_place",
        "_width",
        "bad",
        "bad_before",
        "ends",
        "good",
        "good_before",
    )

    def __init__(self, seconds: float, buckets: int) -> None:
        self.renew()
        forks.renew(self)
        self._width = seconds / buckets
        self._past: list[tuple[int, int]] = [(0, 0)] * (buckets - 1)
        self._place = 0
        self.ends = float("-inf")
        self.good = self.bad = self.good_before = self.bad_before = 0

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.Lock()

    def turn(self, now: float) -> None:
        """Begin a new bucket if the present one has ended."""
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
                ended = self.good, self.bad
                for _ in range(passed):
                    self._past[self._place] = ended
                    self._place = (self._place + 1) % count
                    ended = 0, 0
            self.good = self.bad = 0
            self.good_before = sum(good for good, _ in self._past)
            self.bad_before = sum(bad for _, bad in self._past)
            self.ends += passed * self._width

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._past = [(0, 0)] * len(self._past)
            self.good = self.bad = self.good_before = self.bad_before = 0
