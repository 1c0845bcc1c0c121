"""An asyncio event loop in virtual time: its clock jumps to the next timer whenever there is nothing else to do.

For code that only waits for timers and for its own tasks: what comes from other threads and the network takes no time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from idlrt.core import AsyncioDriver

__all__ = ["VirtualDriver", "VirtualLoop", "run_virtual"]

T = TypeVar("T")


class _Clock(selectors.DefaultSelector):
    """A selector that does not wait for timers; it moves the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(None if timeout is None else 0)
        if not found and timeout:
            self.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._clock.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass in which nothing goes on, as in a process that stands still."""
        self._clock.now += seconds


class VirtualDriver(AsyncioDriver):
    """Its clock is that of the running event loop."""

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion on a new loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
