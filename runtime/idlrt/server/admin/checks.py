"""Health checks: named conditions with a timeout, of which several make up a health page.

A check is never started again while it still runs: probes arrive every few seconds, and a dependency that hangs must
not gather threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from idlrt.core.threads import THREADS
from idlrt.printable import mask_passwords, printable

__all__ = [
    "CHECK_TIMEOUT",
    "Check",
    "CheckFailed",
    "CheckResult",
    "FunctionCheck",
    "LoopCheck",
    "PlainCheck",
    "run_all",
]

CHECK_TIMEOUT: Final = 1.0
"""Seconds within which a check must finish, which is the default timeout of probes of Kubernetes."""

_LONGEST_REASON: Final = 200


class CheckFailed(Exception):
    """The condition of a check does not hold; the text says why."""


class CheckResult(msgspec.Struct, frozen=True):
    """Result of a check.

    Attributes:
        name: name of the check.
        reason: why it failed; empty if it passed.
        is_excluded: whether it was not run because the request excludes it.
    """

    name: str
    reason: str = ""
    is_excluded: bool = False

    def __str__(self) -> str:
        """The line of the result, in the format of Kubernetes."""
        if self.is_excluded:
            return f"[+]{self.name} excluded: ok"
        return f"[-]{self.name} failed: {self.reason}" if self.reason else f"[+]{self.name} ok"


class Check(Protocol):
    """A named condition."""

    @property
    def name(self) -> str:
        """Name, which is unique on a page."""
        ...

    async def run(self, timeout: float) -> None:
        """Check the condition.

        Raises:
            CheckFailed: it does not hold, or is not known within `timeout` seconds.
        """
        ...


async def run_all(checks: list[Check], timeout: float = CHECK_TIMEOUT) -> list[CheckResult]:
    """Run checks concurrently, and return their results in order."""
    return list(await asyncio.gather(*(_run(each, timeout) for each in checks)))


async def _run(check: Check, timeout: float) -> CheckResult:
    try:
        await check.run(timeout)
    except CheckFailed as error:
        return CheckResult(check.name, _line(str(error)) or "failed")
    return CheckResult(check.name)


def _line(text: str) -> str:
    """Return the text of an error for a line of a page: without secrets, line breaks and excessive length."""
    line = printable(mask_passwords(" ".join(text.split())))
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."


def _no_reason() -> str:
    return ""


class PlainCheck:
    """A check that answers at once.

    Args:
        name: name of the check.
        reason: returns why the condition does not hold; empty if it does. Runs on the thread of the admin port.
    """

    def __init__(self, name: str, reason: Callable[[], str] = _no_reason) -> None:
        self.name = name
        self._reason = reason

    async def run(self, timeout: float) -> None:
        """Check the condition; see `Check.run`."""
        why = self._reason()
        if why:
            raise CheckFailed(why)


class _NoResult(Exception):
    """An operation did not finish in time."""


class _SharedRun:
    """An operation that is not started again while it runs: those who come meanwhile wait for the same result."""

    def __init__(self) -> None:
        self._running: asyncio.Future[Any] | None = None

    async def wait(self, start: Callable[[], asyncio.Future[Any]], timeout: float) -> Any:
        """Return the result of the operation. A task is cancelled if it does not finish in time.

        Raises:
            _NoResult: it is not known within `timeout` seconds.
        """
        running = self._running
        if running is None or running.done():
            running = self._running = start()
            running.add_done_callback(_retrieve)
        try:
            done, _ = await asyncio.wait((running,), timeout=timeout)
        except asyncio.CancelledError:
            running.cancel()
            raise
        if not done:
            if isinstance(running, asyncio.Task):
                running.cancel()
            raise _NoResult
        if running.cancelled():
            raise _NoResult
        return running.result()


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of an abandoned operation; asyncio logs those that are not retrieved."""
    if not future.cancelled():
        future.exception()


class LoopCheck:
    """Whether the server's own loop runs: it has to call a function within the timeout.

    Args:
        call: calls a function on the server's thread; thread-safe. It raises `RuntimeError` if the loop has ended.
        is_over: whether the loop has ended because the server stops. Then nothing has to answer.
    """

    def __init__(self, call: Callable[[Callable[[], object]], object], is_over: Callable[[], bool]) -> None:
        self.name = "loop"
        self._call = call
        self._is_over = is_over
        self._run = _SharedRun()

    async def run(self, timeout: float) -> None:
        """Check the condition; see `Check.run`."""
        if self._is_over():
            return
        try:
            await self._run.wait(self._ask, timeout)
        except _NoResult:
            if not self._is_over():
                raise CheckFailed(f"the server's loop did not answer within {timeout:.3g} s") from None

    def _ask(self) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Any] = loop.create_future()
        try:
            self._call(partial(_settle, loop, answered, None, None))
        except RuntimeError:
            answered.cancel()
            raise CheckFailed("the server's loop has ended") from None
        return answered


class FunctionCheck:
    """A check that a user has defined.

    A plain function runs on a background thread, an `async` one on the event loop of the admin port.

    Args:
        name: name of the check.
        function: the function. It fails if it raises or returns `False`.
    """

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        self.name = name
        self._function = function
        self._run = _SharedRun()

    async def run(self, timeout: float) -> None:
        """Check the condition; see `Check.run`."""
        try:
            result = await self._run.wait(self._start, timeout)
            if inspect.isawaitable(result):  # of a function that is not declared `async`, such as a lambda
                result = await _within(result, timeout)
        except _NoResult:
            raise CheckFailed(f"no result within {timeout:.3g} s") from None
        except CheckFailed:
            raise
        except Exception as error:  # user code; becomes the reason
            raise CheckFailed(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        if result is False:
            raise CheckFailed("returned False")

    def _start(self) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if inspect.iscoroutinefunction(self._function):
            return loop.create_task(_contained(self._function()))
        found: asyncio.Future[Any] = loop.create_future()

        def work() -> None:
            try:
                result = self._function()
            except BaseException as error:  # noqa: BLE001  # user code; becomes the reason
                _settle(loop, found, None, error)
            else:
                _settle(loop, found, result, None)

        THREADS.run(work)
        return found


async def _within(work: Awaitable[Any], timeout: float) -> Any:
    found = asyncio.ensure_future(_contained(work))
    return await _SharedRun().wait(lambda: found, timeout)


async def _contained(work: Awaitable[Any]) -> Any:
    """Return the result of a check. `SystemExit` and `KeyboardInterrupt` would end the event loop."""
    try:
        return await work
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise CheckFailed(type(error).__name__) from error


def _as_exception(error: BaseException) -> Exception:
    """Return an exception that futures take."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return CheckFailed(type(error).__name__)


def _settle(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any, error: BaseException | None
) -> None:
    """Complete a future of another thread. That thread may have ended."""

    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(_as_exception(error))

    with contextlib.suppress(RuntimeError):  # the event loop is closed, so the result is not needed
        loop.call_soon_threadsafe(settle)
