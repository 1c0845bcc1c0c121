"""Switch of tracing in this process: the tracer, once one is configured."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from idlrt.core.forks import forks

if TYPE_CHECKING:
    from idlrt.observe.tracing.batches import SpanExporter
    from idlrt.observe.tracing.store import SpanStore
    from idlrt.observe.tracing.tracer import Tracer

__all__ = ["FLUSH_S", "TRACING", "Tracing"]

FLUSH_S: Final = 2.0
"""Seconds for sending the spans that wait when a process ends."""

# Objects that have died are forgotten when there are more than this, or twice as many as lived the last time.
_MIN_FOLLOWERS: Final = 64


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
        self._joins: bool | None = False
        self._close: Callable[[float], bool] | None = None
        self._add: Callable[[SpanExporter], object] | None = None
        self._resume: Callable[[], object] | None = None
        self._followers: list[weakref.WeakMethod[Callable[[], object]]] = []
        self._max_followers = _MIN_FOLLOWERS
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock in a forked child."""
        self._lock = threading.Lock()

    def use(
        self,
        tracer: Tracer | None,
        store: SpanStore | None = None,
        *,
        has_access_log: bool = False,
        close: Callable[[float], bool] | None = None,
        add: Callable[[SpanExporter], object] | None = None,
        resume: Callable[[], object] | None = None,
        joins: bool | None = False,
    ) -> Tracer | None:
        """Use a tracer from now on; `None` turns tracing off. Return the one before.

        Args:
            tracer: the tracer.
            store: recent spans.
            has_access_log: whether servers log their recorded calls.
            close: turns it off, and sends the spans that wait; its argument is a timeout in seconds.
            add: sends spans to another exporter, too.
            resume: goes on with what a forked child lacks.
            joins: whether the context of OpenTelemetry is joined; `None`: if the program has set a provider.
        """
        from idlrt.observe.tracing.trace import JOINED

        with self._lock:
            self.store, self.has_access_log = store, has_access_log
            self._close, self._add, self._resume = close, add, resume
            before, self.tracer = self.tracer, tracer
            self._joins, JOINED.context = joins, None
            self.look_for_context()
            self._forget_dead()
            followers = list(self._followers)
        for each in followers:
            method = each()
            if method is not None:
                method()
        return before

    def look_for_context(self) -> None:
        """Join the context of OpenTelemetry, if the program has begun to use it since the last time."""
        if self.tracer is None or self._joins is False:
            return
        if self._joins is None and "opentelemetry.trace" not in sys.modules:
            return
        from idlrt.observe.tracing.trace import JOINED

        if JOINED.context is not None:
            return
        from idlrt.observe.tracing.opentelemetry_context import OpenTelemetryContext, has_provider

        if self._joins or has_provider():
            JOINED.context = OpenTelemetryContext(self.tracer)
            self.tracer.enters = True

    def start_live(self) -> None:
        """Prepare the exporter that follows spans for this process, which begins to serve."""
        if self.tracer is not None and self.tracer.live is not None:
            self.tracer.live.start()

    def follow(self, method: Callable[[], object]) -> None:
        """Call a bound method after each change, and now if tracing is on; its object is referenced weakly."""
        with self._lock:
            self._followers.append(weakref.WeakMethod(method))
            if len(self._followers) > self._max_followers:
                self._forget_dead()
            is_on = self.tracer is not None
        if is_on:
            method()

    @property
    def followers(self) -> int:
        """Number of objects that follow, some of which may be gone."""
        return len(self._followers)

    def export_to(self, exporter: SpanExporter) -> None:
        """Send spans to another exporter, too, until tracing is turned off."""
        if self._add is not None:
            self._add(exporter)

    def resume(self) -> None:
        """Go on in a forked process that does the work of its parent: follow settings of sampling there, too."""
        if self._resume is not None:
            self._resume()

    def close_at_exit(self) -> None:
        """Send the spans that wait, for at most two seconds, in a process that ends without `atexit`."""
        if self._close is not None:
            with suppress(Exception):
                self._close(FLUSH_S)

    def _forget_dead(self) -> None:
        self._followers = [each for each in self._followers if each() is not None]
        self._max_followers = max(_MIN_FOLLOWERS, 2 * len(self._followers))


TRACING: Final = Tracing()
"""Tracing of this process."""
