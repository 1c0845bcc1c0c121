"""A scheduler of coroutines in virtual time: the common part of `FakeDriver` and of the cluster simulator.

All future events are in one heap, as (time, sequence number, function, two arguments). A coroutine of a `Task` suspends
with `yield SUSPEND`, after it has put the event that resumes it into the heap or has passed its task to the code that
resumes it. Each suspension has a number (`Task.turn`), which the resuming code passes along. An event for an earlier
suspension, such as a deadline that expires after the response, is ignored. Sequence numbers keep the order of events of
the same time, so every run is the same.

It is written for speed, because the simulator (`benchmarks.simulate`) makes millions of calls with it: `step` is the
whole cost of resuming a coroutine, and the heap and its numbers are attributes that simulated servers use directly.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from types import coroutine as awaitable
from typing import Any, Final, TypeVar

from idlrt.core.logs import get_logger

__all__ = ["SUSPEND", "Scheduled", "Task", "VirtualTimeDriver"]

T = TypeVar("T")

_log: Final = get_logger("idlrt.testing")

Scheduled = tuple[float, int, Callable[[Any, Any], object], Any, Any]

# What a coroutine yields to suspend. Anything else comes from an awaitable of another library, as of asyncio.
SUSPEND: Final = object()


class Task:
    """A running coroutine.

    Attributes:
        coroutine: the coroutine.
        turn: number of times that it was resumed; identifies its current suspension.
        ended: called at the end with the task, its result and its error; `None` if nothing waits for it.
        since: time at which it started.
    """

    __slots__ = ("coroutine", "ended", "since", "turn")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], since: float, ended: Callable[[Task, Any, Any], object] | None
    ) -> None:
        self.coroutine = coroutine
        self.since = since
        self.turn = 0
        self.ended = ended


class VirtualTimeDriver:
    """`Driver` in virtual time, without a loop: a subclass pops the events from the heap and calls them.

    Args:
        start: initial time, in seconds.

    Attributes:
        time: current time, in seconds.
        heap: future events.
        numbers: sequence numbers of events.
        current: the task that is being run.
    """

    __slots__ = ("current", "heap", "numbers", "time", "wake")

    def __init__(self, start: float = 0.0) -> None:
        self.time = start
        self.heap: list[Scheduled] = []
        self.numbers = itertools.count()
        self.current: Task | None = None
        # Bound once: every call puts it into the heap.
        self.wake = self._wake

    def now(self) -> float:
        """Return the current time, in seconds."""
        return self.time

    def at(self, when: float, function: Callable[[Any, Any], object], one: Any = None, two: Any = None) -> None:
        """Call `function(one, two)` at the time `when`."""
        heapq.heappush(self.heap, (when, next(self.numbers), function, one, two))

    def start(
        self, coroutine: Coroutine[Any, Any, Any], ended: Callable[[Task, Any, Any], object] | None = None
    ) -> Task:
        """Start a coroutine and run it at once, until it suspends for the first time.

        Args:
            ended: called at its end, see `Task`. Without it, an error is logged.
        """
        task = Task(coroutine, self.time, ended)
        self.step(task)
        return task

    def step(self, task: Task, error: BaseException | None = None) -> None:
        """Resume a task until it suspends again; with `error`, its suspension raises that.

        Raises:
            BaseException: an error that is not an `Exception`, of a task without `ended`.
        """
        before, self.current = self.current, task
        task.turn += 1
        ended = task.ended
        try:
            request = task.coroutine.send(None) if error is None else task.coroutine.throw(error)
        except StopIteration as stop:
            self.current = before
            if ended is not None:
                ended(task, stop.value, None)
        except BaseException as failure:  # passed to what waits for the task
            self.current = before
            if ended is not None:
                ended(task, None, failure)
            elif isinstance(failure, Exception):
                _log.error("background task failed: %r", failure, exc_info=failure)
            else:
                raise
        else:
            self.current = before
            if request is not SUSPEND:
                self._reject(task, request)

    def _reject(self, task: Task, request: object) -> None:
        ended = task.ended
        self.close(task)
        failure = RuntimeError(f"cannot await {request!r} in virtual time: it does not belong to the driver")
        if ended is None:
            raise failure
        ended(task, None, failure)

    def close(self, task: Task) -> None:
        """Stop a task: its `finally` blocks run, `ended` is not called."""
        task.turn += 1
        task.ended = None
        before, self.current = self.current, task
        try:
            task.coroutine.close()
        finally:
            self.current = before

    def _wake(self, task: Task, turn: int) -> None:
        if task.turn == turn:
            self.step(task)

    @awaitable
    def pause(self, until: float) -> Generator[object, None, None]:
        """Suspend the current task until a time, or until it is resumed before that.

        Outside of tasks, in a coroutine that a test runs with `send`, only that test can resume it.
        """
        task = self.current
        if task is not None and until < math.inf:
            heapq.heappush(self.heap, (until, next(self.numbers), self.wake, task, task.turn))
        yield SUSPEND

    async def sleep(self, seconds: float) -> None:
        """Suspend the current task for `seconds` of virtual time."""
        await self.pause(self.time + max(seconds, 0.0))

    async def race(
        self,
        starts: Iterable[Callable[[], Coroutine[Any, Any, T]]],
        delay: float = 0.0,
        is_final: Callable[[BaseException], bool] = lambda error: False,
    ) -> T:
        """Return the first result, as `Driver.race`. The other coroutines are closed.

        Raises:
            ValueError: there is no coroutine to start.
        """
        race = _Group(self)
        runners = iter(starts)

        def begin() -> bool:
            start = next(runners, None)
            if start is not None:
                race.begin(start)
            return start is not None

        is_more = begin()
        if not is_more:
            raise ValueError("cannot race: there are no tasks")
        while is_more and delay <= 0:
            is_more = begin()
        last: BaseException | None = None
        alarm = self.time + delay
        try:
            while race.running or race.ended:
                if not race.ended:
                    await race.wait(alarm if is_more else math.inf)
                if not race.ended:
                    is_more = begin()
                    alarm = self.time + delay
                ended, race.ended = race.ended, []
                # A result counts before an error of the same time.
                for _, result, error in sorted(ended, key=lambda each: each[2] is not None):
                    if error is None:
                        winner: T = result
                        return winner
                    last = error
                    if is_final(error):
                        raise error
                    is_more = is_more and begin()
                    alarm = self.time + delay
            assert last is not None
            raise last
        finally:
            race.close()

    async def all(
        self, starts: Sequence[Callable[[], Coroutine[Any, Any, T]]], at_once: int = 16
    ) -> list[T | Exception]:
        """Return the results and errors in the order of `starts`, as `Driver.all`.

        Raises:
            BaseException: an error that is not an `Exception`; the other coroutines are closed.
        """
        outcomes: list[Any] = [None] * len(starts)
        places: dict[Task, int] = {}
        waiting = list(enumerate(starts))[::-1]
        group = _Group(self)
        try:
            while waiting or group.running or group.ended:
                while waiting and len(group.running) < at_once:
                    place, start = waiting.pop()
                    places[group.begin(start)] = place
                if not group.ended:
                    await group.wait(math.inf)
                ended, group.ended = group.ended, []
                for task, result, error in ended:
                    if error is not None and not isinstance(error, Exception):
                        raise error
                    outcomes[places[task]] = result if error is None else error
        finally:
            group.close()
        return outcomes

    def spawn(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine in the background; its error is logged."""
        self.start(start())

    def event(self) -> _Event:
        """Return a new event."""
        return _Event(self)


