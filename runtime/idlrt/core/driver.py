"""Time and concurrency, injected.

The call stack exists once, as coroutines. An asyncio client awaits it. A blocking client drives it with a
single `send(None)` (`drive`), which works because its leaves block instead of suspending. Whatever in the
stack needs a clock, a pause or two things at once asks its `Driver`, never `time` or `asyncio`; so the same
filter serves both clients, and tests run it in virtual time (`idlrt.testing.FakeDriver`).

Source: `edgedb/blocking_client.py` of edgedb-python.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncioDriver", "BlockingDriver", "Driver", "Event", "drive"]

T = TypeVar("T")

Start = Callable[[], Coroutine[Any, Any, T]]


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

    async def race(self, starts: Sequence[Start[T]]) -> T:
        """Start all at once; the result of the first that succeeds. If none does, the error of the last to fail.

        The losers are cancelled where that is possible; a blocking one goes on and its result is dropped.

        Raises:
            ValueError: there is nothing to start.
        """
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
    who = _innermost(coroutine)
    coroutine.close()
    raise RuntimeError(
        f"{who}, in a filter of a blocking client or of a plain handler, suspended: it awaited something of asyncio; "
        "use the call's driver to sleep or to race"
    )


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

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """See `Event.set`."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """See `Event.wait`."""
        return self._event.wait(max(seconds, 0.0))


class BlockingDriver:
    """The driver of blocking clients: sleeping blocks the thread, racing uses threads."""

    # The clock itself: it is asked several times a call.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """See `Driver.sleep`."""
        time.sleep(max(seconds, 0.0))

    async def race(self, starts: Sequence[Start[T]]) -> T:
        """See `Driver.race`."""
        if not starts:
            raise ValueError("a race needs somebody who runs")
        finished: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def run(start: Start[T]) -> None:
            try:
                finished.put((True, drive(start())))
            except BaseException as error:  # noqa: BLE001  # handed to the thread that waits
                finished.put((False, error))

        for start in starts:
            threading.Thread(target=run, args=(start,), name="idlrt race", daemon=True).start()
        last: BaseException | None = None
        for _ in starts:
            is_good, outcome = finished.get()
            if is_good:
                result: T = outcome
                return result
            last = outcome
        assert last is not None
        raise last

    def event(self) -> Event:
        """See `Driver.event`."""
        return _BlockingEvent()


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

    async def race(self, starts: Sequence[Start[T]]) -> T:
        """See `Driver.race`."""
        import asyncio

        if not starts:
            raise ValueError("a race needs somebody who runs")
        last: Exception | None = None
        tasks = [asyncio.ensure_future(start()) for start in starts]
        try:
            for done in asyncio.as_completed(tasks):
                try:
                    return await done
                except Exception as error:  # noqa: BLE001  # the others may still succeed
                    last = error
            assert last is not None
            raise last
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def event(self) -> Event:
        """See `Driver.event`. Ask for it on the event loop on which it is waited for."""
        return _AsyncioEvent()
