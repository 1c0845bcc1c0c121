"""Selector loop: an event loop for many connections on one thread.

The loop waits for sockets, timers and other threads. In each iteration every `Channel` that is ready reads and writes
once, so that no connection starves the others. Only `call_threadsafe` may be called on other threads.
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
from idlrt.net.poller import READ, poller

__all__ = ["SelectorLoop", "Timer"]

_log = get_logger("idlrt.net")

# Seconds after which responses are sent before the end of an iteration.
_FLUSH_INTERVAL = 0.0005
# Longest timeout that the poller supports on all systems, in seconds.
_LONGEST_WAIT = 3600.0


class Timer:
    """A scheduled callback, which can be cancelled."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._function: Callable[..., object] | None = function
        self._arguments = arguments

    def cancel(self) -> None:
        """Cancel the callback."""
        self._function = None
        self._arguments = ()

    def run(self) -> None:
        """Call the callback, unless it has been cancelled."""
        if self._function is not None:
            self._function(*self._arguments)


class SelectorLoop:
    """The event loop of a `Server`.

    Attributes:
        poller: the poller; for channels and listeners only.
        unsent: channels with data to send at the end of the current iteration; for channels only.
        now: time at which the current iteration began, on the clock of `time.monotonic`.
    """

    def __init__(self) -> None:
        self.poller: Final = poller()
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
        self.poller.watch(self._wake_out, READ, self._woken)

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` before the loop waits again."""
        self._soon.append(Timer(function, arguments))

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> Timer:
        """Call `function` after `seconds`."""
        timer = Timer(function, arguments)
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._counter), timer))
        return timer

    def call_threadsafe(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the loop's thread. May be called on any thread and in signal handlers."""
        self._soon.append(Timer(function, arguments))
        if not self._is_woken:
            self._is_woken = True
            # A full socket buffer wakes the loop too; a closed socket means that the loop has ended.
            with contextlib.suppress(OSError):
                self._wake_in.send(b"\0")

    def _woken(self, mask: int) -> None:
        # Read the bytes before clearing the flag: a byte that is sent after that must stay.
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        self._is_woken = False

    def run(self) -> None:
        """Run until `stop` is called on this thread."""
        wait, functions = self.poller.wait, self.poller.functions
        soon, unsent, now = self._soon, self.unsent, time.monotonic
        while not self._is_stopping:
            ready = wait(self._poll_timeout())
            self.now = now()
            latest = self.now + _FLUSH_INTERVAL
            for number, mask in ready:
                function = functions.get(number)
                if function is not None:  # the socket may have been closed in this iteration
                    function(mask)
                if unsent and now() > latest:
                    self._flush()
                    latest = now() + _FLUSH_INTERVAL
            if self._later:
                self._run_timers()
            for _ in range(len(soon)):
                self._run(soon.popleft())
            if unsent:
                self._flush()

    def _flush(self) -> None:
        """Send the data of this iteration.

        All channels are flushed together: a client process that sleeps is woken by the first response and is awake for
        the others, and waking it takes most of the time of an iteration with small calls.
        """
        unsent = self.unsent
        for channel in unsent:
            channel.flush()
        unsent.clear()

    def _poll_timeout(self) -> float | None:
        """Return the time until the next callback in seconds; `None` if there is none."""
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
        except Exception:  # noqa: BLE001  # logged; the loop continues
            _log.exception("scheduled callback failed")

    def stop(self) -> None:
        """Return from `run` after the current iteration."""
        self._is_stopping = True

    def close_inherited(self) -> None:
        """Close the inherited file descriptors in a forked child, without an effect on the loop of the parent."""
        self._is_stopping = True
        self.poller.close()
        self._wake_in.close()
        self._wake_out.close()

    def close(self) -> None:
        """Run the remaining callbacks and release all resources. Channels and listeners must be closed before."""
        for timer in list(self._soon):
            self._run(timer)
        self._soon.clear()
        self.poller.close()
        self._wake_in.close()
        self._wake_out.close()
