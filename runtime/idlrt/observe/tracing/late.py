"""Limit of the spans of calls that were not sampled, but failed or were slow."""

from __future__ import annotations

from typing import Final

__all__ = ["LateLimit"]

_MAX_LATE: Final = 10
_SECOND: Final = 1_000_000_000


class LateLimit:
    """Allows 10 spans in a second. Threads may share it: a race lets a few more pass."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0

    def allows(self, at: int) -> bool:
        """Return whether there may be another one, and count it.

        Args:
            at: monotonic nanoseconds.
        """
        second = at // _SECOND
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= _MAX_LATE
