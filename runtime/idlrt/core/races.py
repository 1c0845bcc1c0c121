"""Races on threads: several things are begun, the first that succeeds counts.

A thread that waits for the kernel cannot be called off, so losers go on to their end and what they bring is dropped.
But one that only waits for its turn can: it asks `is_called_off` when it is that, and lets it be.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar

from idlrt.core.threads import THREADS

__all__ = ["is_called_off", "race"]

T = TypeVar("T")


class _Race:
    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


_current: Final[ContextVar[_Race | None]] = ContextVar("idlrt race", default=None)


def is_called_off() -> bool:
    """Whether nobody waits for what this thread does any more: the race that it runs in is over."""
    current = _current.get()
    return current is not None and current.is_over


def race(runners: Iterable[Callable[[], T]], delay: float, is_final: Callable[[BaseException], bool]) -> T:
    """See `idlrt.core.driver.Driver.race`.

    Args:
        runners: functions, each run on a thread of its own.
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
            raise ValueError("a race needs somebody who runs")
        while is_more and delay <= 0:
            is_more = begin()
        last: BaseException | None = None
        while running:
            try:
                is_good, outcome = finished.get(timeout=delay if is_more else None)
            except queue.Empty:
                is_more = begin()
                continue
            if is_good:
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
        this.is_over = True


def _run(runner: Callable[[], Any], finished: queue.SimpleQueue[tuple[bool, Any]], this: _Race) -> None:
    _current.set(this)  # threads have a context of their own
    try:
        finished.put((True, runner()))
    except BaseException as error:  # noqa: BLE001  # handed to the thread that waits
        finished.put((False, error))
