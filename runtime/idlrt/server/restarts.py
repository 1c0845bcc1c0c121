"""Exit codes of server processes, and the delay before they are restarted."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

__all__ = ["RestartDelay", "exit_code", "exit_text"]

# A process that has run for this time is restarted at once, in seconds.
_LIVED: Final = 2.0
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0


class RestartDelay:
    """Exponential backoff of restarts: no delay after a process that has run for a while; otherwise the delay doubles
    each time, so that a process which cannot start does not use up the CPU.
    """

    def __init__(self) -> None:
        self._next = _FIRST_DELAY

    def next(self, lifetime: float) -> float:
        """Return the delay of this restart in seconds, and update that of the next one.

        Args:
            lifetime: run time of the process that exited, in seconds; 0 if it could not be started.
        """
        if lifetime >= _LIVED:
            self._next = _FIRST_DELAY
            return 0.0
        delay = self._next
        self._next = min(delay * 2, _LONGEST_DELAY)
        return delay


def exit_code(pid: int) -> int | None:
    """Return the exit code of a child process, negative if a signal killed it; `None` while it runs."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0  # other code of this program has reaped it
    return os.waitstatus_to_exitcode(status) if found else None


def exit_text(status: int) -> str:
    """Return an exit code as the end of a sentence about the process."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"
