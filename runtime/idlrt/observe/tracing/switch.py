"""Switch of tracing in this process: the tracer, once one is configured."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from idlrt.core.forks import forks

if TYPE_CHECKING:
    from idlrt.observe.tracing.store import SpanStore
    from idlrt.observe.tracing.tracer import Tracer

__all__ = ["TRACING", "Tracing"]


class Tracing:
    """Holder of the tracer. Threads may share it.

    Attributes:
        tracer: the tracer; `None` while tracing is off.
        store: recent spans, for admin ports; `None` if they are not kept.
        has_access_log: whether servers log their recorded calls.
    """

    def __init__(self) -> None:
        self.tracer: Tracer | None = None
        self.store: SpanStore | None = None
        self.has_access_log = False
        self._followers: list[weakref.WeakMethod[Callable[[], object]]] = []
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock in a forked child."""
        self._lock = threading.Lock()

    def use(
        self, tracer: Tracer | None, store: SpanStore | None = None, *, has_access_log: bool = False
    ) -> Tracer | None:
        """Use a tracer from now on; `None` turns tracing off. Return the one before."""
        with self._lock:
            self.store, self.has_access_log = store, has_access_log
            before, self.tracer = self.tracer, tracer
            self._followers = [each for each in self._followers if each() is not None]
            followers = list(self._followers)
        for each in followers:
            method = each()
            if method is not None:
                method()
        return before

    def follow(self, method: Callable[[], object]) -> None:
        """Call a bound method after each change, and now if tracing is on; its object is referenced weakly."""
        with self._lock:
            self._followers.append(weakref.WeakMethod(method))
            is_on = self.tracer is not None
        if is_on:
            method()


TRACING: Final = Tracing()
"""Tracing of this process."""
