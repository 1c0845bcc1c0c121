"""How long to wait before something that failed is tried again: longer each time, never the same for all clients."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

__all__ = ["Pauses"]

_FIRST: Final = 0.1
_FACTOR: Final = 1.6
_SHAKE: Final = 0.2


class Pauses:
    """Pauses that grow. It goes on for ever: a registry that was gone for a night is found again in the morning.

    Args:
        longest: seconds that they grow to.
        dice: gives numbers from 0 to 1.
    """

    def __init__(self, longest: float = 5.0, dice: Callable[[], float] = random.random) -> None:
        self._longest = longest
        self._dice = dice
        self._next = _FIRST

    def next(self) -> float:
        """Seconds to wait now."""
        pause = self._next
        self._next = min(pause * _FACTOR, self._longest)
        return pause * (1 + _SHAKE * (2 * self._dice() - 1))

    def reset(self) -> None:
        """It has worked."""
        self._next = _FIRST
