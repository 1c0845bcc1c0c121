"""Whether a browser shows live pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Watch"]

_WATCHED_S: Final = 15.0


class Watch:
    """Whether a browser shows live pages, so that programs should push more often. Threads may share it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = 0.0

    def touch(self) -> None:
        """Note that a live page was requested."""
        self._until = self._now() + _WATCHED_S

    @property
    def is_watched(self) -> bool:
        """Whether a live page was requested in the last 15 seconds."""
        return self._now() < self._until