class _Group:
    """Tasks that another task waits for.

    Attributes:
        running: tasks that have not ended.
        ended: tasks that have ended and were not handled yet, each with its result and its error.
    """

    __slots__ = ("_driver", "_is_waiting", "_owner", "ended", "running")

    def __init__(self, driver: VirtualTimeDriver) -> None:
        self._driver = driver
        self._owner = driver.current
        self._is_waiting = False
        self.running: list[Task] = []
        self.ended: list[tuple[Task, Any, BaseException | None]] = []

    def begin(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> Task:
        """Start a task."""
        task = Task(start(), self._driver.time, self._end)
        self.running.append(task)
        self._driver.step(task)
        return task

    def _end(self, task: Task, result: Any, error: BaseException | None) -> None:
        self.running.remove(task)
        self.ended.append((task, result, error))
        if self._is_waiting and self._owner is not None:
            self._driver.step(self._owner)

    async def wait(self, until: float) -> None:
        """Wait until a task ends, or until a time."""
        self._is_waiting = True
        try:
            await self._driver.pause(until)
        finally:
            self._is_waiting = False

    def close(self) -> None:
        """Stop the tasks that have not ended."""
        for task in self.running:
            self._driver.close(task)
        self.running = []


class _Event:
    """`Event` of a driver in virtual time."""

    __slots__ = ("_driver", "_is_set", "_waiting")

    def __init__(self, driver: VirtualTimeDriver) -> None:
        self._driver = driver
        self._is_set = False
        self._waiting: Task | None = None

    def set(self) -> None:
        """Set the event and resume the task that waits for it, after the events of the same time."""
        self._is_set = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._driver.at(self._driver.time, self._driver.wake, waiting, waiting.turn)

    async def wait(self, seconds: float) -> bool:
        """Wait for the event for at most `seconds`; return whether it is set."""
        if not self._is_set:
            self._waiting = self._driver.current
            await self._driver.pause(self._driver.time + max(seconds, 0.0))
            self._waiting = None
        return self._is_set
