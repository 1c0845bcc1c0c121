"""Drivers: injected time and concurrency for the call stack.

There is one call stack, written as coroutines. An asyncio client awaits it. A blocking client drives it with a single
`send(None)` (`drive`), which works because its transports block instead of suspending. Code in the stack gets the
clock, pauses and concurrency from its `Driver`, never from `time` or `asyncio`; so the same filter serves both clients,
and tests run it in virtual time (`idlrt.testing.FakeDriver`).

Source: `edgedb/blocking_client.py` of edgedb-python.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from idlrt.core.logs import get_logger
from idlrt.core.races import race
from idlrt.core.threads import THREADS

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncioDriver", "BlockingDriver", "Driver", "Event", "IsFinal", "Start", "drive"]

_log: Final = get_logger("idlrt.client")

T = TypeVar("T")

Start = Callable[[], Coroutine[Any, Any, T]]
IsFinal = Callable[[BaseException], bool]


def _never(error: BaseException) -> bool:
    return False


class Event(Protocol):
    """One-shot event with a single waiter."""

    def set(self) -> None:
        """Set the event and wake the waiter. Thread-safe and idempotent."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Wait until the event is set, for at most `seconds`; return whether it is set."""
        ...


class Driver(Protocol):
    """Time and concurrency of a call stack."""

    def now(self) -> float:
        """Return the time of a monotonic clock in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        ...

    async def race(self, starts: Iterable[Start[T]], delay: float = 0.0, is_final: IsFinal = _never) -> T:
        """Run tasks concurrently and return the result of the first that succeeds.

        If all fail, the error of the last to fail is raised. The remaining tasks are cancelled where possible; a
        blocking one runs to its end and its result is dropped.

        Args:
            starts: functions that start a task; the iterator advances only when the next task is due.
            delay: seconds after which the next task starts while none has finished; a failed task is replaced
                immediately. 0 starts all tasks at once.
            is_final: whether an error ends the race, because the other tasks would fail in the same way.

        Raises:
            ValueError: `starts` is empty.
        """
        ...

    async def all(self, starts: Sequence[Start[T]], at_once: int = 16) -> list[T | Exception]:
        """Run tasks concurrently and return their results or exceptions, in order.

        Args:
            at_once: maximum number of tasks that run at the same time.
        """
        ...

    def spawn(self, start: Start[None]) -> None:
        """Run a task in the background. Exceptions are logged."""
        ...

    def event(self) -> Event:
        """Return a new event. It is awaited through this driver; it may be set from anywhere."""
        ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends and return its result.

    Raises:
        RuntimeError: it suspended, e.g. because a filter of a blocking client awaits something of asyncio.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except RuntimeError as error:
        if str(error) != _NO_LOOP:
            raise
        raise RuntimeError(f"{_NO_LOOP}: {_place_of(error)} uses asyncio {_WHERE}; {_INSTEAD}") from error
    function = _innermost(coroutine)
    coroutine.close()
    raise RuntimeError(f"{function} suspended {_WHERE}: it awaited something of asyncio; {_INSTEAD}")


# Python's message where something of asyncio is used without an event loop.
_NO_LOOP: Final = "no running event loop"
_WHERE: Final = "in a filter of a blocking client or of a plain handler"
_INSTEAD: Final = (
    "sleep and race through the call's driver, or use an asyncio client; a server runs a filter on an event loop if "
    "the filter itself awaits anything except `next(call)`"
)


def _place_of(error: BaseException) -> str:
    """Return the innermost function in a traceback that is not asyncio's own, with its file and line."""
    place = "code"
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] != "asyncio":
            place = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _innermost(coroutine: Any) -> str:
    """Return the innermost suspended coroutine that is not asyncio's own, with its file and line."""
    found: Any = coroutine
    while True:
        inner: Any = getattr(found, "cr_await", None)
        frame: Any = getattr(inner, "cr_frame", None)
        if frame is None or str(frame.f_globals.get("__name__", "")).partition(".")[0] == "asyncio":
            break
        found = inner
    frame = found.cr_frame
    return f"{found.__qualname__} ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else str(found.__qualname__)


