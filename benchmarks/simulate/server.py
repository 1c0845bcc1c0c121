"""Simulated servers: some workers with a queue, and the ways in which servers fail.

A server is the leaf of every client's calls to it. It works on `workers` calls at a time; others queue; with a full
queue it rejects calls as `Overloaded`. It does not notice a caller that gave up, and executes the call anyway. With
`drops_expired` it does not start a call whose deadline has passed, as servers of this package.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Generator, Iterator
from functools import cache
from itertools import cycle
from types import coroutine as awaitable
from typing import Final

from benchmarks.simulate.driver import SUSPEND, EventDriver, Task
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.errors import ConnectFailed, ConnectionLost, Overloaded

__all__ = ["Server", "draws"]

_DRAWS: Final = 1 << 16


def draws(shape: str, rng: random.Random, mean: float = 1.0) -> Iterator[float]:
    """Yield numbers with this mean endlessly: shuffled quantiles of a distribution, so that a few have its tail.

    Args:
        shape: `exponential`, `lognormal` (sigma 0.6, as usual services), `uniform` or `fixed`.
    """
    found = _quantiles(shape)
    found = [each * mean for each in found]
    rng.shuffle(found)
    return cycle(found)


@cache
def _quantiles(shape: str) -> list[float]:
    places = [(number + 0.5) / _DRAWS for number in range(_DRAWS)]
    if shape == "exponential":
        found = [-math.log(1 - place) for place in places]
    elif shape == "lognormal":
        from statistics import NormalDist

        normal, sigma = NormalDist(), 0.6
        found = [math.exp(sigma * normal.inv_cdf(place) - sigma * sigma / 2) for place in places]
    elif shape == "uniform":
        found = [2 * place for place in places]
    else:
        found = [1.0] * _DRAWS
    scale = _DRAWS / sum(found)
    return [each * scale for each in found]


class Server:
    """See the module. A transport: `ClientTransport`.

    Args:
        driver: time.
        times: seconds of work.
        workers: calls that are worked on at a time.
        room: calls that may queue.
        drops_expired: whether calls whose deadline has passed are not begun.

    Attributes:
        scale: by which work takes longer.
        is_up: whether connections can be made.
        is_mute: whether it accepts calls and does not respond.
        arrived: calls so far.
        refused: rejected calls, because the queue was full.
        done: completed calls.
        busy: calls in execution.
    """

    carries_metadata = True

    __slots__ = (
        "_drops_expired", "_finish", "_heap", "_is_paused", "_numbers", "_queue", "_room", "_times", "_workers",
        "arrived", "busy", "done", "driver", "is_mute", "is_up", "refused", "scale",
    )  # fmt: skip

    def __init__(
        self, driver: EventDriver, times: Iterator[float], workers: int, room: int, drops_expired: bool = True
    ) -> None:
        self.driver = driver
        self.scale = 1.0
        self.is_up = True
        self.is_mute = False
        self.arrived = self.refused = self.done = self.busy = 0
        self._times = times
        self._workers = workers
        self._room = room
        self._drops_expired = drops_expired
        self._queue: deque[tuple[Task, int, float]] = deque()
        self._heap = driver.heap
        self._numbers = driver.numbers
        self._is_paused = False
        self._finish = self._finished

    @property
    def load(self) -> int:
        """Number of calls in execution and in the queue."""
        return self.busy + len(self._queue)

    def set_room(self, room: int) -> None:
        """Set the capacity of the queue."""
        self._room = room

    # What a client sees.

    @awaitable
    def send(self, call: Call) -> Generator[object, None, None]:
        """See `ClientTransport.send`."""
        driver = self.driver
        task = driver.current
        assert task is not None
        self.arrived += 1
        if not self.is_up:
            raise ConnectFailed("connection refused")
        deadline = call.deadline.at
        if self.busy < self._workers and not (self._is_paused or self.is_mute):
            finish = driver.time + next(self._times) * self.scale
            self.busy += 1
            heapq.heappush(self._heap, (finish, next(self._numbers), self._finish, task, task.turn))
            if finish > deadline:
                heapq.heappush(self._heap, (deadline, next(self._numbers), driver.expire, task, task.turn))
        elif len(self._queue) < self._room:
            self._queue.append((task, task.turn, deadline))
            heapq.heappush(self._heap, (deadline, next(self._numbers), driver.expire, task, task.turn))
        else:
            self.refused += 1
            raise Overloaded("the queue is full")
        yield SUSPEND

    def reset_backoff(self) -> None:
        """See `ClientTransport.reset_backoff`."""

    def connections(self) -> int:
        """See `ClientTransport.connections`."""
        return 1

    def stats(self) -> PoolStats:
        """See `ClientTransport.stats`."""
        return PoolStats(connections=1)

    @property
    def answers_pings(self) -> bool:
        """Whether a ping would be answered."""
        return self.is_up and not self.is_mute and not self._is_paused

    # What happens to it.

    def _finished(self, task: Task, turn: int) -> None:
        self.busy -= 1
        self.done += 1
        if self._queue:
            self._begin_next()
        if task.turn == turn:
            self.driver.step(task)

    def _begin_next(self) -> None:
        queue, now = self._queue, self.driver.time
        while queue and self.busy < self._workers:
            task, turn, deadline = queue.popleft()
            if self._drops_expired and deadline <= now:
                continue
            self.busy += 1
            finish = now + next(self._times) * self.scale
            heapq.heappush(self._heap, (finish, next(self._numbers), self._finish, task, turn))

    def kill(self) -> None:
        """Stop: lose all calls and refuse connections."""
        self.is_up = False
        for task, turn in self._take_all():
            self.driver.at(self.driver.time, self._lose, task, turn)

    def start(self) -> None:
        """Start again, without calls."""
        self.is_up = True
        self.is_mute = self._is_paused = False

    def pause(self, seconds: float) -> None:
        """Suspend the process for some seconds."""
        self._is_paused = True
        mine = [item for item in self._heap if item[2] is self._finish]
        self._remove_mine()
        for when, _, function, task, turn in mine:
            self.driver.at(when + seconds, function, task, turn)
        self.driver.at(self.driver.time + seconds, self._go_on)

    def _go_on(self, one: None, two: None) -> None:
        self._is_paused = False
        self._begin_next()

    def _take_all(self) -> list[tuple[Task, int]]:
        found = [(item[3], item[4]) for item in sorted(each for each in self._heap if each[2] is self._finish)]
        self._remove_mine()
        found += [(task, turn) for task, turn, _ in self._queue]
        self._queue.clear()
        self.busy = 0
        return found

    def _remove_mine(self) -> None:
        self._heap[:] = [item for item in self._heap if item[2] is not self._finish]
        heapq.heapify(self._heap)

    def _lose(self, task: Task, turn: int) -> None:
        if task.turn == turn:
            self.driver.step(task, ConnectionLost("the connection ended"))
