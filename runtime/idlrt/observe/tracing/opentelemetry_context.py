"""Context of the OpenTelemetry SDK, if the program uses it: its spans and ours continue each other.

Handlers and internal spans run with a stand-in for the current span of this runtime, so that spans that the SDK begins
there become its children. A span of the SDK that is current where a client call or an internal span begins becomes its
parent. Baggage is exchanged in the same way.

Source: https://opentelemetry.io/docs/specs/otel/trace/api/
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import Token
from typing import Any, Final

import msgspec
from opentelemetry import baggage, context
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    INVALID_SPAN_CONTEXT,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    get_tracer_provider,
    set_span_in_context,
)
from opentelemetry.trace.status import Status, StatusCode

from idlrt.observe.tracing.context import NO_TEXTS, TraceContext, new_span_id
from idlrt.observe.tracing.propagation.tracestate import parse_sampling, with_sampling
from idlrt.observe.tracing.span import Attribute, Kind, attributes_of, text_of
from idlrt.observe.tracing.span import Link as OurLink
from idlrt.observe.tracing.span import Span as OurSpan
from idlrt.observe.tracing.trace import InternalTrace, Trace, TraceOwner

__all__ = ["OpenTelemetryContext", "StandIn", "has_provider"]

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SAMPLED_RANDOM: Final = TraceFlags(3)
_UNSAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_UNSAMPLED_RANDOM: Final = TraceFlags(2)
_RANDOM: Final = 2
_MAX_TRACES: Final = 1024


def has_provider() -> bool:
    """Return whether the program has set a tracer provider, such as that of the SDK."""
    return not isinstance(get_tracer_provider(), ProxyTracerProvider | NoOpTracerProvider)


class StandIn(Span):
    """A span of this runtime, as code that uses the API of OpenTelemetry sees it. `end` does nothing: we end it.

    Args:
        trace: its trace.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        # What it was made of: a trace that is not sampled may become so.
        self._made_of: TraceContext | None = None
        self._context: SpanContext = INVALID_SPAN_CONTEXT

    def get_span_context(self) -> SpanContext:
        """Return its ids; they are built when they are asked for."""
        ours = self.trace.context
        if ours is not self._made_of:
            self._made_of, self._context = ours, _theirs(ours)
        return self._context

    def is_recording(self) -> bool:
        """Return whether it is recorded and has not ended."""
        span = self.trace.span
        return span is not None and not span.has_ended

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute."""
        if self.trace.span is not None:
            self.trace.span.set(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Add an event now, whatever the timestamp is."""
        if self.trace.span is not None:
            self.trace.span.add_event(name, None if attributes is None else attributes_of(attributes))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Add a link."""
        if self.trace.span is not None and context.is_valid:
            self.trace.span.add_link(OurLink(f"{context.trace_id:032x}", f"{context.span_id:016x}"))

    def update_name(self, name: str) -> None:
        """Change the name of an internal span; those of calls are the names of their methods."""
        span = self.trace.span
        if span is not None and span.kind == "internal":
            span.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status to `error`; others are left to the outcome of the call."""
        code = status if isinstance(status, StatusCode) else status.status_code
        text = description if isinstance(status, StatusCode) else status.description
        if self.trace.span is not None and code is StatusCode.ERROR:
            self.trace.span.fail(text or "")

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add the event `exception`."""
        own = {"exception.type": type(exception).__qualname__, "exception.message": text_of(exception)}
        self.add_event("exception", {**own, **(attributes or {})})

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the call ends it."""


