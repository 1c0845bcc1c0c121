"""What a client has measured of an instance. Measuring is here, choosing in the balancers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from idlrt.core.leases import Lease, Leases

__all__ = ["Load"]

# Seconds after which an old measurement counts a third, and that an instance is taken to need before there is one.
DECAY: Final = 10.0
DEFAULT: Final = 0.030
_LONGEST: Final = 30.0


def _none() -> int:
    return 0


class Load:
    """One instance. Threads may share it: what they lose to each other is a measurement.

    The latency is a peak EWMA: it follows a rise at once, and forgets it slowly, so that an instance that has become
    slow is noticed by the first call that it holds up. Sources: Finagle's `PeakEwma`; linkerd's defaults (10 s, 30 ms);
    brpc's rule for failures.

    Attributes:
        calls: leases of the calls under way: `len(load.calls)` is `load.under_way`, in half the time.
        connections: tells how many connections there are.
    """

    __slots__ = ("_at", "_latency", "calls", "connections")

    def __init__(self, connections: Callable[[], int] = _none) -> None:
        self.calls = Leases()
        self.connections = connections
        self._latency = 0.0
        self._at = 0.0

    @property
    def under_way(self) -> int:
        """Calls that this client has there."""
        return len(self.calls)

    def began(self) -> Lease:
        """Count a call as under way until the lease that is returned is deleted, or lost in an exception."""
        return self.calls.begin()

    def latency(self, now: float) -> float:
        """Seconds that a call is expected to take there."""
        if not self._latency:
            return DEFAULT
        # What is not called is forgiven: it would never be called again otherwise.
        return self._latency * math.exp(-max(now - self._at, 0.0) / DECAY)

    def answered(self, seconds: float, now: float) -> None:
        """A call has taken so long."""
        seconds = max(seconds, 1e-6)
        if seconds > self._latency:
            self._latency = seconds
        else:
            share = math.exp(-max(now - self._at, 0.0) / DECAY)
            self._latency = self._latency * share + seconds * (1 - share)
        self._at = now

    def failed(self, seconds: float, timeout: float, now: float) -> None:
        """A call has come to nothing after so long; who fails fast must not look fast.

        Args:
            timeout: that the call had.
        """
        self._latency = min(max(seconds, timeout, 2 * self._latency), _LONGEST)
        self._at = now
