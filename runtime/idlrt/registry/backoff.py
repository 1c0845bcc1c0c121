"""Exponential backoff with jitter."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

__all__ = ["Backoff"]

_FIRST: Final = 0.1
_FACTOR: Final = 1.6
_JITTER: Final = 0.2


class Backoff:
    """Delays between retries: exponential backoff with jitter, without an end, so that a client reconnects even after a
    registry was down for hours.

    Args:
        max_delay: upper bound of a delay before jitter, in seconds.
        uniform: random number generator, uniform between 0 and 1.
    """

    def __init__(self, max_delay: float = 5.0, uniform: Callable[[], float] = random.random) -> None:
        self._max_delay = max_delay
        self._uniform = uniform
        self._next = _FIRST

    def next_delay(self) -> float:
        """Return the delay before the next attempt, in seconds."""
        delay = self._next
        self._next = min(delay * _FACTOR, self._max_delay)
        return delay * (1 + _JITTER * (2 * self._uniform() - 1))

    def reset(self) -> None:
        """Start over with the shortest delay, after a success."""
        self._next = _FIRST
