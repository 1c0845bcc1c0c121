"""An asyncio event loop in virtual time: when nothing is ready, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualLoop", "run_virtual"]

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Advances the clock of its loop instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.loop.virtual_time += timeout
            timeout = 0
        return super().select(timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Not for coroutines that wait for another thread.

    Attributes:
        virtual_time: seconds on its clock.
    """

    def __init__(self) -> None:
        self.virtual_time = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.virtual_time


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
