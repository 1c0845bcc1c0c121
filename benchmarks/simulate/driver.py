"""Driver of the simulator: the scheduler of `idlrt.testing` with deadlines and a stream of arrivals.

Arrivals are not in the heap of events: there are millions of them, and at most one is known at a time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from idlrt.errors import DeadlineExceeded
from idlrt.testing.virtual_time import SUSPEND, Task, VirtualTimeDriver

__all__ = ["SUSPEND", "EventDriver", "Task"]


class EventDriver(VirtualTimeDriver):
    """A `Driver` in virtual time that runs until a given time.

    Attributes:
        arrive: called at each arrival; returns the seconds until the next one.
        next_at: time of the next arrival.
        expire: put into the heap with a task and its turn, raises `DeadlineExceeded` in the task.
    """

    __slots__ = ("arrive", "expire", "next_at")

    def __init__(self) -> None:
        super().__init__()
        self.arrive: Callable[[], float] = _never
        self.next_at = math.inf
        # Bound once: every call puts it into the heap.
        self.expire = self._expire

    def run(self, until: float) -> None:
        """Run all events up to the time `until`."""
        heap, pop, arrive = self.heap, heapq.heappop, self.arrive
        next_at = self.next_at
        while True:
            at = heap[0][0] if heap else math.inf
            if next_at < at:
                if next_at > until:
                    break
                self.time = next_at
                next_at += arrive()
            elif at > until:
                break
            else:
                self.time, _, function, one, two = pop(heap)
                function(one, two)
        self.next_at = next_at
        self.time = until

    def _expire(self, task: Task, turn: int) -> None:
        if task.turn == turn:
            self.step(task, DeadlineExceeded("no response before the deadline"))


def _never() -> float:
    return math.inf
