"""A driver in virtual time that is quick: millions of calls, each a few steps of a coroutine.

Everything that is going to happen lies in one heap, as (when, number, function, two arguments). A coroutine of a *task*
suspends with a bare `yield`, having put what wakes it into the heap, or having left the task with who does. Who wakes a
task says which of its pauses is meant (`Task.turn`), so what comes too late, like a deadline after the answer, is
nothing. Numbers keep what happens at the same moment in order: every run is the same.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from types import coroutine as awaitable
from typing import Any, Final

from idlrt.errors import DeadlineExceeded

__all__ = ["EventDriver", "Task"]

_log: Final = logging.getLogger("benchmarks.simulate")

Item = tuple[float, int, Callable[[Any, Any], object], Any, Any]


class Task:
    """A coroutine that runs.

    Attributes:
        coroutine: what it does.
        turn: grows each time that it goes on; tells its pauses apart.
        ended: is told when it has, with its result and its error; `None` if nobody cares.
        since: when it began.
    """

    __slots__ = ("coroutine", "ended", "since", "turn")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], since: float, ended: Callable[[Task, Any, Any], object] | None
    ) -> None:
        self.coroutine = coroutine
        self.since = since
        self.turn = 0
        self.ended = ended


class EventDriver:
    """A `Driver`. See the module.

    Attributes:
        time: seconds since the beginning.
        heap: what is going to happen.
        numbers: for the heap.
        current: the task that runs.
        comes: what happens again and again, beside the heap, because it is so often: says after how many seconds next.
        next_at: when.
    """

    __slots__ = ("comes", "current", "expire", "heap", "next_at", "numbers", "time", "wake")

    def __init__(self) -> None:
        self.time = 0.0
        self.heap: list[Item] = []
        self.numbers = itertools.count()
        self.current: Task | None = None
        self.comes: Callable[[], float] = _never
        self.next_at = math.inf
        # Bound once: they are put into the heap by every call.
        self.wake = self._wake
        self.expire = self._expire

    def now(self) -> float:
        """See `Driver.now`."""
        return self.time

    def at(self, when: float, function: Callable[[Any, Any], object], one: Any = None, two: Any = None) -> None:
        """Let `function(one, two)` be called."""
        heapq.heappush(self.heap, (when, next(self.numbers), function, one, two))

    def run(self, until: float) -> None:
        """Let happen what happens up to then."""
        heap, pop, comes = self.heap, heapq.heappop, self.comes
        next_at = self.next_at
        while True:
            at = heap[0][0] if heap else math.inf
            if next_at < at:
                if next_at > until:
                    break
                self.time = next_at
                next_at += comes()
            elif at > until:
                break
            else:
                self.time, _, function, one, two = pop(heap)
                function(one, two)
        self.next_at = next_at
        self.time = until

    def start(
        self, coroutine: Coroutine[Any, Any, Any], ended: Callable[[Task, Any, Any], object] | None = None
    ) -> Task:
        """Let a coroutine run, at once, until it waits for the first time."""
        task = Task(coroutine, self.time, ended)
        self.step(task)
        return task

    def step(self, task: Task, error: BaseException | None = None) -> None:
        """Let a task go on; with `error`, what it waits for raises it."""
        before, self.current = self.current, task
        task.turn += 1
        ended = task.ended
        try:
            if error is None:
                task.coroutine.send(None)
            else:
                task.coroutine.throw(error)
        except StopIteration as stop:
            self.current = before
            if ended is not None:
                ended(task, stop.value, None)
        except Exception as failure:  # noqa: BLE001  # handed to who waits
            self.current = before
            if ended is not None:
                ended(task, None, failure)
            else:
                _log.error("background task failed: %r", failure)
        else:
            self.current = before

    def close(self, task: Task) -> None:
        """Let a task go on no more."""
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

    def _expire(self, task: Task, turn: int) -> None:
        if task.turn == turn:
            self.step(task, DeadlineExceeded("no answer came in time"))

    @awaitable
    def pause(self, until: float) -> Generator[None, None, None]:
        """Wait until then, or until somebody wakes the task."""
        task = self.current
        assert task is not None
        if until < math.inf:
            heapq.heappush(self.heap, (until, next(self.numbers), self.wake, task, task.turn))
        yield

    async def sleep(self, seconds: float) -> None:
        """See `Driver.sleep`."""
        await self.pause(self.time + max(seconds, 0.0))

    async def race(
        self,
        starts: Iterable[Callable[[], Coroutine[Any, Any, Any]]],
        delay: float = 0.0,
        is_final: Callable[[BaseException], bool] = lambda error: False,
    ) -> Any:
        """See `Driver.race`. Losers are closed."""
        race = _Gathering(self)
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
                for _, result, error in sorted(ended, key=lambda each: each[2] is not None):
                    if error is None:
                        return result
                    last = error
                    if is_final(error):
                        raise error
                    is_more = is_more and begin()
                    alarm = self.time + delay
            assert last is not None
            raise last
        finally:
            race.close()

    async def all(self, starts: Sequence[Callable[[], Coroutine[Any, Any, Any]]], at_once: int = 16) -> list[Any]:
        """See `Driver.all`."""
        outcomes: list[Any] = [None] * len(starts)
        places: dict[Task, int] = {}
        waiting = list(enumerate(starts))[::-1]
        work = _Gathering(self)
        try:
            while waiting or work.running or work.ended:
                while waiting and len(work.running) < at_once:
                    place, start = waiting.pop()
                    places[work.begin(start)] = place
                if not work.ended:
                    await work.wait(math.inf)
                ended, work.ended = work.ended, []
                for task, result, error in ended:
                    outcomes[places[task]] = result if error is None else error
        finally:
            work.close()
        return outcomes

    def beside(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Driver.beside`."""
        self.start(start())

    def event(self) -> _Event:
        """See `Driver.event`."""
        return _Event(self)


