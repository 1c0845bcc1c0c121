"""Passive and active health checks of one endpoint: consecutive failures of calls, and pings.

A registry may take seconds to notice that an instance has crashed; a client that calls it knows at once. The client
stops calling the instance, pings it after growing pauses, and calls it again once it responds. Other clients are not
affected. This module only decides: it has no clock and does no I/O.

Source: Envoy's outlier detection and panic threshold,
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier. Unlike there, one
refused connection makes an instance unhealthy: a process that has exited refuses them, and a ping brings the instance
back within a moment.
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Evidence, evidence_of

__all__ = ["Health"]

# Seconds between pings of an unhealthy instance.
_FIRST_PAUSE: Final = 0.1
_FACTOR: Final = 1.6
_LONGEST_PAUSE: Final = 5.0


class Health:
    """Health of one endpoint.

    Threads may share it without a lock: a race may lose one failure of a count.

    Args:
        failure_threshold: consecutive failures that make the endpoint unhealthy.

    Attributes:
        failure_threshold: see above.
        failures: consecutive failures.
        is_unhealthy: whether the endpoint is unhealthy.
        last_response_at: time of the last response, on the client's clock.
        pinged_at: time of the last ping; for an unhealthy endpoint the earliest time of the next one.
    """

    __slots__ = ("_pause", "failure_threshold", "failures", "is_unhealthy", "last_response_at", "pinged_at")

    def __init__(self, failure_threshold: int = 3) -> None:
        self.failure_threshold = failure_threshold
        self.failures = 0
        self._pause = _FIRST_PAUSE
        self.is_unhealthy = False
        self.last_response_at = 0.0
        self.pinged_at = 0.0

    def answered(self, now: float) -> bool:
        """Record a response of any kind. Return whether the endpoint was unhealthy before."""
        self.last_response_at = now
        if not self.failures and not self.is_unhealthy:
            return False
        self.failures = 0
        self._pause = _FIRST_PAUSE
        was_out, self.is_unhealthy = self.is_unhealthy, False
        return was_out

    def failed(self, error: Exception, now: float, *, is_ping: bool = False) -> bool:
        """Record a failed call or ping. Return whether the endpoint has become unhealthy.

        Once it is unhealthy, only failed pings lengthen the pause: calls that were in flight before fail one by one,
        and each would delay the next ping.
        """
        evidence = evidence_of(error)
        if not evidence.is_failure:
            return False
        self.failures = self.failure_threshold if evidence is Evidence.UNREACHABLE else self.failures + 1
        if self.failures < self.failure_threshold:
            return False
        was_out, self.is_unhealthy = self.is_unhealthy, True
        if was_out and not is_ping:
            return False
        if was_out:
            self._pause = min(self._pause * _FACTOR, _LONGEST_PAUSE)
        self.pinged_at = now + self._pause
        return not was_out

    def probe_if_due(self, now: float) -> bool:
        """Return an unhealthy endpoint to rotation once its pause is over, if there are no pings: the next call probes
        it, and one more failure makes it unhealthy again. Return whether it was returned.
        """
        if not self.is_unhealthy or now < self.pinged_at:
            return False
        self.is_unhealthy = False
        self.failures = max(self.failure_threshold - 1, 1)
        self._pause = min(self._pause * _FACTOR, _LONGEST_PAUSE)
        return True

    def is_ping_due(self, now: float, idle: float) -> bool:
        """Whether a ping should be sent.

        Args:
            idle: seconds without a response after which a healthy endpoint is pinged.
        """
        if self.is_unhealthy:
            return now >= self.pinged_at
        return now >= max(self.last_response_at, self.pinged_at) + idle