class JoinedSpan(OurSpan):
    """A span of the SDK, as the parent of spans of this runtime. It is never exported here.

    Args:
        span: the span.
        context: its ids and decision.
        enclosing: the span of this runtime around it, in the same trace; `None` for none.
    """

    __slots__ = ("_enclosing", "_theirs")

    def __init__(self, span: Span, context: TraceContext, enclosing: OurSpan | None) -> None:
        super().__init__("", "internal", context)
        if enclosing is not None:
            self.segment, self.number = enclosing.segment, enclosing.number
            self.companion = enclosing.companion
        self._theirs = span
        self._enclosing = enclosing

    def child(self, name: str, kind: Kind = "internal", *, began: int | None = None) -> OurSpan:
        """Return a new span whose parent is this one, in the segment of the span around it."""
        context = msgspec.structs.replace(self.context, span_id=new_span_id())
        return OurSpan(name, kind, context, self.context.span_id, began=began, above=self._enclosing)

    def set(self, name: str, value: Attribute) -> None:
        """Set an attribute of the span of the SDK."""
        self._theirs.set_attribute(name, value)

    def add_event(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> None:
        """Add an event to it."""
        self._theirs.add_event(name, attributes)


class _Tags:
    """Business tags of the last traces that spans of the SDK have begun, by trace id: those of the chain, and those for
    the next hop.
    """

    def __init__(self) -> None:
        self.found: OrderedDict[str, tuple[Mapping[str, str], Mapping[str, str]]] = OrderedDict()

    def put(self, trace_id: str, tags: Mapping[str, str], next_once: Mapping[str, str]) -> None:
        self.found[trace_id] = tags, next_once
        while len(self.found) > _MAX_TRACES:
            self.found.popitem(last=False)


class _RootTrace(Trace):
    """Trace of a span of the SDK, without one of this runtime around it. Its tags stay with the trace id."""

    def __init__(
        self, tracer: TraceOwner, found: TraceContext, span: OurSpan | None, members: Mapping[str, str], tags: _Tags
    ) -> None:
        self._known = tags
        before = tags.found.get(found.trace_id, (NO_TEXTS, NO_TEXTS))
        super().__init__(tracer, found, span, time.monotonic_ns(), members, before[0])
        self.next_once = before[1]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("tags", "next_once") and value:
            self._known.put(self.context.trace_id, self.tags, self.next_once)


class OpenTelemetryContext:
    """The current span and baggage of the API of OpenTelemetry; a `JoinedContext`.

    Args:
        tracer: writes the headers of client calls.
    """

    def __init__(self, tracer: TraceOwner) -> None:
        self._tracer = tracer
        self._tags = _Tags()

    def current(self, trace: Trace | None) -> Trace | None:
        """Return the current trace of both sides; see `JoinedContext`."""
        span = get_current_span()
        members = _members()
        if isinstance(span, StandIn):
            if trace is not None and any(trace.baggage.get(name) != value for name, value in members.items()):
                return self._with(trace, trace.context, trace.span, {**trace.baggage, **members})
            return trace
        theirs = span.get_span_context()
        if not theirs.is_valid:
            return trace
        found = _ours(theirs)
        is_inside = trace is not None and trace.context.trace_id == found.trace_id
        if is_inside and trace is not None and trace.span is not None and not found.is_sampled:
            # A tag has forced ours since theirs has begun.
            return trace
        outer = trace if is_inside else None
        enclosing = outer.span if outer is not None else None
        joined = JoinedSpan(span, found, enclosing) if found.is_sampled else None
        return self._with(outer, found, joined, {**(outer.baggage if outer is not None else NO_TEXTS), **members})

    def _with(
        self, around: Trace | None, found: TraceContext, span: OurSpan | None, members: Mapping[str, str]
    ) -> Trace:
        if around is None:
            return _RootTrace(self._tracer, found, span, members, self._tags)
        made = InternalTrace(self._tracer, found, span, time.monotonic_ns(), members)
        made.name, made.around = "", around
        made.tags, made.once, made.next_once = around.tags, around.once, around.next_once
        return made

    def baggage(self) -> Mapping[str, str]:
        """Return the baggage of OpenTelemetry."""
        return _members()

    def enter(self, trace: Trace | None) -> Token[Any]:
        """Make a trace the current one of OpenTelemetry, with its baggage; see `JoinedContext`."""
        if trace is None:
            return context.attach(set_span_in_context(INVALID_SPAN))
        made: Context = set_span_in_context(StandIn(trace))
        for name, value in trace.baggage.items():
            made = baggage.set_baggage(name, value, made)
        return context.attach(made)

    def leave(self, token: Token[Any]) -> None:
        """Undo `enter`."""
        context.detach(token)


def _members() -> dict[str, str]:
    return {name: value for name, value in baggage.get_all().items() if isinstance(value, str)}


def _ours(theirs: SpanContext) -> TraceContext:
    flags = int(theirs.trace_flags)
    found = TraceContext(
        f"{theirs.trace_id:032x}",
        f"{theirs.span_id:016x}",
        bool(flags & TraceFlags.SAMPLED),
        is_random=bool(flags & _RANDOM),
    )
    parsed = parse_sampling(theirs.trace_state.to_header()) if theirs.trace_state else None
    if parsed is None:
        return found
    state, threshold, randomness = parsed
    return msgspec.structs.replace(found, state=state, threshold=threshold, randomness=randomness)


def _theirs(ours: TraceContext) -> SpanContext:
    text = with_sampling(ours.state, ours.threshold if ours.is_sampled else None, ours.randomness)
    state = TraceState.from_header([text]) if text else None
    if ours.is_sampled:
        flags = _SAMPLED_RANDOM if ours.is_random else _SAMPLED
    else:
        flags = _UNSAMPLED_RANDOM if ours.is_random else _UNSAMPLED
    return SpanContext(int(ours.trace_id, 16), int(ours.span_id, 16), False, flags, state)
