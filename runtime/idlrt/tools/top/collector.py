"""Polls in the background, at a fixed pace, while the screen waits for keys."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from idlrt.tools.top.poll import Poller
from idlrt.tools.top.table import Reports

__all__ = ["Collector"]


class Collector:
    """Polls on a thread. Use it in a `with` statement.

    Args:
        poller: reads the instances.
        latest: the poll before the first one of the thread.
        interval: seconds between the starts of two polls; it may be changed at any time.
    """

    def __init__(self, poller: Poller, latest: Reports, interval: float) -> None:
        self._poller = poller
        self._latest = latest
        self._interval = interval
        self._wake = threading.Condition()
        self._is_closed = False

    @property
    def latest(self) -> Reports:
        """Reports of the latest poll."""
        return self._latest

    @property
    def interval(self) -> float:
        """Seconds between the starts of two polls."""
        return self._interval

    @interval.setter
    def interval(self, seconds: float) -> None:
        with self._wake:
            self._interval = seconds
            self._wake.notify_all()

    def __enter__(self) -> Self:
        threading.Thread(target=self._work, name="idlrt top", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._wake:
            self._is_closed = True
            self._wake.notify_all()

    def _work(self) -> None:
        began = time.monotonic()
        while self._waited(began):
            began = time.monotonic()
            self._latest = Reports(self._poller.poll())

    def _waited(self, began: float) -> bool:
        """Wait until the next poll is due, and return whether there is to be one."""
        with self._wake:
            while not self._is_closed:
                left = began + self._interval - time.monotonic()
                if left <= 0:
                    return True
                self._wake.wait(left)
        return False
