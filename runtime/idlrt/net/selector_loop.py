"""A readiness loop: many connections on one thread.

The loop waits for sockets, timers and other threads, and lets each `Channel` that is ready read and write
once, so that no connection holds up the others. Everything but `call_threadsafe` belongs to the thread that
runs it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from idlrt.core.logs import get_logger
from idlrt.net.channel import Channel
from idlrt.net.readiness import READ, readiness

__all__ = ["SelectorLoop", "Timer"]

_log = get_logger("idlrt.net")

# Seconds after which answers are not kept back any longer for the end of a round.
_ROUND = 0.0005
# Seconds: more does not fit into what the system takes.
_LONGEST_WAIT = 3600.0


class Timer:
    """Something to do later, unless it is cancelled."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._function: Callable[..., object] | None = function
        self._arguments = arguments

    def cancel(self) -> None:
        """Do not do it."""
        self._function = None
        self._arguments = ()

    def run(self) -> None:
        """Do it, unless it was cancelled."""
        if self._function is not None:
            self._function(*self._arguments)


class SelectorLoop:
    """The loop.

    Attributes:
        readiness: what it waits with; for channels and listeners only.
        unsent: channels that were given something to send in this round; for channels only.
        now: when this round began, on the clock of `time.monotonic`.
    """

    def __init__(self) -> None:
        self.readiness: Final = readiness()
        self.unsent: Final[list[Channel]] = []
        self.now = time.monotonic()
        self._soon: deque[Timer] = deque()
        self._later: list[tuple[float, int, Timer]] = []
        self._counter = itertools.count()
        self._is_stopping = False
        self._is_woken = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self.readiness.watch(self._wake_out, READ, self._woken)

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` before the loop waits again."""
        self._soon.append(Timer(function, arguments))

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> Timer:
        """Call `function` after `seconds`."""
        timer = Timer(function, arguments)
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._counter), timer))
        return timer

    def call_threadsafe(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the loop's thread. May be used by any thread and by signal handlers."""
        self._soon.append(Timer(function, arguments))
        if not self._is_woken:
            self._is_woken = True
            # Full: it will wake. Closed: nobody is left to be woken.
            with contextlib.suppress(OSError):
                self._wake_in.send(b"\0")

    def _woken(self, mask: int) -> None:
        # First the bytes, then the flag: a byte that is sent after it was cleared must stay.
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        self._is_woken = False

    def run(self) -> None:
        """Run until `stop` is called on this thread."""
        wait, functions = self.readiness.wait, self.readiness.functions
        soon, unsent, now = self._soon, self.unsent, time.monotonic
        while not self._is_stopping:
            ready = wait(self._patience())
            self.now = now()
            latest = self.now + _ROUND
            for number, mask in ready:
                function = functions.get(number)
                if function is not None:  # it may have been closed in this round
                    function(mask)
                if unsent and now() > latest:
                    self._flush()
                    latest = now() + _ROUND
            if self._later:
                self._run_timers()
            for _ in range(len(soon)):
                self._run(soon.popleft())
            if unsent:
                self._flush()

    def _flush(self) -> None:
        """Send what the channels were given in this round.

        One after the other, because peers that sleep are woken by the first answer and are awake for the
        others: waking is what costs most in a round of small calls.
        """
        unsent = self.unsent
        for channel in unsent:
            channel.flush()
        unsent.clear()

    def _patience(self) -> float | None:
        """How long nothing needs to be done, in seconds."""
        if self._soon:
            return 0
        if self._later:
            return min(max(0.0, self._later[0][0] - time.monotonic()), _LONGEST_WAIT)
        return None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._run(heapq.heappop(self._later)[2])

    def _run(self, timer: Timer) -> None:
        try:
            timer.run()
        except Exception:  # noqa: BLE001  # logged; the loop goes on
            _log.exception("something that was to be done later failed")

    def stop(self) -> None:
        """Return from `run` after this round."""
        self._is_stopping = True

    def forget(self) -> None:
        """In a child of the process: close what the child has inherited. What the parent waits for stays as it is."""
        self._is_stopping = True
        self.readiness.close()
        self._wake_in.close()
        self._wake_out.close()

    def close(self) -> None:
        """Give back what the loop holds. Its channels and listeners must have been closed."""
        for timer in list(self._soon):
            self._run(timer)
        self._soon.clear()
        self.readiness.close()
        self._wake_in.close()
        self._wake_out.close()
