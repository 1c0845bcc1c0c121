"""Whether an instance is to be called, as one client has seen it: from what its calls came to, and from its pings.

A registry may take seconds to notice that an instance is dead; a client that calls it knows at once. It takes the
instance out of its own choice, asks it again after pauses that grow, and takes it back when it answers. Nobody else
hears of it. Decisions only: no clock, no I/O.

Source: Envoy's outlier detection and panic threshold,
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier, with connections that are refused
counting at once: a process that is gone refuses them, and a ping brings it back within a moment.
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Evidence, evidence_of

__all__ = ["Health"]

_FIRST_PAUSE: Final = 0.1
_FACTOR: Final = 1.6
_LONGEST_PAUSE: Final = 5.0


class Health:
    """One instance. Threads may share it: what they lose to each other is a failure in a count.

    Args:
        tolerated: failures in a row after which it is not to be called any more.

    Attributes:
        tolerated: see above.
        failures: in a row.
        is_out: whether it is not to be called.
        heard_at: when it answered last, on the client's clock.
        asked_at: when it was last asked with a ping, or is to be asked at the earliest.
    """

    __slots__ = ("_pause", "asked_at", "failures", "heard_at", "is_out", "tolerated")

    def __init__(self, tolerated: int = 3) -> None:
        self.tolerated = tolerated
        self.failures = 0
        self._pause = _FIRST_PAUSE
        self.is_out = False
        self.heard_at = 0.0
        self.asked_at = 0.0

    def answered(self, now: float) -> bool:
        """It has answered, whatever it said. Whether it is to be called again that was not."""
        self.heard_at = now
        if not self.failures and not self.is_out:
            return False
        self.failures = 0
        self._pause = _FIRST_PAUSE
        was_out, self.is_out = self.is_out, False
        return was_out

    def failed(self, error: Exception, now: float, *, is_ping: bool = False) -> bool:
        """A call, or a ping, has come to nothing. Whether it is not to be called any more that was.

        Once it is out, only pings say that it still is: calls that were under way before end one by one, and would put
        off the next ping each time.
        """
        evidence = evidence_of(error)
        if not evidence.is_failure:
            return False
        self.failures = self.tolerated if evidence is Evidence.UNREACHABLE else self.failures + 1
        if self.failures < self.tolerated:
            return False
        was_out, self.is_out = self.is_out, True
        if was_out and not is_ping:
            return False
        if was_out:
            self._pause = min(self._pause * _FACTOR, _LONGEST_PAUSE)
        self.asked_at = now + self._pause
        return not was_out

    def let_in(self, now: float) -> bool:
        """Where nobody pings it a call has to find out, after the same pauses, whether it is back. Whether it is to be
        called again for that; one more failure is enough then.
        """
        if not self.is_out or now < self.asked_at:
            return False
        self.is_out = False
        self.failures = max(self.tolerated - 1, 1)
        self._pause = min(self._pause * _FACTOR, _LONGEST_PAUSE)
        return True

    def is_ping_due(self, now: float, idle: float) -> bool:
        """Whether it is to be asked whether it is there.

        Args:
            idle: seconds after which one that is called is asked, if it has not answered anything else.
        """
        if self.is_out:
            return now >= self.asked_at
        return now >= max(self.heard_at, self.asked_at) + idle
