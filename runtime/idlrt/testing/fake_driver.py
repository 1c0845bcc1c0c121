"""`Driver` in virtual time for tests: sleeping advances the clock at once, and every run is the same.

Coroutines run in the order in which they become ready; when none is ready, the clock jumps to the next one that
sleeps. A test of a filter that retries for an hour takes microseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from idlrt.testing.virtual_time import Task, VirtualTimeDriver

__all__ = ["FakeDriver"]

T = TypeVar("T")


class _Outcome(Generic[T]):
    """Result or error of a task."""

    def __init__(self) -> None:
        self.is_done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def end(self, task: Task, result: T | None, error: BaseException | None) -> None:
        self.is_done, self.result, self.error = True, result, error


class FakeDriver(VirtualTimeDriver):
    """A `Driver` in virtual time. Run coroutines that use it with `run`.

    Args:
        start: initial time of its clock, in seconds.

    Attributes:
        slept: seconds of each `sleep`, in the order of the calls.
    """

    def __init__(self, start: float = 0.0) -> None:
        super().__init__(start)
        self.slept: list[float] = []
        self._background: list[_Outcome[None]] = []

    def advance(self, seconds: float) -> None:
        """Advance the clock outside of `run`."""
        self.time += seconds

    async def sleep(self, seconds: float) -> None:
        """Advance the clock by `seconds` for the current task, and record them in `slept`."""
        self.slept.append(seconds)
        await super().sleep(seconds)

    def spawn(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine in the background, while `run` runs another one; `finish` waits for it."""
        self._background = [each for each in self._background if not each.is_done]
        self._background.append(self._begin(start()))

    def finish(self) -> None:
        """Run the background coroutines to their end.

        Raises:
            BaseException: the error of the first one that failed.
        """
        for each in self._background:
            self._complete(each)
        self._background.clear()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end; return its result or raise its error.

        Raises:
            RuntimeError: it awaits something that does not belong to this driver, or that never happens.
        """
        return self._complete(self._begin(coroutine))

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> _Outcome[T]:
        outcome = _Outcome[T]()
        self.start(coroutine, outcome.end)
        return outcome

    def _complete(self, outcome: _Outcome[T]) -> T:
        while not outcome.is_done:
            if not self.heap:
                raise RuntimeError("deadlock in virtual time: all coroutines wait and none of them sleeps")
            when, _, _, task, turn = heapq.heappop(self.heap)
            if task.turn == turn:  # otherwise it was resumed before, and the clock must not move for it
                self.time = max(self.time, when)
                self.step(task)
        if outcome.error is not None:
            raise outcome.error
        return outcome.result  # type: ignore[return-value]  # T may be None itself
