"""Spans of parts of the program, and what tracers of calls have in common with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from idlrt.core import Outcome, ServerCall, outcome_of
from idlrt.core.metadata import TRACE_RESPONSE
from idlrt.observe.tracing.context import NO_TEXTS, Incoming, Outgoing, TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.descriptions import describe, describe_server
from idlrt.observe.tracing.identity import instance_name
from idlrt.observe.tracing.live_exporter import LiveExporter
from idlrt.observe.tracing.lost import mark_thread
from idlrt.observe.tracing.propagation import write
from idlrt.observe.tracing.roots import W3C, Roots, TagRules
from idlrt.observe.tracing.sampling import Sampler
from idlrt.observe.tracing.span import FinishedSpan, Link, Span
from idlrt.observe.tracing.trace import JOINED, TRACEPARENT, DeferredTrace, InternalTrace, Trace, current_trace

__all__ = ["SUCCESSES", "SpanTracer"]

EAGLEEYE: Final = "eagleeye"
SUCCESSES: Final = frozenset({Outcome.OK, Outcome.DECLARED_ERROR})
"""Outcomes of calls that are no failures."""


class SpanTracer:
    """Tracer of internal spans, and writer of headers. Threads may share it.

    Args:
        service: name of this program in traces.
        sampler: decides which traces are recorded.
        finished: receives the spans that have ended, on the thread of the call; must not block.
        reads: formats of headers that are read, in the order of precedence.
        writes: formats of headers that are sent.
        rules: rules in the sampler that are asked again about calls that get tags.
        live: follows spans while they run.

    Attributes:
        service: see above.
        live: see above.
        is_plain: whether it writes W3C's headers only.
        enters: whether handlers run with the current span of another library, too (`Tracer.enter`).
    """

    def __init__(
        self,
        service: str,
        sampler: Sampler,
        finished: Callable[[FinishedSpan], object],
        *,
        reads: Sequence[str],
        writes: Sequence[str],
        rules: TagRules | None = None,
        live: LiveExporter | None = None,
    ) -> None:
        self.service = service
        self._finished = finished
        self._reads = tuple(reads)
        self._writes = tuple(writes)
        self.is_plain = self._writes == (W3C,)
        self._has_rpc_ids = EAGLEEYE in self._writes
        self._roots = Roots(sampler, reads, rules)
        self.live = live
        self.enters = live is not None

    def sample_with(self, sampler: Sampler, rules: TagRules | None) -> None:
        """Use another sampler from now on; see the arguments of the tracer."""
        self._roots = Roots(sampler, self._reads, rules)

    def begin_internal(self, name: str) -> Trace:
        """Begin an internal span, as a child of the current trace."""
        parent = current_trace()
        began = time.monotonic_ns()
        if parent is not None:
            span = parent.span.child(name, began=began) if parent.span is not None else None
            context = span.context if span is not None else parent.context
            if span is not None:
                self._follow(span, parent.span)
            found = InternalTrace(self, context, span, began, parent.baggage, parent.tags, parent.once)
            found.next_once, found.name, found.around = parent.next_once, name, parent
            return found
        context = self._roots.context(name, None, "", NO_TEXTS, is_trusted=True)
        members = NO_TEXTS if JOINED.context is None else JOINED.context.baggage()
        root = InternalTrace(self, context, None, began, members)
        root.name, root.around = name, None
        if context.is_sampled:
            span = Span(name, "internal", msgspec.structs.replace(context, span_id=new_span_id()), began=began)
            mark_thread(span)
            self._follow(span, None)
            root.record(span)
        return root

    def end_internal(self, trace: Trace, error: BaseException | None) -> None:
        """End an internal span."""
        if trace.span is not None:
            if error is not None:
                trace.span.fail(error)
            self._end(trace.span, time.monotonic_ns())

    def begin_deferred(self, name: str, trace: Trace) -> Trace:
        """Begin the trace of a call that is retried later, in the background. Its root has a link to the call.

        Args:
            name: `Service.method`.
            trace: trace of the call, which ends before the retries.
        """
        if trace.span is None:
            return trace
        ids = new_trace_id(), new_span_id()
        context = TraceContext(*ids, is_sampled=True, is_random=True)
        root = Span(name, "client", context)
        describe(root, name)
        root.set("rpc.deferred", True)
        root.add_link(Link(trace.span.context.trace_id, trace.span.context.span_id, "the call that was deferred"))
        for tag, value in trace.tags.items():
            root.set(f"tag.{tag}", value)
        self._follow(root, None)
        return DeferredTrace(self, context, root, time.monotonic_ns(), trace.baggage, trace.tags, trace.once)

    def end_deferred(self, trace: DeferredTrace, error: BaseException | None) -> None:
        """End the trace of a call that was retried later."""
        span = trace.span
        if span is not None:
            outcome = Outcome.OK if error is None else outcome_of(error)
            span.set("rpc.response.status_code", outcome.value)
            self.end_internal(trace, error if outcome not in SUCCESSES else None)

    def caller_of(self, call: ServerCall) -> str:
        """Return the name of the caller; empty if it does not count."""
        return call.context.caller

    def trusts(self, call: ServerCall) -> bool:
        """Return whether what the caller sent is used."""
        return True

    def tagged(self, trace: Trace, call: ServerCall | None) -> None:
        """Record a trace from here on, if a rule forces calls with the tags that it has got now.

        Args:
            trace: the current trace, which is not sampled.
            call: the call that is being handled, if any.
        """
        around = list(trace.lineage())
        if call is not None and call.outcome is not None:
            # Work in the background, after its call has ended: that is not recorded any more.
            around = [each for each in around if each is not call.trace]
            call = None
        if not around:
            return
        outermost = around[-1]
        if call is not None and call.trace is outermost:
            method, caller = call.method.full_name, self.caller_of(call)
        else:
            method, caller = outermost.name if isinstance(outermost, InternalTrace) else "", ""
        if not self._roots.forces(trace.context, method, caller, trace.tags):
            return
        above: Span | None = None
        for each in reversed(around):
            name = each.name if isinstance(each, InternalTrace) else method
            if above is not None:
                span = above.child(name, began=each.began)
                self._follow(span, above)
            else:
                ids = new_span_id()
                context = msgspec.structs.replace(each.context, is_sampled=True, threshold=None, span_id=ids)
                is_server = call is not None and call.trace is each
                span = Span(name, "server" if is_server else "internal", context, began=each.began)
                if call is not None and is_server:
                    self._received(span, call, None, is_trusted=self.trusts(call))
                else:
                    self._follow(span, None)
            above = span
            for tag, value in each.tags.items():
                span.set(f"tag.{tag}", value)
            each.record(span)

    def _received(self, span: Span, call: ServerCall, incoming: Incoming | None, *, is_trusted: bool) -> None:
        """Describe the span of a call that was received."""
        describe_server(span, call, incoming, self.live.format if self.live is not None else "")
        call.answer_metadata[TRACE_RESPONSE] = f"00-{span.context.trace_id}-{span.context.span_id}-01"
        if self.live is not None:
            self.live.begin_server(span, call, is_trusted=is_trusted)

    def headers(self, trace: Trace, method: str, target: str) -> dict[str, str]:
        """Return the metadata that carry a trace to a server.

        Args:
            trace: trace of the attempt.
            method: `Service.method`.
            target: address of the server, `host:port`.
        """
        context, span = trace.context, trace.span
        if span is None and self.is_plain and not (trace.baggage or trace.tags or trace.once or context.state):
            return {TRACEPARENT: f"00-{context.trace_id}-{new_span_id()}-0{2 if context.is_random else 0}"}
        if span is None:
            # Nothing is recorded here, but each request has a separate id.
            context = msgspec.structs.replace(context, span_id=new_span_id())
        segment = span.segment if span is not None else None
        outgoing = Outgoing(
            context=context,
            parent_id=span.parent_id if span is not None else trace.context.span_id,
            baggage=trace.baggage,
            tags=trace.tags,
            once=trace.once,
            service=self.service,
            instance=instance_name(),
            endpoint=segment.name if segment is not None else "",
            target=target,
            method=method,
            segment=segment.id if segment is not None else "",
            segment_span=span.number if span is not None else 0,
            original_id=segment.original_id if segment is not None else "",
            # Requests are numbered in their order, also attempts of one call.
            rpc_id=f"{segment.rpc_id}.{next(segment.calls)}" if segment is not None and self._has_rpc_ids else "",
        )
        headers = write(outgoing, self._writes)
        if self.live is not None and span is not None:
            headers.update(self.live.headers(span, target))
        return headers

    def _follow(self, span: Span, parent: Span | None) -> None:
        if self.live is not None:
            self.live.begin(span, parent)

    def _end(self, span: Span, at: int) -> None:
        finished = span.end(at)
        if finished is not None:
            if self.live is not None:
                self.live.end(span, finished)
            self._finished(finished)
