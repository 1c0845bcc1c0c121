"""Lifeline of server processes: a pipe whose end of file tells them that their supervisor is gone."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

__all__ = ["Lifeline"]


class Lifeline:
    """A pipe that the supervisor holds open, and that its processes read. Nothing is ever written to it."""

    def __init__(self) -> None:
        self._reader, self._writer = -1, -1

    def open(self) -> None:
        """Open the pipe."""
        self._reader, self._writer = os.pipe()

    def close(self) -> None:
        """Close both ends. Processes that were forked before notice it."""
        for descriptor in (self._reader, self._writer):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._reader = self._writer = -1

    def close_writer(self) -> None:
        """Close the end of the supervisor in a process, which would hold it open, too."""
        os.close(self._writer)
        self._writer = -1

    def watch(self, stop: Callable[[], object]) -> None:
        """Call `stop` on a background thread when the supervisor is gone."""
        reader = self._reader

        def work() -> None:
            with contextlib.suppress(OSError):
                while os.read(reader, 1):
                    pass
            stop()

        threading.Thread(target=work, name="idlrt lifeline", daemon=True).start()
