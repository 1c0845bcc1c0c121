"""When a server that could not be reached is tried again.

Some tries in a row cost nothing: a server that restarts is back in a moment. After that each failure doubles (nearly)
the pause before the next try, and calls in between fail at once with what was found, instead of all knocking at a
door that does not open. Pauses are shaken, so that clients that lost the same server do not come back together.

Source: gRPC's connection backoff, https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md, with shorter
times: what fails over is made for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from idlrt.core import Call
from idlrt.errors import ConnectFailed

__all__ = ["Backoff"]

_FREE: Final = 3
_FIRST: Final = 0.1
_FACTOR: Final = 1.6
_LONGEST: Final = 2.0
_SHAKE: Final = 0.2


class Backoff:
    """The state of one target. Threads may share it: what they lose to each other is a try.

    Args:
        now: the clock, in seconds.
        dice: gives numbers from 0 to 1.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, dice: Callable[[], float] = random.random) -> None:
        self._now = now
        self._dice = dice
        self._failures = 0
        self._again_at = 0.0
        self._last: ConnectFailed | None = None

    def check(self, call: Call) -> None:
        """Say whether a try may be made for `call`.

        Raises:
            ConnectFailed: not yet.
        """
        if self._last is None:
            return
        left = self._again_at - self._now()
        if left > 0:
            why = str(self._last)
            what = (
                f"did not try to connect to {call.target} for {call.method.full_name}: the last {self._failures} tries"
            )
            raise ConnectFailed(f"{what} failed ({why}); the next one is due in {left:.2g} s")

    def failed(self, error: ConnectFailed) -> None:
        """A try has failed."""
        self._failures += 1
        if self._failures < _FREE:
            return
        pause = min(_FIRST * _FACTOR ** (self._failures - _FREE), _LONGEST)
        self._again_at = self._now() + pause * (1 + _SHAKE * (2 * self._dice() - 1))
        # Its traceback would hold the call.
        self._last = ConnectFailed(str(error))

    def succeeded(self) -> None:
        """A try has succeeded."""
        self._failures = 0
        self._last = None
