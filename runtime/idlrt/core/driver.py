"""Time and concurrency, injected.

The call stack exists once, as coroutines. An asyncio client awaits it. A blocking client drives it with a
single `send(None)` (`drive`), which works because its leaves block instead of suspending. Whatever in the
stack needs a clock, a pause or two things at once asks its `Driver`, never `time` or `asyncio`; so the same
filter serves both clients, and tests run it in virtual time (`idlrt.testing.FakeDriver`).

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
    """Something that happens once, and that one who waits is told of."""

    def set(self) -> None:
        """It has happened. Any thread may say so, any number of times."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Wait for it, no longer than `seconds`. Whether it has happened."""
        ...


class Driver(Protocol):
    """Time and concurrency of a call stack."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...

    async def race(self, starts: Iterable[Start[T]], delay: float = 0.0, is_final: IsFinal = _never) -> T:
        """The result of the first that succeeds. If none does, the error of the last to fail.

        The losers are cancelled where that is possible; a blocking one goes on and its result is dropped.

        Args:
            starts: who runs. Asked for the next one only when that is to start.
            delay: seconds until another one is started while nobody has come in; who fails is replaced at once. 0: all
                are started at once.
            is_final: whether an error ends the race, because the others would fare no better.

        Raises:
            ValueError: there is nothing to start.
        """
        ...

    async def all(self, starts: Sequence[Start[T]], at_once: int = 16) -> list[T | Exception]:
        """What each has come to, in their order.

        Args:
            at_once: how many run at a time.
        """
        ...

    def beside(self, start: Start[None]) -> None:
        """Run something in the background. What it raises is logged."""
        ...

    def event(self) -> Event:
        """A new event. Who waits for it is who asked for it; who sets it may have another driver."""
        ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine whose leaves block.

    Raises:
        RuntimeError: it suspended, as when a filter of a blocking client awaits something of asyncio.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except RuntimeError as error:
        if str(error) != _NO_LOOP:
            raise
        raise RuntimeError(f"{_NO_LOOP}: {_place_of(error)} {_WHERE} needs one: {_INSTEAD}") from error
    who = _innermost(coroutine)
    coroutine.close()
    raise RuntimeError(f"{who}, {_WHERE}, suspended: it awaited something of asyncio; {_INSTEAD}")


# What Python says where something of asyncio is used outside of it.
_NO_LOOP: Final = "no running event loop"
_WHERE: Final = "in a filter of a blocking client or of a plain handler"
_INSTEAD: Final = (
    "use the call's driver to sleep or to race, or an asyncio client; a filter of a server gets an event loop if it "
    "awaits anything itself but `next(call)`"
)


def _place_of(error: BaseException) -> str:
    """The last function on the way to an error that is not asyncio's own, and its line."""
    place = "something"
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] != "asyncio":
            place = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _innermost(coroutine: Any) -> str:
    """Who has suspended: the last coroutine of a chain of those that await each other that is not asyncio's own."""
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
    """See `Event`."""

    # Not a `threading.Event`: that is written in Python, and an exception of a signal handler inside of its `set` may
    # leave its lock locked.

    def __init__(self) -> None:
        self._is_set = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """See `Event.set`."""
        self._is_set = True
        self._wake.put(None)

    async def wait(self, seconds: float) -> bool:
        """See `Event.wait`."""
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=max(seconds, 0.0))
        return self._is_set


class BlockingDriver:
    """The driver of blocking clients: sleeping blocks the thread, racing uses threads."""

    # The clock itself: it is asked several times a call.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """See `Driver.sleep`."""
        time.sleep(max(seconds, 0.0))

    async def race(self, starts: Iterable[Start[T]], delay: float = 0.0, is_final: IsFinal = _never) -> T:
        """See `Driver.race`."""
        return race((partial(_driven, start) for start in starts), delay, is_final)

    async def all(self, starts: Sequence[Start[T]], at_once: int = 16) -> list[T | Exception]:
        """See `Driver.all`."""
        outcomes: list[Any] = [None] * len(starts)
        if not starts:
            return outcomes
        numbers = iter(range(len(starts)))
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            error: BaseException | None = None
            try:
                for number in numbers:  # the iterator of a range: threads may share it
                    try:
                        outcomes[number] = drive(starts[number]())
                    except Exception as failure:  # noqa: BLE001  # one of the outcomes
                        outcomes[number] = failure
            except BaseException as failure:  # noqa: BLE001  # handed to the thread that waits
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

    def beside(self, start: Start[None]) -> None:
        """See `Driver.beside`."""
        THREADS.run(partial(_run_beside, start))

    def event(self) -> Event:
        """See `Driver.event`."""
        return _BlockingEvent()


def _driven(start: Start[T]) -> T:
    return drive(start())


def _run_beside(start: Start[None]) -> None:
    try:
        drive(start())
    except Exception:  # noqa: BLE001
        _log.exception("something in the background failed")


class _AsyncioEvent:
    """See `Event`. It belongs to the event loop that it was made on."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """See `Event.set`."""
        self._is_set = True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """See `Event.wait`."""
        if not self._is_set:
            waiter = self._waiter = self._loop.create_future()
            timer = self._loop.call_later(max(seconds, 0.0), self._wake)
            try:
                # Asked once more: it may have been set, by another thread, before there was somebody to wake.
                if not self._is_set:
                    await waiter
            finally:
                timer.cancel()
                self._waiter = None
        return self._is_set


class AsyncioDriver:
    """The driver of asyncio clients."""

    # The clock itself: it is asked several times a call.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """See `Driver.sleep`."""
        import asyncio

        await asyncio.sleep(max(seconds, 0.0))

    async def race(self, starts: Iterable[Start[T]], delay: float = 0.0, is_final: IsFinal = _never) -> T:
        """See `Driver.race`."""
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
            raise ValueError("a race needs somebody who runs")
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
                # All are looked at: asyncio complains of errors that nobody has seen.
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
        """See `Driver.all`."""
        import asyncio

        room = asyncio.Semaphore(at_once)

        async def run(start: Start[T]) -> T | Exception:
            async with room:
                try:
                    return await start()
                except Exception as error:  # noqa: BLE001  # one of the outcomes
                    return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(start)) for start in starts]
        return [task.result() for task in tasks]

    def beside(self, start: Start[None]) -> None:
        """See `Driver.beside`. It ends with the event loop."""
        import asyncio

        task = asyncio.get_running_loop().create_task(start())
        _background.add(task)
        task.add_done_callback(_is_over)

    def event(self) -> Event:
        """See `Driver.event`. Ask for it on the event loop on which it is waited for."""
        return _AsyncioEvent()


# What runs in the background of event loops, which themselves keep no hold of it.
_background: Final[set[Any]] = set()


def _is_over(task: asyncio.Task[None]) -> None:
    _background.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("something in the background failed", exc_info=error)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    import asyncio

    return asyncio.CancelledError() if task.cancelled() else task.exception()
