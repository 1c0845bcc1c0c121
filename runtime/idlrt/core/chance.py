"""Clock and dice, injected: what chooses, routes or refuses is proven in virtual time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

__all__ = ["Chance"]


class Chance(msgspec.Struct, frozen=True):
    """Clock and dice.

    Attributes:
        now: seconds, on a clock that never goes back.
        dice: gives numbers from 0 to below 1.
    """

    now: Callable[[], float] = time.monotonic
    dice: Callable[[], float] = random.random

    def below(self, count: int) -> int:
        """A number from 0 to below `count`."""
        return int(self.dice() * count)
