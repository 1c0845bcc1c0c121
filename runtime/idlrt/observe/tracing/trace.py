"""Trace of a call, as it is carried along with it, and the current one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from idlrt.core import CURRENT_TRACE, Decision, current_call
from idlrt.observe.tracing.context import NO_TEXTS, TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.propagation import make_next_traceparent, parse_traceparent
from idlrt.observe.tracing.span import Span, attributes_of
from idlrt.serialization import compiled

__all__ = [
    "CURRENT",
    "JOINED",
    "TRACEPARENT",
    "DeferredTrace",
    "DroppedTrace",
    "InternalTrace",
    "JoinedContext",
    "SuppressedTrace",
    "Trace",
    "TraceOwner",
    "current_trace",
]


TRACEPARENT: Final = "traceparent"


class TraceOwner(Protocol):
    """Functions of a tracer that traces call; a `Tracer`.

    Attributes:
        is_plain: whether it writes W3C's headers only.
    """

    is_plain: bool

    def headers(self, trace: Trace, method: str, target: str) -> dict[str, str]:
        """Return the metadata that carry a trace to a server."""
        ...

    def begin_deferred(self, name: str, trace: Trace) -> Trace:
        """Begin the trace of a call that is retried later, in the background."""
        ...

    def end_deferred(self, trace: DeferredTrace, error: BaseException | None) -> None:
        """End it."""
        ...


class Trace:
    """Trace of a call or of a part of the program: its context, and its span if it is recorded.

    Attributes:
        span: span; `None` if it is not recorded.
        baggage: W3C baggage, which travels the whole chain.
        tags: business tags, which travel the whole chain.
        once: business tags that this call received from its caller; they do not travel further.
        next_once: business tags for the next hop.
        began: start as monotonic nanoseconds.
    """

    span: Span | None = None
    baggage: Mapping[str, str] = NO_TEXTS
    tags: Mapping[str, str] = NO_TEXTS
    once: Mapping[str, str] = NO_TEXTS
    next_once: Mapping[str, str] = NO_TEXTS
    _context: TraceContext | None = None

    def __init__(
        self,
        tracer: TraceOwner,
        context: TraceContext | None,
        span: Span | None,
        began: int,
        baggage: Mapping[str, str] = NO_TEXTS,
        tags: Mapping[str, str] = NO_TEXTS,
        once: Mapping[str, str] = NO_TEXTS,
    ) -> None:
        self._tracer = tracer
        self._context = context
        self.span = span
        self.began = began
        self.baggage = baggage
        self.tags = tags
        self.once = once

    @property
    def context(self) -> TraceContext:
        """Context; its `span_id` is that of the span, or of the sender if nothing is recorded."""
        found = self._context
        if found is None:
            found = self._context = self._found()
        return found

    def _found(self) -> TraceContext:
        """Return the context, which has not been needed until now."""
        return TraceContext(new_trace_id(), new_span_id(), is_sampled=False, is_random=True)

    def lineage(self) -> Iterator[Trace]:
        """Return this trace and those around it, up to that of the call that is being handled."""
        yield self

    def onward(self) -> Trace:
        """Return it as other requests carry it: with the tags for the next hop, and not those that it received."""
        context = self._context or self.context
        return Trace(self._tracer, context, self.span, self.began, self.baggage, self.tags, self.next_once)

    def record(self, span: Span) -> None:
        """Record it from now on."""
        self.span, self._context = span, span.context

    @property
    def is_recorded(self) -> bool:
        """Whether it has a span."""
        return self.span is not None

    def unrecorded(self, began: int) -> Trace:
        """Return the trace of a client call that continues this one, which is not recorded but has tags for one hop."""
        return Trace(self._tracer, self._context or self.context, None, began, self.baggage, self.tags, self.next_once)

    def headers(self, method: str, target: str) -> dict[str, str]:
        """Return the metadata that carry it to a server; see `Tracer.headers`."""
        return self._tracer.headers(self, method, target)

    def deferred(self, name: str) -> Trace:
        """Return the trace of the retries of this call, `name`, that run later, in the background."""
        return self._tracer.begin_deferred(name, self)

    def end_deferred(self, error: BaseException | None) -> None:
        """End the trace that `deferred` has returned."""

    def decided(self, decision: Decision) -> None:
        """Add a decision about the call as an event of its span."""
        if self.span is not None:
            fields = {name: value for name, value in msgspec.structs.asdict(decision).items() if name != "subject"}
            self.span.add_event(type(decision).__name__, attributes_of(fields))


class _DroppedFields:
    """Attributes that each trace has that is not sampled, and its headers.

    Args:
        tracer: the tracer.
        began: start as monotonic nanoseconds.
        text: `traceparent` of the caller, which may be invalid; empty for a trace that begins here.
    """

    _tracer: TraceOwner
    began: int
    _text: str
    # Of the class `Trace`.
    _context: TraceContext | None
    baggage: Mapping[str, str]
    tags: Mapping[str, str]

    def __init__(self, tracer: TraceOwner, began: int, text: str = "") -> None:
        self._tracer = tracer
        self.began = began
        self._text = text

    def headers(self, method: str, target: str) -> dict[str, str]:
        """Return the metadata that carry it to a server; see `Tracer.headers`."""
        if self._context is None and self._tracer.is_plain and not (self.baggage or self.tags):
            text = make_next_traceparent(self._text)
            if text:
                # Its ids are those of the trace from now on, if it begins here.
                self._text = self._text or text
                return {TRACEPARENT: text}
        return self._tracer.headers(cast("Trace", self), method, target)


if not TYPE_CHECKING:
    # Created in C, where that is built.
    _DroppedFields = compiled("DroppedFields") or _DroppedFields


class DroppedTrace(_DroppedFields, Trace):
    """Trace of a call of which no more is known than that it is not sampled. Most calls have one, so it is cheap: other
    attributes are those of the class until they are set.
    """

    def _found(self) -> TraceContext:
        found = parse_traceparent(self._text) if self._text else None
        return found if found is not None else super()._found()


class SuppressedTrace(DroppedTrace):
    """Trace of calls that nothing is recorded of, not even failures: those that send spans and metrics."""


class DeferredTrace(Trace):
    """Trace of the retries of a call that has ended, in the background."""

    def end_deferred(self, error: BaseException | None) -> None:
        """End it with the outcome of the call: an error, or `None` for a result."""
        self._tracer.end_deferred(self, error)


class InternalTrace(Trace):
    """Trace of a part of the program.

    Attributes:
        name: name of that part.
        around: the trace around it; `None` if it is the first one.
    """

    name: str
    around: Trace | None

    def lineage(self) -> Iterator[Trace]:
        """See `Trace.lineage`."""
        yield self
        if self.around is not None:
            yield from self.around.lineage()


class JoinedContext(Protocol):
    """Current span of another tracing library in this process: each side continues the spans of the other.

    Its functions do not raise.
    """

    def current(self, trace: Trace | None) -> Trace | None:
        """Return the current trace of both libraries.

        Args:
            trace: the current one of this runtime; it is returned if it is the inner one.
        """
        ...

    def baggage(self) -> Mapping[str, str]:
        """Return the baggage of the library, for traces that begin here."""
        ...

    def enter(self, trace: Trace | None) -> Token[Any]:
        """Make a trace of this runtime the current one of the library, in the current context; `None`: none is."""
        ...

    def leave(self, token: Token[Any]) -> None:
        """Undo `enter`."""
        ...


class _Joined:
    """Holder of the context that is joined.

    Attributes:
        context: context of another library; `None` for none.
    """

    context: JoinedContext | None = None


JOINED: Final = _Joined()
"""Context of another library that this process uses, such as that of the OpenTelemetry SDK."""

CURRENT: Final[ContextVar[Trace | None]] = CURRENT_TRACE
"""Trace of an internal span (`span`), which takes precedence over that of the call that is being handled."""


def current_trace() -> Trace | None:
    """Return the current trace: of the innermost internal span, else of the call that is being handled.

    Spans of a library whose context is joined count, too.
    """
    found = CURRENT.get()
    if found is None:
        call = current_call()
        found = call.trace if call is not None else None
    return found if JOINED.context is None else JOINED.context.current(found)
