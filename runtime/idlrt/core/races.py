"""Races on threads: run several functions concurrently, use the first that succeeds.

A thread that is blocked in the kernel cannot be cancelled, so losers run to their end and their results are dropped.
But one that only waits for its turn can be: it checks `is_cancelled` when its turn comes, and gives up.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar

from idlrt.core.threads import THREADS

__all__ = ["is_cancelled", "race"]

T = TypeVar("T")


class _Race:
    __slots__ = ("is_finished",)

    def __init__(self) -> None:
        self.is_finished = False


_current: Final[ContextVar[_Race | None]] = ContextVar("idlrt race", default=None)


def is_cancelled() -> bool:
    """Whether the race in which this thread runs is over, so that its result will be dropped."""
    current = _current.get()
    return current is not None and current.is_finished


def race(runners: Iterable[Callable[[], T]], delay: float, is_final: Callable[[BaseException], bool]) -> T:
    """Run functions on threads and return the result of the first that succeeds, as `Driver.race` does.

    Args:
        runners: functions, each run on a separate thread.
        delay: seconds after which the next function starts while none has finished; 0 starts all at once.
        is_final: whether an error ends the race.

    Raises:
        ValueError: `runners` is empty.
    """
    finished: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    waiting = iter(runners)
    running = 0
    this = _Race()

    def begin() -> bool:
        nonlocal running
        runner = next(waiting, None)
        if runner is not None:
            running += 1
            THREADS.run(partial(_run, runner, finished, this))
        return runner is not None

    try:
        is_more = begin()
        if not is_more:
            raise ValueError("cannot race: there are no tasks")
        while is_more and delay <= 0:
            is_more = begin()
        last: BaseException | None = None
        while running:
            try:
                is_success, outcome = finished.get(timeout=delay if is_more else None)
            except queue.Empty:
                is_more = begin()
                continue
            if is_success:
                result: T = outcome
                return result
            running -= 1
            last = outcome
            if is_final(outcome):
                break
            is_more = is_more and begin()
        assert last is not None
        raise last
    finally:
        this.is_finished = True


def _run(runner: Callable[[], Any], finished: queue.SimpleQueue[tuple[bool, Any]], this: _Race) -> None:
    _current.set(this)  # each thread has its own context
    try:
        finished.put((True, runner()))
    except BaseException as error:  # noqa: BLE001  # raised in the waiting thread
        finished.put((False, error))
