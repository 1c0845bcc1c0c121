"""Reservoir: at most a number of events in a second, evenly inside the second.

Ten or more a second are spread over its tenths: the allowance grows by a tenth with each of them, and the remainder
comes first. Fewer than one a second come in intervals. Seconds begin at a random time, so that the instances of a fleet
do not sample all at once.

Source: https://github.com/openzipkin/brave, `RateLimitingSampler`
"""

from __future__ import annotations

import math
import threading
from typing import Final

from idlrt.core import ClockAndRandom
from idlrt.core.forks import forks

__all__ = ["REAL", "Reservoir"]

REAL: Final = ClockAndRandom()
"""The real clock and random numbers."""

_TENTHS: Final = 10


class Reservoir:
    """Allowance of events. Threads may share it; a refusal takes no lock.

    Args:
        rate: events per second; 0: none.
        sources: clock and random numbers.

    Attributes:
        blocked_until: time before which no event is allowed.
    """

    __slots__ = ("__weakref__", "_allowed_at", "_lock", "_quota", "_rate", "_second", "_taken", "blocked_until")

    def __init__(self, rate: float, sources: ClockAndRandom) -> None:
        self._rate = rate
        # Begin of second 0, whose quota depends on a random phase.
        self._allowed_at = sources.now() - sources.rng()
        self._second: int = -1
        self._quota: int = 0
        self._taken: int = 0
        self.blocked_until = -math.inf if rate > 0 else math.inf
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def take(self, now: float) -> bool:
        """Return whether an event is allowed at `now`, on the clock of the reservoir, and count it."""
        if now < self.blocked_until:
            return False
        with self._lock:
            return now >= self.blocked_until and self._take(now)

    def postpone(self, until: float) -> None:
        """Allow no event before `until`."""
        with self._lock:
            self.blocked_until = max(self.blocked_until, until)

    def _take(self, now: float) -> bool:
        rate = self._rate
        if rate < 1:
            self.blocked_until = now + 1 / rate
            return True
        passed = now - self._allowed_at
        second: int = math.floor(passed)
        if second != self._second:
            self._second, self._taken = second, 0
            # A fraction adds one to the quota of some seconds.
            self._quota = math.floor((second + 1) * rate) - math.floor(second * rate)
        if rate < _TENTHS:
            allowance, wait_until = self._quota, second + 1.0
        else:
            tenth = math.floor((passed - second) * _TENTHS)
            share, remainder = divmod(self._quota, _TENTHS)
            allowance, wait_until = remainder + share * (tenth + 1), second + (tenth + 1) / _TENTHS
        is_allowed = self._taken < allowance
        self._taken += is_allowed
        if self._taken >= allowance:
            self.blocked_until = self._allowed_at + wait_until
        return is_allowed