class _BlockingEvent:
    """Event of a blocking driver.

    Not a `threading.Event`: that is written in Python, and an exception of a signal handler inside its `set` may leave
    its lock locked.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        self._is_set = True
        self._wake.put(None)

    async def wait(self, seconds: float) -> bool:
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=max(seconds, 0.0))
        return self._is_set


class BlockingDriver:
    """Driver of blocking clients: sleeping blocks the thread, races run on threads."""

    # The function itself, without a wrapper: it is called several times per call.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0))

    async def race(self, starts: Iterable[Start[T]], delay: float = 0.0, is_final: IsFinal = _never) -> T:
        return race((partial(_driven, start) for start in starts), delay, is_final)

    async def all(self, starts: Sequence[Start[T]], at_once: int = 16) -> list[T | Exception]:
        outcomes: list[Any] = [None] * len(starts)
        if not starts:
            return outcomes
        numbers = iter(range(len(starts)))
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            error: BaseException | None = None
            try:
                for number in numbers:  # iterators of ranges are thread-safe
                    try:
                        outcomes[number] = drive(starts[number]())
                    except Exception as failure:  # noqa: BLE001  # returned as the task's outcome
                        outcomes[number] = failure
            except BaseException as failure:  # noqa: BLE001  # raised in the waiting thread
                error = failure
            ended.put(error)

        workers = min(at_once, len(starts))
        for _ in range(workers - 1):
            THREADS.run(work)
        work()
        for _ in range(workers):
            error = ended.get()
            if error is not None:
                raise error
        return outcomes

    def spawn(self, start: Start[None]) -> None:
        THREADS.run(partial(_run_in_background, start))

    def event(self) -> Event:
        return _BlockingEvent()


def _driven(start: Start[T]) -> T:
    return drive(start())


def _run_in_background(start: Start[None]) -> None:
    try:
        drive(start())
    except Exception:  # noqa: BLE001
        _log.exception("background task failed")


class _AsyncioEvent:
    """Event of an asyncio driver, bound to the event loop that it was created on."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._is_set = True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return  # the loop is closed, so there is no waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> bool:
        if not self._is_set:
            waiter = self._waiter = self._loop.create_future()
            timer = self._loop.call_later(max(seconds, 0.0), self._wake)
            try:
                # Check again: another thread may have set it before there was a waiter to wake.
                if not self._is_set:
                    await waiter
            finally:
                timer.cancel()
                self._waiter = None
        return self._is_set


class AsyncioDriver:
    """Driver of asyncio clients."""

    # The function itself, without a wrapper: it is called several times per call.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(max(seconds, 0.0))

    async def race(self, starts: Iterable[Start[T]], delay: float = 0.0, is_final: IsFinal = _never) -> T:
        import asyncio

        runners = iter(starts)
        running: set[asyncio.Task[T]] = set()

        def begin() -> bool:
            start = next(runners, None)
            if start is not None:
                running.add(asyncio.ensure_future(start()))
            return start is not None

        is_more = begin()
        if not is_more:
            raise ValueError("cannot race: there are no tasks")
        while is_more and delay <= 0:
            is_more = begin()
        last: BaseException | None = None
        try:
            while running:
                ended, _ = await asyncio.wait(
                    running, timeout=delay if is_more else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not ended:
                    is_more = begin()
                    continue
                running -= ended
                # Retrieve all errors: asyncio logs those that are never retrieved.
                errors = {task: _error_of(task) for task in ended}
                for task, last in errors.items():
                    if last is None:
                        return task.result()
                final = next((error for error in errors.values() if error is not None and is_final(error)), None)
                if final is not None:
                    raise final
                for _ in ended:
                    is_more = is_more and begin()
            assert last is not None
            raise last
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def all(self, starts: Sequence[Start[T]], at_once: int = 16) -> list[T | Exception]:
        import asyncio

        room = asyncio.Semaphore(at_once)

        async def run(start: Start[T]) -> T | Exception:
            async with room:
                try:
                    return await start()
                except Exception as error:  # noqa: BLE001  # returned as the task's outcome
                    return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(start)) for start in starts]
        return [task.result() for task in tasks]

    def spawn(self, start: Start[None]) -> None:
        """Run a task in the background, at most until the event loop ends. Exceptions are logged."""
        import asyncio

        task = asyncio.get_running_loop().create_task(start())
        _background.add(task)
        task.add_done_callback(_is_over)

    def event(self) -> Event:
        """Return a new event. Call this on the event loop that awaits it."""
        return _AsyncioEvent()


# Background tasks: event loops keep only weak references to tasks.
_background: Final[set[Any]] = set()


def _is_over(task: asyncio.Task[None]) -> None:
    _background.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background task failed", exc_info=error)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    import asyncio

    return asyncio.CancelledError() if task.cancelled() else task.exception()
