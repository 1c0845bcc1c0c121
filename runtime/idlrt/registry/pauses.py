"""Exponential backoff with jitter."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

__all__ = ["Pauses"]

_FIRST: Final = 0.1
_FACTOR: Final = 1.6
_JITTER: Final = 0.2


class Pauses:
    """Delays between retries: exponential backoff with jitter, without an end, so that a client reconnects even after a
    registry was down for hours.

    Args:
        longest: upper bound of a delay before jitter, in seconds.
        dice: random number generator, uniform between 0 and 1.
    """

    def __init__(self, longest: float = 5.0, dice: Callable[[], float] = random.random) -> None:
        self._longest = longest
        self._dice = dice
        self._next = _FIRST

    def next(self) -> float:
        """Return the delay before the next attempt, in seconds."""
        pause = self._next
        self._next = min(pause * _FACTOR, self._longest)
        return pause * (1 + _JITTER * (2 * self._dice() - 1))

    def reset(self) -> None:
        """Start over with the shortest delay, after a success."""
        self._next = _FIRST