def _never() -> float:
    return math.inf


class _Gathering:
    """Tasks that another task waits for.

    Attributes:
        running: those that have not ended.
        ended: those that have and were not looked at, each with its result and its error.
    """

    __slots__ = ("_driver", "_is_waiting", "_owner", "ended", "running")

    def __init__(self, driver: EventDriver) -> None:
        owner = driver.current
        assert owner is not None
        self._driver = driver
        self._owner = owner
        self._is_waiting = False
        self.running: list[Task] = []
        self.ended: list[tuple[Task, Any, BaseException | None]] = []

    def begin(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> Task:
        task = Task(start(), self._driver.time, self._over)
        self.running.append(task)
        self._driver.step(task)
        return task

    def _over(self, task: Task, result: Any, error: BaseException | None) -> None:
        self.running.remove(task)
        self.ended.append((task, result, error))
        if self._is_waiting:
            self._driver.step(self._owner)

    async def wait(self, until: float) -> None:
        self._is_waiting = True
        try:
            await self._driver.pause(until)
        finally:
            self._is_waiting = False

    def close(self) -> None:
        for task in self.running:
            self._driver.close(task)
        self.running = []


class _Event:
    """An `Event`."""

    __slots__ = ("_driver", "_is_set", "_waiting")

    def __init__(self, driver: EventDriver) -> None:
        self._driver = driver
        self._is_set = False
        self._waiting: Task | None = None

    def set(self) -> None:
        """See `Event.set`."""
        self._is_set = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._driver.at(self._driver.time, self._driver.wake, waiting, waiting.turn)

    async def wait(self, seconds: float) -> bool:
        """See `Event.wait`."""
        if not self._is_set:
            self._waiting = self._driver.current
            await self._driver.pause(self._driver.time + max(seconds, 0.0))
            self._waiting = None
        return self._is_set
