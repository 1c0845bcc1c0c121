"""Eager tasks: asyncio tasks whose first step runs when they are created, not in the next iteration of the event loop.

Python 3.12 and later have `asyncio.Task(..., eager_start=True)`. In 3.11 the constructor of a task passes its first
step to `call_soon` of the loop, so that method is replaced while a task is created. The result is an `asyncio.Task`, as
libraries expect, not another class with the same interface.

Source: https://docs.python.org/3/library/asyncio-task.html#eager-task-factory
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any

__all__ = ["TaskStarter", "task_starter"]

TaskStarter = Callable[[Coroutine[Any, Any, None], Context], "asyncio.Task[None]"]
"""Creates a task that runs in the given context, and runs its first step. Call it in callbacks of the event loop,
outside of tasks."""


def task_starter(loop: asyncio.AbstractEventLoop) -> TaskStarter:
    """Return a function that creates eager tasks of `loop`. Task factories of the loop do not apply to them, so the
    caller must own the loop.
    """
    if sys.version_info >= (3, 12):
        return partial(_start, loop)
    return _Starter(loop).start


if sys.version_info >= (3, 12):

    def _start(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], context: Context
    ) -> asyncio.Task[None]:
        return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)

else:

    class _Starter:
        """Creates eager tasks of one loop."""

        def __init__(self, loop: Any) -> None:
            self._loop = loop
            self._call_soon = loop.call_soon
            self._step: Callable[[], object] | None = None
            self._keep_step = self._keep

        def _keep(self, step: Callable[[], object], *, context: Context) -> None:
            self._step = step

        def start(self, coroutine: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None]:
            """Create a task and run its first step."""
            loop = self._loop
            loop.call_soon = self._keep_step
            try:
                task = asyncio.Task(coroutine, loop=loop, context=context)
            finally:
                loop.call_soon = self._call_soon
            step, self._step = self._step, None
            assert step is not None
            context.run(step)
            return task
