"""Places of spans in Pinpoint: events of Pinpoint's spans, each of which is a stack.

A span of Pinpoint has events that nest, and that one thread or task begins and ends, the last one first. So a span of
this runtime becomes an event on the stack of its parent only if it begins in the same thread and task as that, and
while no other event is open above the parent. Anything else (concurrent calls of an `async` handler, hedged attempts,
threads that carry the context) gets another stack: an *async span*, which Pinpoint shows below the event of the parent.

This module knows the spans of the agent, and neither the agent nor its settings. It uses two private attributes of
spans, because the agent links an async span to the innermost open event only, which may be a sibling that still runs.
Without these attributes it does so, too.
"""

from __future__ import annotations

import re
import sys
import threading
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from idlrt.core.forks import forks
from idlrt.observe.tracing.span import FinishedSpan

__all__ = ["CLIENT", "METHOD", "PYTHON", "SERVER", "SERVER_METHOD", "TRACE_ID", "Place", "Stack"]

# Service types of Pinpoint's Java agent for Thrift, and of its Python agent.
SERVER: Final = 1100
"""Service type of a call that a server has received."""
SERVER_METHOD: Final = 1101
"""Service type of its handler."""
CLIENT: Final = 9100
"""Service type of a call to a server."""
CLIENT_METHOD: Final = 9101
"""Service type of a call with several attempts, each of which has the type above."""
PYTHON: Final = 1700
"""Service type of a program."""
METHOD: Final = 1701
"""Service type of a part of it."""

# Key of annotations that are a name and a value, and that the pages of Pinpoint show: "http.req.header".
_NAMED: Final = 47
TRACE_ID: Final = "trace_id"
"""Name of the annotation with the id of the trace."""

_ADDRESS: Final = re.compile(r"[^/,]+:[0-9]+", re.ASCII)


class Stack:
    """A span of Pinpoint, and the stack of its events. Threads may share it.

    Args:
        span: the span.

    Attributes:
        span: see above.
    """

    __slots__ = ("_lock", "_places", "_process", "_task", "_thread", "span")

    def __init__(self, span: Any) -> None:
        self.span = span
        self._places: list[Place] = []
        self._lock = threading.RLock()
        self._process = forks.count
        # What may add events: a thread, and a task on it. No thread until `claim`.
        self._thread = 0
        self._task: weakref.ref[Any] | None = None

    @property
    def is_here(self) -> bool:
        """Whether it belongs to this process, and not to the one that has forked it."""
        return self._process == forks.count

    def claim(self) -> None:
        """Let the current thread and task add events."""
        task = _current_task()
        self._thread, self._task = threading.get_ident(), weakref.ref(task) if task is not None else None

    def _is_driven_here(self) -> bool:
        if self._thread != threading.get_ident():
            return False
        task = _current_task()
        owner = self._task() if self._task is not None else None
        if owner is None and task is not None:
            # Begun outside of tasks: of those that run on this thread, the first one.
            self._task = weakref.ref(task)
            return True
        return owner is task

    def push(self, name: str, service_type: int, above: Place | None = None) -> Place:
        """Begin an event on top of the others.

        Args:
            name: what runs.
            service_type: its service type.
            above: the place of its parent.
        """
        with self._lock:
            place = Place(self, self.span.new_span_event(name, service_type), above)
            self._places.append(place)
            return place

    def push_above(self, above: Place, name: str, service_type: int) -> Place | None:
        """Begin an event on top of that of a parent; `None` if it cannot nest there."""
        with self._lock:
            if not self._places or self._places[-1] is not above or not self._is_driven_here():
                return None
            return self.push(name, service_type, above)

    def pop(self, place: Place) -> None:
        """End an event, and those above it that are still open."""
        with self._lock:
            while place in self._places:
                inner = self._places.pop()
                inner.has_ended = True
                inner.event.end()

    @contextmanager
    def innermost(self, event: Any) -> Generator[Any]:
        """Return the span, in which an event is the innermost open one, for a moment."""
        lock, events = getattr(self.span, "_native_lock", None), getattr(self.span, "_active_events", None)
        if lock is None or events is None:
            yield self.span
            return
        with lock:
            at = next((number for number, each in enumerate(events, 1) if each is event), len(events))
            above = events[at:]
            del events[at:]
            try:
                yield self.span
            finally:
                events.extend(above)


