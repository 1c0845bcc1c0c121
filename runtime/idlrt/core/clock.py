"""Injected clock and random numbers, so that balancers, routers and guards are tested deterministically."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from idlrt.exports import warn_deprecated

__all__ = ["ClockAndRandom"]


class ClockAndRandom(msgspec.Struct, frozen=True):
    """A clock and a source of random numbers.

    Attributes:
        now: returns seconds on a monotonic clock.
        rng: returns random numbers, at least 0 and below 1.
    """

    now: Callable[[], float] = time.monotonic
    rng: Callable[[], float] = random.random

    @property
    def dice(self) -> Callable[[], float]:
        """Old name of `rng`, deprecated."""
        warn_deprecated("dice of ClockAndRandom is deprecated: use rng")
        return self.rng

    def below(self, count: int) -> int:
        """Return a random integer, at least 0 and below `count`."""
        return int(self.rng() * count)
