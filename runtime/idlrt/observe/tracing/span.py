"""Spans: the parts of a trace that this process records.

A recorded span has times on one clock: its start in nanoseconds since 1970, and everything after that as monotonic
nanoseconds since its start. Arguments are never recorded.

Source: https://opentelemetry.io/docs/specs/otel/trace/api/
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from idlrt.core.forks import forks
from idlrt.observe.tracing.context import TraceContext, new_span_id

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_EVENTS",
    "Attribute",
    "FinishedSpan",
    "Kind",
    "Link",
    "Place",
    "Span",
    "SpanEvent",
    "Status",
]

MAX_ATTRIBUTES: Final = 128
"""Maximum number of attributes of a span; further ones are dropped and counted."""

MAX_EVENTS: Final = 128
"""Maximum number of events of a span; further ones are dropped and counted."""

_MAX_TEXT: Final = 1000
# What exporters can send as a number.
_INT_BOUND: Final = 1 << 63

Attribute: TypeAlias = str | int | float | bool
"""Value of an attribute. Text is truncated to 1,000 characters."""

Kind: TypeAlias = Literal["server", "client", "internal", "producer", "consumer"]
Status: TypeAlias = Literal["unset", "ok", "error"]


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    """Event of a span.

    Attributes:
        at: nanoseconds since the start of the span.
        name: name.
        attributes: attributes.
    """

    at: int
    name: str
    attributes: Mapping[str, Attribute] = {}


class Link(msgspec.Struct, frozen=True, gc=False):
    """Reference to a span that is no parent: the call that queued a background retry, or a conflicting header.

    Attributes:
        trace_id: trace of the span.
        span_id: the span.
        why: relation to it.
    """

    trace_id: str
    span_id: str
    why: str = ""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Place of a span in a segment: the part of a trace that one process records, with a span that has no local parent
    as its root. SkyWalking identifies spans so.

    Attributes:
        segment: id of the segment: the span id of its root.
        number: number of the span in it; 0 for the root.
        parent_number: number of its local parent; -1 if there is none.
        parent_segment: segment of its local parent, if that is another one, because it had ended before the span began,
            or belongs to the process that forked this one.
        begun: of a root: how many spans of the segment had begun when it ended, itself included; else 0.
        original_id: original id of the trace, where it is not 32 hex digits.
    """

    segment: str
    number: int = 0
    parent_number: int = -1
    parent_segment: str = ""
    begun: int = 0
    original_id: str = ""


class Segment:
    """A segment that is being recorded; see `Place`. Threads may share it.

    Attributes:
        id: its id.
        name: name of its root.
        original_id: original id of the trace, where it is not 32 hex digits.
        rpc_id: EagleEye's number of the call that its root serves; `0` for a call without one.
        numbers: numbers of further spans.
        calls: numbers of the calls that it makes.
        is_open: whether its root has not ended.
        process: number of forks between the original process and the one that began it.
    """

    __slots__ = ("calls", "id", "is_open", "name", "numbers", "original_id", "process", "rpc_id")

    def __init__(self, id: str, name: str, original_id: str, rpc_id: str) -> None:
        self.id = id
        self.name = name
        self.original_id = original_id
        self.rpc_id = rpc_id
        self.numbers = itertools.count(1)
        self.calls = itertools.count(1)
        self.process = forks.count
        self.is_open = True


class FinishedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span that has ended, as exporters get it.

    Attributes:
        trace_id: its trace.
        span_id: its id.
        parent_id: id of its parent; empty for a root.
        name: `Service.method`, or the name of an internal span.
        kind: its kind.
        started_at: nanoseconds since 1970.
        duration: nanoseconds.
        attributes: attributes, by the names of OpenTelemetry's conventions.
        events: events, in their order.
        links: links.
        status: status.
        message: description of an error.
        is_remote_parent: whether the parent is in another process.
        is_late: whether it was recorded although it was not sampled, because it failed or was slow; then it has no
            ancestors.
        dropped: number of attributes and events that exceeded a limit.
        context: context of the trace, with its state and sampling threshold.
        sender: names of the caller that the request carried.
        place: place in its segment; `None` if it is the only span of one.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str
    kind: Kind
    started_at: int
    duration: int
    attributes: Mapping[str, Attribute] = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[Link, ...] = ()
    status: Status = "unset"
    message: str = ""
    is_remote_parent: bool = False
    is_late: bool = False
    dropped: int = 0
    context: TraceContext
    sender: Mapping[str, str] = {}
    place: Place | None = None


