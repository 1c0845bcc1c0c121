"""A driver with virtual time: sleeping moves the clock, nothing waits, and every run is the same.

It is a small scheduler of its own. Coroutines run in the order in which they became ready; when none is, the
clock jumps to the next one that sleeps. So a test of a filter that retries for an hour takes microseconds.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["FakeDriver"]

T = TypeVar("T")


class _Task(Generic[T]):
    """A coroutine of the scheduler, and what came of it."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.coroutine = coroutine
        self.is_done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        # Who waits for it.
        self.waiting: _Task[Any] | None = None
        # Which of its pauses counts: one of which an event has woken it is over before its time.
        self.pause = 0


class _Pause:
    """Awaited by a sleeper."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __await__(self) -> Generator[Any, None, None]:
        yield self


class _Until(_Pause):
    """Awaited by who waits for an event, but not for ever."""

    def __init__(self, at: float, event: _FakeEvent) -> None:
        super().__init__(at)
        self.event = event


class _FakeEvent:
    """An `Event`."""

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self._is_set = False
        self.waiting: _Task[Any] | None = None

    def set(self) -> None:
        """See `Event.set`."""
        self._is_set = True
        if self.waiting is not None:
            self._driver.wake(self.waiting)
            self.waiting = None

    async def wait(self, seconds: float) -> bool:
        """See `Event.wait`."""
        if not self._is_set:
            try:
                await _Until(self._driver.now() + max(seconds, 0.0), self)
            finally:
                self.waiting = None
        return self._is_set


class _AnyOf:
    """Awaited by who waits until one of several has ended."""

    def __init__(self, tasks: list[_Task[Any]]) -> None:
        self.tasks = tasks

    def __await__(self) -> Generator[Any, None, None]:
        yield self


async def _pause(at: float) -> None:
    await _Pause(at)


class FakeDriver:
    """A `Driver` in virtual time. Run what uses it with `run`.

    Args:
        start: seconds on its clock at the beginning.

    Attributes:
        slept: seconds of each `sleep`, in the order in which they were asked for.
    """

    def __init__(self, start: float = 0.0) -> None:
        self.slept: list[float] = []
        self._now = start
        self._ready: deque[_Task[Any]] = deque()
        self._sleeping: list[tuple[float, int, _Task[Any]]] = []
        self._counter = itertools.count(1)
        self._beside: list[_Task[None]] = []

    def now(self) -> float:
        """See `Driver.now`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass outside of `run`."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """See `Driver.sleep`."""
        self.slept.append(seconds)
        await _Pause(self._now + max(seconds, 0.0))

    async def race(
        self,
        starts: Iterable[Callable[[], Coroutine[Any, Any, T]]],
        delay: float = 0.0,
        is_final: Callable[[BaseException], bool] = lambda error: False,
    ) -> T:
        """See `Driver.race`. Losers are closed."""
        runners = iter(starts)
        running: list[_Task[T]] = []

        def begin() -> bool:
            start = next(runners, None)
            if start is not None:
                running.append(self._spawn(start()))
            return start is not None

        is_more = begin()
        if not is_more:
            raise ValueError("cannot race: there are no tasks")
        while is_more and delay <= 0:
            is_more = begin()
        last: BaseException | None = None
        alarm: _Task[None] | None = None
        try:
            while running:
                alarm = self._spawn(_pause(self._now + delay)) if is_more else None
                await _AnyOf([*running, *([alarm] if alarm is not None else [])])
                ended = [each for each in running if each.is_done]
                if alarm is not None and not alarm.is_done:
                    self._drop(alarm)
                if not ended:
                    is_more = begin()
                for task in sorted(ended, key=lambda each: each.error is not None):  # who has won counts first
                    running.remove(task)
                    if task.error is None:
                        result: T = task.result  # type: ignore[assignment]  # T may be None itself
                        return result
                    last = task.error
                    if is_final(last):
                        raise last
                    is_more = is_more and begin()
            assert last is not None
            raise last
        finally:
            if alarm is not None:
                self._drop(alarm)
            for task in running:
                self._drop(task)

    async def all(
        self, starts: Sequence[Callable[[], Coroutine[Any, Any, T]]], at_once: int = 16
    ) -> list[T | Exception]:
        """See `Driver.all`."""
        outcomes: list[Any] = [None] * len(starts)
        waiting = list(enumerate(starts))[::-1]
        running: dict[int, _Task[T]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    number, start = waiting.pop()
                    running[number] = self._spawn(start())
                await _AnyOf(list(running.values()))
                for number, task in [each for each in running.items() if each[1].is_done]:
                    del running[number]
                    if task.error is not None and not isinstance(task.error, Exception):
                        raise task.error
                    outcomes[number] = task.result if task.error is None else task.error
        finally:
            for task in running.values():
                self._drop(task)
        return outcomes

    def beside(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Driver.beside`. It goes on while `run` runs something; `finish` waits for it."""
        self._beside = [each for each in self._beside if not each.is_done]
        self._beside.append(self._spawn(start()))

    def finish(self) -> None:
        """Run what goes on in the background to its end.

        Raises:
            BaseException: what one of them raised.
        """
        for task in self._beside:
            self._run_task(task)
        self._beside.clear()

    def event(self) -> _FakeEvent:
        """See `Driver.event`."""
        return _FakeEvent(self)

    def wake(self, task: _Task[Any]) -> None:
        """Let a task that pauses go on at once."""
        if task.pause:
            task.pause = 0
            self._ready.append(task)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end; its result or its error.

        Raises:
            RuntimeError: it waits for something that is not of this driver, or that never happens.
        """
        return self._run_task(self._spawn(coroutine))

    def _run_task(self, main: _Task[T]) -> T:
        while not main.is_done:
            if not self._ready:
                if not self._sleeping:
                    raise RuntimeError("everything waits and nothing sleeps: this would never end")
                at, pause, task = heapq.heappop(self._sleeping)
                if task.pause != pause:
                    continue
                task.pause = 0
                self._now = max(self._now, at)
                self._ready.append(task)
            self._step(self._ready.popleft())
        if main.error is not None:
            raise main.error
        return main.result  # type: ignore[return-value]  # T may be None itself

    def _spawn(self, coroutine: Coroutine[Any, Any, T]) -> _Task[T]:
        task = _Task(coroutine)
        self._ready.append(task)
        return task

    def _step(self, task: _Task[Any]) -> None:
        if task.is_done:
            return
        try:
            request = task.coroutine.send(None)
        except StopIteration as stop:
            task.result = stop.value
            self._end(task)
        except BaseException as error:  # noqa: BLE001  # handed to who waits for the task
            task.error = error
            self._end(task)
        else:
            self._serve(task, request)

    def _serve(self, task: _Task[Any], request: object) -> None:
        if isinstance(request, _Pause):
            task.pause = next(self._counter)
            heapq.heappush(self._sleeping, (request.at, task.pause, task))
            if isinstance(request, _Until):
                request.event.waiting = task
        elif isinstance(request, _AnyOf):
            if any(each.is_done for each in request.tasks):
                self._ready.append(task)
            for each in request.tasks:
                each.waiting = task
        else:
            task.coroutine.close()
            task.error = RuntimeError(f"a coroutine awaited {request!r}, which is not of the fake driver")
            self._end(task)

    def _end(self, task: _Task[Any]) -> None:
        task.is_done = True
        if task.waiting is not None:
            if task.waiting not in self._ready:
                self._ready.append(task.waiting)
            task.waiting = None

    def _drop(self, task: _Task[Any]) -> None:
        task.is_done = True
        task.waiting = None
        task.pause = 0
        task.coroutine.close()
