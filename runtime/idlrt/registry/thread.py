"""A thread with an event loop on it, for what goes on beside the calls of a program."""

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
    """The thread. It is a daemon: a program does not wait for it at its end."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # Not the caller's context: what is handled while this is made is nothing to it.
        context = contextvars.Context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                if not task.cancelling():  # else it is about to end
                    task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    @property
    def is_current(self) -> bool:
        """Whether this code runs on it."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the thread, soon. Nothing happens when that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `coroutine` on the thread. What comes of it is cancelled when that ends, or has ended."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            never: Future[T] = Future()
            never.cancel()
            never.set_running_or_notify_cancel()
            return never

    def stop(self) -> None:
        """End it. What still runs on it is cancelled."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        if not self.is_current:
            self._thread.join()
