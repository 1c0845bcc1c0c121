"""Background thread that runs an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Daemon thread with an event loop: the interpreter exits without waiting for it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # An empty context: the context variables of the thread that happens to create this one do not apply here.
        context = contextvars.Context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                if not task.cancelling():  # a task that is being cancelled may still be cleaning up
                    task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Schedule a call of `function` on the thread. No effect after the thread has stopped."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `coroutine` on the thread. Its future is cancelled when the thread stops, or has stopped already."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            never: Future[T] = Future()
            never.cancel()
            never.set_running_or_notify_cancel()
            return never

    def stop(self) -> None:
        """Cancel all tasks and stop the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        if not self.is_current:
            self._thread.join()
