"""Wait for a condition instead of sleeping: the one way in which tests poll.

A test that waits fails only when the condition does not come true within `TIMEOUT` seconds, which is far longer than
anything takes even on a machine that is busy with other work. It is no measurement: how long something took is never
asserted, see `benchmarks/`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

__all__ = ["TIMEOUT", "eventually", "eventually_async"]

TIMEOUT: Final = 60.0
"""Seconds."""
_SHORTEST: Final = 0.001
_LONGEST: Final = 0.05

T = TypeVar("T")


def _pauses(timeout: float, what: str, seen: Callable[[], object]) -> Iterator[float]:
    """Pauses between two looks, in seconds; they grow, so that waiting costs little.

    Raises:
        AssertionError: `timeout` seconds are over.
    """
    end, pause = time.monotonic() + timeout, _SHORTEST
    while time.monotonic() < end:
        yield pause
        pause = min(pause * 1.5, _LONGEST)
    raise AssertionError(f"not within {timeout:g} s: {what or 'condition'}; last value: {seen()!r}")


def eventually(condition: Callable[[], T | None], what: str = "", *, timeout: float = TIMEOUT) -> T:
    """Return the first true value of `condition`, called again and again.

    Args:
        condition: looks at something that another thread or process changes. Must not block.
        what: the condition in words, for the error.
        timeout: seconds.

    Raises:
        AssertionError: it did not come true in time.
    """
    value = condition()
    pauses = _pauses(timeout, what, lambda: value)
    while not value:
        time.sleep(next(pauses))
        value = condition()
    return value


async def eventually_async(condition: Callable[[], T | None], what: str = "", *, timeout: float = TIMEOUT) -> T:
    """Do what `eventually` does in an event loop, whose other tasks run meanwhile."""
    value = condition()
    pauses = _pauses(timeout, what, lambda: value)
    while not value:
        await asyncio.sleep(next(pauses))
        value = condition()
    return value