class Place:
    """Place of a span: its event on a stack.

    Args:
        stack: the stack.
        event: the event.
        above: place of its parent; `None` if that is in another process, or there is none.

    Attributes:
        stack: see above.
        event: see above.
        is_root: whether the stack is that of a transaction, and ends with this place.
        is_beside: whether the stack is that of an async span, and ends with this place.
        is_sent: whether headers were returned for it.
        has_ended: whether its event has ended.
        token: undoes that the span of the stack is the current one; `None` if it is not.
    """

    __slots__ = (
        "_above",
        "event",
        "has_ended",
        "is_beside",
        "is_root",
        "is_sent",
        "stack",
        "token",
    )

    def __init__(self, stack: Stack, event: Any, above: Place | None = None) -> None:
        self.stack = stack
        self.event = event
        self.is_root = self.is_beside = self.is_sent = self.has_ended = False
        self.token: Any = None
        self._above = above

    @property
    def is_recorded(self) -> bool:
        """Whether the agent records it: it does not if a caller has decided so, or if a span has too many events."""
        return bool(self.stack.span.sampled)

    def nearest(self) -> Place | None:
        """Return this place or the next one around it that has not ended; `None` if there is none in this process."""
        place: Place | None = self
        while place is not None and (place.has_ended or not place.stack.is_here):
            place = place._above
        return place

    def child(self, name: str, service_type: int) -> Place:
        """Begin an event below this one, on this stack or beside it."""
        nested = self.stack.push_above(self, name, service_type)
        if nested is not None:
            return nested
        with self.stack.innermost(self.event) as span:
            linked = span.new_async_span(name)
        return Place.beside(linked, name, service_type, self)

    @staticmethod
    def beside(span: Any, name: str, service_type: int, above: Place | None = None) -> Place:
        """Begin the event of an async span."""
        stack = Stack(span)
        stack.claim()
        place = stack.push(name, service_type, above)
        place.is_beside = True
        return place

    @staticmethod
    def root(span: Any, name: str, service_type: int, trace_id: str) -> Place:
        """Begin the first event of a transaction in this process.

        Args:
            span: its span.
            name: what runs.
            service_type: service type of that.
            trace_id: the trace, which becomes an annotation.
        """
        span.annotate_string_string(_NAMED, TRACE_ID, trace_id)
        place = Stack(span).push(name, service_type)
        place.is_root = True
        return place

    def headers(self, target: str) -> Mapping[str, str]:
        """Return the headers of a request, by names in lower case.

        Args:
            target: address that it is sent to.
        """
        if not self.stack.is_here:
            return {}
        self.is_sent = True
        with self.stack.innermost(self.event) as span:
            self.event.set_destination(target).set_end_point(target)
            return {name.lower(): value for name, value in span.inject_context_items()}

    def end(self, finished: FinishedSpan) -> None:
        """End it with what is known at the end of its span."""
        error = (str(finished.attributes.get("error.type") or "Error"), finished.message)
        is_failed, span = finished.status == "error", self.stack.span
        try:
            self._describe(finished)
            if is_failed:
                # A failed attempt or call fails the transaction only if its root fails, too.
                self.event.set_error(*error, mark_error=False)
        finally:
            self.stack.pop(self)
            if self.is_root and is_failed:
                span.set_error(*error)
            if self.is_root or self.is_beside:
                span.end()

    def _describe(self, finished: FinishedSpan) -> None:
        self.event.set_operation_name(finished.name)
        if finished.kind != "client" or self.is_sent:
            return
        target = str(finished.attributes.get("server.address", "")).removeprefix("tcp://")
        if _ADDRESS.fullmatch(target):
            self.event.set_destination(target).set_end_point(target)
        else:
            # A call of a client with several servers; its attempts have places below it.
            self.event.set_service_type(CLIENT_METHOD)


def _current_task() -> Any:
    """Return the current task; `None` outside of tasks. Programs without asyncio do not have to import it."""
    asyncio = sys.modules.get("asyncio")
    # Unlike `current_task`, this does not raise where no loop is running.
    if asyncio is None or asyncio._get_running_loop() is None:
        return None
    return asyncio.current_task()