class Span:
    """A span that is being recorded. Only the call that it belongs to may change it.

    Args:
        name: name.
        kind: kind.
        context: its context, whose `span_id` is that of this span.
        parent_id: id of its parent; empty for a root.
        began: start as monotonic nanoseconds; `None` for now.
        is_remote_parent: whether the parent is in another process.
        sender: names of the caller that the request carried.
        above: its parent in this process; `None` for the root of a segment.

    Attributes:
        name: name; may be changed until the span ends.
        context: see above.
        segment: its segment.
        number: its number in the segment.
        companion: what a `LiveExporter` keeps about it.
    """

    __slots__ = (
        "_attributes",
        "_began",
        "_dropped",
        "_duration",
        "_events",
        "_links",
        "_message",
        "_parent_number",
        "_parent_segment",
        "_started_at",
        "_status",
        "companion",
        "context",
        "is_remote_parent",
        "kind",
        "name",
        "number",
        "parent_id",
        "segment",
        "sender",
    )

    is_recording: Final = True

    def __init__(
        self,
        name: str,
        kind: Kind,
        context: TraceContext,
        parent_id: str = "",
        *,
        began: int | None = None,
        is_remote_parent: bool = False,
        sender: Mapping[str, str] | None = None,
        above: Span | None = None,
    ) -> None:
        now = time.monotonic_ns()
        self.name = name if name.isascii() else _valid(name)
        self.kind: Kind = kind
        self.context = context
        self.parent_id = parent_id
        self.is_remote_parent = is_remote_parent
        self.sender = sender or {}
        self._parent_segment, self._parent_number = "", -1
        if above is None:
            original, rpc_id = self.sender.get("trace_id", ""), self.sender.get("rpc_id", "0")
            self.segment, self.number = Segment(context.span_id, name, original, rpc_id), 0
        else:
            self._parent_number = above.number
            self.segment = segment = above.segment
            if segment.is_open and segment.process == forks.count:
                self.number = next(segment.numbers)
            else:
                # Work in the background that outlived its call, or in a forked child.
                self._parent_segment = segment.id
                self.segment, self.number = Segment(context.span_id, name, segment.original_id, segment.rpc_id), 0
        self._began = now if began is None else began
        if above is None:
            self._started_at = time.time_ns() - (now - self._began)
        else:
            # On the clock of the one above: between two clocks a thread may be interrupted, which changes the order.
            self._started_at = above._started_at + self._began - above._began
        self._duration = -1
        self._attributes: dict[str, Attribute] = {}
        self._events: list[SpanEvent] = []
        self._links: list[Link] = []
        self._status: Status = "unset"
        self._message = ""
        self._dropped = 0
        self.companion: Any = None

    @property
    def has_ended(self) -> bool:
        """Whether it has ended. Later changes are ignored."""
        return self._duration >= 0

    def child(self, name: str, kind: Kind = "internal", *, began: int | None = None) -> Span:
        """Return a new span whose parent is this one."""
        context = msgspec.structs.replace(self.context, span_id=new_span_id())
        return Span(name, kind, context, self.context.span_id, began=began, above=self)

    def set(self, name: str, value: Attribute) -> None:
        """Set an attribute."""
        if self._duration >= 0:
            return
        attributes = self._attributes
        if name not in attributes and len(attributes) >= MAX_ATTRIBUTES:
            self._dropped += 1
            return
        attributes[name if name.isascii() else _valid(name)] = _bounded(value)

    def put(self, name: str, value: Attribute) -> None:
        """Set an attribute of this runtime's own, whose name and value need no check."""
        if self._duration < 0:
            self._attributes[name] = value

    def add_event(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> None:
        """Add an event now."""
        if self._duration >= 0:
            return
        if len(self._events) >= MAX_EVENTS:
            self._dropped += 1
            return
        fields = {} if attributes is None else {_valid(name): _bounded(value) for name, value in attributes.items()}
        self._events.append(SpanEvent(time.monotonic_ns() - self._began, text_of(name), fields))

    def add_link(self, link: Link) -> None:
        """Add a link."""
        if self._duration < 0 and len(self._links) < MAX_EVENTS:
            self._links.append(link)

    def fail(self, error: BaseException | str) -> None:
        """Set the status to `error`. An exception sets `error.type`, and its text is the description."""
        if self._duration >= 0:
            return
        self._status = "error"
        if isinstance(error, BaseException):
            self.set("error.type", type(error).__qualname__)
        self._message = text_of(error)

    def end(self, ended: int | None = None) -> FinishedSpan | None:
        """End the span, and return it as exporters get it; `None` if it has ended before.

        Args:
            ended: end as monotonic nanoseconds; `None` for now.
        """
        if self._duration >= 0:
            return None
        now = time.monotonic_ns() if ended is None else ended
        self._duration = max(now - self._began, 0)
        context, segment, begun = self.context, self.segment, 0
        if not self.number:
            segment.is_open = False
            begun = next(segment.numbers)
        return FinishedSpan(
            trace_id=context.trace_id,
            span_id=context.span_id,
            parent_id=self.parent_id,
            name=self.name,
            kind=self.kind,
            started_at=self._started_at,
            duration=self._duration,
            attributes=self._attributes,
            events=tuple(self._events),
            links=tuple(self._links),
            status=self._status,
            message=self._message,
            is_remote_parent=self.is_remote_parent,
            dropped=self._dropped,
            context=context,
            sender=self.sender,
            place=Place(segment.id, self.number, self._parent_number, self._parent_segment, begun, segment.original_id),
        )

    def __repr__(self) -> str:
        return f"<Span {self.name} {self.context.trace_id}:{self.context.span_id}>"


def text_of(value: object) -> str:
    """Return the text of an object, shortened; the name of its type if it has none: tracing must not break a call."""
    try:
        return _valid(str(value)[:_MAX_TEXT])
    except Exception:  # noqa: BLE001  # whatever `__str__` of a program raises
        return type(value).__qualname__


def _valid(text: str) -> str:
    """Return text that can be encoded: lone surrogates, as in names of files, become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _bounded(value: object) -> Attribute:
    """Return a value that all exporters and pages can show; another one as text."""
    if isinstance(value, str):
        return _valid(value[:_MAX_TEXT])
    kind = type(value)
    if kind is bool or (kind is int and -_INT_BOUND <= value < _INT_BOUND):  # type: ignore[operator]
        return value  # type: ignore[return-value]
    if isinstance(value, float) and math.isfinite(value):
        return float(value)  # also of `numpy`
    if isinstance(value, int) and not isinstance(value, bool) and -_INT_BOUND <= value < _INT_BOUND:
        return int(value)
    return text_of(value)


def attributes_of(values: Mapping[str, Any]) -> dict[str, Attribute]:
    """Return the values that attributes may have; others as text."""
    return {
        name: value if isinstance(value, str | int | float | bool) else text_of(value)
        for name, value in values.items()
        if value is not None
    }
