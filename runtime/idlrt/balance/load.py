"""Load of an instance as a client measures it: calls in flight and latency. Balancers read it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from idlrt.core.leases import Lease, Leases

__all__ = ["Load"]

# Time constant of the EWMA in seconds: after it, an old measurement counts 1/e.
DECAY: Final = 10.0
# Latency in seconds that is assumed before the first measurement.
DEFAULT: Final = 0.030
# Upper bound in seconds for the penalty of failures.
_MAX_PENALTY: Final = 30.0


def _none() -> int:
    return 0


class Load:
    """Load of one instance. Threads may share it; a race loses at most a measurement.

    The latency is a peak EWMA: it follows a rise immediately and decays slowly, so that the first slow call reveals an
    instance that has become slow. Sources: Finagle's `PeakEwma`; linkerd's defaults (10 s, 30 ms); brpc's rule for
    failures.

    Attributes:
        calls: leases of the calls in flight: `len(load.calls)` equals `load.in_flight`, in half the time.
        connections: returns the number of open connections.
    """

    __slots__ = ("_at", "_latency", "calls", "connections")

    def __init__(self, connections: Callable[[], int] = _none) -> None:
        self.calls = Leases()
        self.connections = connections
        self._latency = 0.0
        self._at = 0.0

    @property
    def in_flight(self) -> int:
        """Calls that this client has in flight to the instance."""
        return len(self.calls)

    def begin(self) -> Lease:
        """Count a call as in flight until the returned lease is garbage collected, e.g. because of an exception."""
        return self.calls.begin()

    def latency(self, now: float) -> float:
        """Return the expected latency of a call in seconds."""
        if not self._latency:
            return DEFAULT
        # Decay without new measurements too: a slow instance would never be called again otherwise.
        return self._latency * math.exp(-max(now - self._at, 0.0) / DECAY)

    def record_success(self, seconds: float, now: float) -> None:
        """Record a call that was answered after `seconds`."""
        seconds = max(seconds, 1e-6)
        if seconds > self._latency:
            self._latency = seconds
        else:
            share = math.exp(-max(now - self._at, 0.0) / DECAY)
            self._latency = self._latency * share + seconds * (1 - share)
        self._at = now

    def record_failure(self, seconds: float, timeout: float, now: float) -> None:
        """Record a call that failed after `seconds`. Failing fast must not make an instance look fast.

        Args:
            timeout: timeout of the call in seconds.
        """
        self._latency = min(max(seconds, timeout, 2 * self._latency), _MAX_PENALTY)
        self._at = now
