"""Event loop on a separate thread, which runs the `async` handlers of the selector server.

Coroutines and results are handed over in batches: each side wakes the other once in an iteration of the server's loop,
however many calls arrive in it. A coroutine that ends without suspending costs the event loop no iteration: its task
runs the first step at once (`idlrt.server.eager`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import Any

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.server.context import OnDone
from idlrt.server.eager import task_starter
from idlrt.server.forked_child import exit_child
from idlrt.server.signals import interruptible

__all__ = ["CoroutineRunner", "catch", "close_unstarted", "run_on_thread", "task_result"]

_log = get_logger("idlrt.server")

_STOP_TIMEOUT = 2.0


@interruptible
async def catch(work: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Return the result of a handler and the exception that it raised, one of them `None`.

    Exceptions of every class are returned, because `SystemExit` and `KeyboardInterrupt` would end the event loop.
    """
    before = forks.count
    try:
        result = await work
    except asyncio.CancelledError as cancelled:
        if forks.count != before:
            exit_child(cancelled)
        raise
    except BaseException as error:  # noqa: BLE001  # becomes the response, and is logged
        if forks.count != before:
            exit_child(error)
        return None, error
    if forks.count != before:
        exit_child()
    return result, None


def close_unstarted(task: asyncio.Task[Any], work: Awaitable[Any]) -> None:
    """Close the coroutine of a handler that was cancelled before it started.

    Python warns of coroutines that are never awaited.
    """
    if task.cancelled() and isinstance(work, CoroutineType):
        work.close()


def task_result(task: asyncio.Task[tuple[Any, BaseException | None]]) -> tuple[Any, BaseException | None]:
    """Return the result and the exception of a finished task of `catch`, one of them `None`."""
    if task.cancelled():
        return None, asyncio.CancelledError()
    error = task.exception()
    return (None, error) if error is not None else task.result()


async def run_on_thread(
    begin: Callable[[Callable[[], bool], OnDone], object], call_on_thread: Callable[[Callable[[], object]], object]
) -> Any:
    """Run work on the server's thread, or on one of its workers, and return its result.

    Args:
        begin: starts the work; called on the server's thread with two functions. The first one returns whether the
            caller has been cancelled. The second one receives the result or the exception, on any thread.
        call_on_thread: calls a function on the server's thread.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not waiting.done():
            waiting.set_result((result, error))

    def tell(result: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed, so the caller is gone
            loop.call_soon_threadsafe(settle, result, error)

    call_on_thread(partial(begin, waiting.cancelled, tell))
    result, error = await waiting
    if error is not None:
        raise error
    return result


class CoroutineRunner:
    """An event loop and its thread.

    Args:
        deliver: calls a function on the server's thread; thread-safe.
        call_soon: calls a function on the server's thread at the end of the current iteration, so that the coroutines
            of an iteration start together. `None`: they start without waiting for its end.
    """

    def __init__(
        self,
        deliver: Callable[[Callable[[], None]], object],
        call_soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._deliver = deliver
        self._call_soon = call_soon
        self._loop = asyncio.new_event_loop()
        self._queued: deque[tuple[Awaitable[Any], Context, OnDone]] = deque()
        self._finished: deque[tuple[OnDone, Any, BaseException | None]] = deque()
        self._is_start_due = False
        self._is_delivery_due = False
        self._is_stopping = False
        self._start_task = task_starter(self._loop)
        # Suspended tasks, by the identity of their `done`.
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._thread = threading.Thread(target=self._run, name="idlrt async handlers", daemon=True)
        self._thread.start()
        forks.register(self)

    def after_fork(self) -> None:
        """End a child that a coroutine has forked once it returns to the loop, which belongs to the parent."""
        if threading.get_ident() == self._thread.ident:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon(exit_child)

    @property
    def thread(self) -> int | None:
        """Identifier of the thread, as returned by `threading.get_ident`."""
        return self._thread.ident

    def run(self, coroutine: Awaitable[Any], context: Context, done: OnDone) -> None:
        """Run `coroutine`, then call `done(result, error)` on the server's thread."""
        self._queued.append((coroutine, context, done))
        if not self._is_start_due:
            self._is_start_due = True
            if self._call_soon is None:
                self._wake()
            else:
                self._call_soon(self._wake)

    def _wake(self) -> None:
        if not self._is_stopping:
            self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        """Start the queued coroutines. The results of those that end without suspending are delivered together."""
        # Clear the flag first, so that a thread that appends from here on schedules another start.
        self._is_start_due = False
        coming = self._queued
        holds_delivery, self._is_delivery_due = not self._is_delivery_due, True
        try:
            for _ in range(len(coming)):
                coroutine, context, done = coming.popleft()
                if self._is_stopping:
                    self._cancel_unstarted(coroutine, done)
                    continue
                task = self._start_task(self._finish(coroutine, done), context)
                if not task.done():
                    self._tasks[id(done)] = task
        finally:
            if holds_delivery:
                self._is_delivery_due = False
            if self._finished and not self._is_delivery_due:
                self._deliver_soon()

    def _cancel_unstarted(self, coroutine: Awaitable[Any], done: OnDone) -> None:
        """Cancel a coroutine that has not started. It is closed, because Python warns of coroutines never awaited."""
        if isinstance(coroutine, CoroutineType):
            coroutine.close()
        self._finished.append((done, None, asyncio.CancelledError()))

    @interruptible
    async def _finish(self, coroutine: Awaitable[Any], done: OnDone) -> None:
        """Await the coroutine of a handler and deliver its result, or its error of any class: `SystemExit` and
        `KeyboardInterrupt` would end the event loop."""
        before = forks.count
        try:
            result = await coroutine
        except asyncio.CancelledError as error:
            if forks.count != before:
                exit_child(error)
            self._finished.append((done, None, asyncio.CancelledError()))
            raise
        except BaseException as error:  # noqa: BLE001  # becomes the response, and is logged
            if forks.count != before:
                exit_child(error)
            self._finished.append((done, None, error))
        else:
            if forks.count != before:
                exit_child()
            self._finished.append((done, result, None))
        finally:
            self._tasks.pop(id(done), None)
            if not self._is_delivery_due:
                self._deliver_soon()

    def _deliver_soon(self) -> None:
        self._is_delivery_due = True
        self._deliver(self._deliver_results)

    def _deliver_results(self) -> None:
        # Clear the flag first, so that a thread that appends from here on schedules another delivery.
        self._is_delivery_due = False
        going = self._finished
        while going:
            done, result, error = going.popleft()
            done(result, error)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._run_forever()
            self._loop.run_until_complete(self._cancel())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def _run_forever(self) -> None:
        """Run the loop until `stop`; `SystemExit` and `KeyboardInterrupt` in background tasks do not end it."""
        while not self._is_stopping:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                _log.error("background task of an async handler failed", exc_info=error)

    async def _cancel(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def stop(self) -> None:
        """Cancel all handlers and end the thread. Handlers that ignore cancellation are abandoned with a warning."""
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._start)  # cancels coroutines that have not started
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT)
        if self._thread.is_alive():
            seconds = {"timeout_s": _STOP_TIMEOUT}
            _log.warning("abandoning async handlers that ignore cancellation for %g s", _STOP_TIMEOUT, extra=seconds)
