"""Signals that stop a server: the first one drains it, the second one interrupts the handler, the third one kills.

Python runs signal handlers on the main thread between two byte codes, so the second signal can raise an exception in a
handler that hangs there, where the server's loop cannot run. Only code below an `interruptible` is interrupted,
never the server's own code: if that is running, the server stops at once by itself.

A handler that hangs in C, and resumes a system call that a signal has interrupted, keeps Python from running anything
on the main thread. A separate thread counts signals (`signal.set_wakeup_fd`) and kills the process at the third one.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

from idlrt.core.forks import forks

__all__ = ["STOP_SIGNALS", "StopSignals", "interruptible"]

F = TypeVar("F", bound=Callable[..., Any])

_interruptible_code: Final[set[CodeType]] = set()
_KILL_COUNT: Final = 3
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""The signals that stop a server."""


def interruptible(function: F) -> F:
    """Mark a function that calls user code and handles every exception that it raises."""
    _interruptible_code.add(function.__code__)
    return function


def _is_interruptible(frame: FrameType | None) -> bool:
    """Return whether an `interruptible` is among the callers of `frame`."""
    while frame is not None:
        frame = frame.f_back
        if frame is not None and frame.f_code in _interruptible_code:
            return True
    return False


class StopSignals:
    """Context manager that handles stop signals, on the main thread; on other threads it does nothing.

    In forked children the previous handlers are restored, because a signal to a child does not concern the server.

    Args:
        numbers: the signals, which are counted together.
        drain: called at the first signal.
        force_stop: called at the second signal, with whether it interrupts a handler: `KeyboardInterrupt` (SIGINT) or
            `SystemExit` is raised there when this returns.
        kill: called at the third signal. `None`: the default action of the signal applies.
        counts: returns whether a signal after the first one counts. A service manager may signal a whole process
            group, and so may our supervisor: a process that receives both must not count two requests.
    """

    def __init__(
        self,
        numbers: Sequence[signal.Signals],
        *,
        drain: Callable[[], object],
        force_stop: Callable[[bool], object],
        kill: Callable[[], object] | None = None,
        counts: Callable[[], bool] | None = None,
    ) -> None:
        self._numbers = tuple(numbers)
        self._drain = drain
        self._force_stop = force_stop
        self._kill = kill
        self._counts = counts
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}
        # A pipe to which Python's C signal handler writes signal numbers.
        self._read_end = self._write_end = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._before = {number: signal.signal(number, self._handle_signal) for number in self._numbers}
        if self._kill is None and self._counts is None and self._before:
            self._count_on_thread()
        forks.register(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def after_fork(self) -> None:
        """Restore the previous handlers in a forked child."""
        read_end = self._read_end
        self._restore()
        if read_end >= 0:
            os.close(read_end)  # the thread that closes it runs in the parent only

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            # `None` stands for a handler that was not installed from Python, which cannot be restored.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        write_end, self._read_end, self._write_end = self._write_end, -1, -1
        if write_end >= 0:
            found = signal.set_wakeup_fd(-1)
            if found not in (-1, write_end):
                signal.set_wakeup_fd(found)  # set by other code in the meantime
            os.close(write_end)  # ends the thread

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        if self._count and self._counts is not None and not self._counts():
            return
        self._count += 1
        if self._count == 1:
            self._drain()
            return
        is_last = self._count >= _KILL_COUNT
        if is_last or self._kill is None:
            # From now on the default action applies, which nothing can delay.
            for each in self._before:
                signal.signal(each, signal.SIG_DFL)
        if is_last:
            if self._kill is not None:
                self._kill()
            return
        is_interrupted = _is_interruptible(frame)
        self._force_stop(is_interrupted)
        if is_interrupted:
            name = signal.Signals(number).name
            raise KeyboardInterrupt(name) if number == signal.SIGINT else SystemExit(128 + number)

    def _count_on_thread(self) -> None:
        """Count signals on a thread too, unless the wakeup descriptor is in use by other code."""
        found = signal.set_wakeup_fd(-1)
        if found != -1 or not hasattr(os, "set_blocking"):
            signal.set_wakeup_fd(found)
            return
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        arguments = self._read_end, self._numbers
        threading.Thread(target=_kill_at_last_signal, args=arguments, name="idlrt signals", daemon=True).start()


def _kill_at_last_signal(read_end: int, numbers: tuple[signal.Signals, ...]) -> None:
    count = 0
    while data := os.read(read_end, 64):
        count += sum(byte in numbers for byte in data)
        if count >= _KILL_COUNT:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(read_end)
