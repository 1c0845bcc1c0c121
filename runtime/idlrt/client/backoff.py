"""Exponential backoff of connection attempts to a server.

The first failures in a row are retried without a pause, because a server that restarts is back in a moment. After
that each failure multiplies the pause before the next attempt by 1.6, up to 2 s; calls in between fail at once with the
last error. Pauses have a jitter of 20 %, so that clients that lost the same server do not reconnect at the same time.

Source: gRPC's connection backoff, https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md, with shorter
pauses, because clients fail over to other instances.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from idlrt.core import Call
from idlrt.errors import ConnectFailed

__all__ = ["Backoff"]

# The consecutive failure from which on attempts pause.
_FREE: Final = 3
# Pauses, in seconds.
_FIRST: Final = 0.1
_FACTOR: Final = 1.6
_LONGEST: Final = 2.0
_JITTER: Final = 0.2


class Backoff:
    """Backoff state of one target.

    Threads may share it without a lock: a race costs at most one more connection attempt.

    Args:
        now: clock, in seconds.
        rng: random numbers between 0 and 1, for the jitter.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, rng: Callable[[], float] = random.random) -> None:
        self._now = now
        self._rng = rng
        self._failures = 0
        self._again_at = 0.0
        self._last: ConnectFailed | None = None

    def check(self, call: Call) -> None:
        """Check that a connection attempt may be made for `call`.

        Raises:
            ConnectFailed: the pause is not over; the message has the last error.
        """
        if self._last is None:
            return
        left = self._again_at - self._now()
        if left > 0:
            what = f"not connecting to {call.target} for {call.method.full_name}"
            last = "the last attempt" if self._failures == 1 else f"the last {self._failures} attempts"
            # Without what was attempted, which was the same.
            why = f"{last} failed ({str(self._last).partition(': ')[2] or self._last})"
            raise ConnectFailed(f"{what}: {why}; next attempt in {left:.2g} s")

    def failed(self, error: ConnectFailed) -> None:
        """Record a failed attempt."""
        self._failures += 1
        if self._failures < _FREE:
            return
        pause = min(_FIRST * _FACTOR ** (self._failures - _FREE), _LONGEST)
        self._again_at = self._now() + pause * (1 + _JITTER * (2 * self._rng() - 1))
        # A copy: the traceback of the original would keep the call alive.
        self._last = ConnectFailed(str(error))

    def succeeded(self) -> None:
        """Record a successful attempt: the next failure starts from the beginning."""
        self._failures = 0
        self._last = None
