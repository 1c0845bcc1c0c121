"""Tracer of a process: the spans of servers and clients, and the context that goes along with calls.

A server call has a *trace* (`ServerCall.trace`): a recorded one, or one that is only passed on. Client calls that its
handler makes continue it, and so do their attempts, each with a separate span. Where nothing was received, the sampler
decides.

Names and attributes follow OpenTelemetry's conventions for RPC.

Source: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

import msgspec

from idlrt.core import Call, Outcome, ServerCall, outcome_of
from idlrt.observe.tracing.context import NO_TEXTS, TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.descriptions import describe, describe_server
from idlrt.observe.tracing.late import LateLimit
from idlrt.observe.tracing.live_exporter import LiveExporter
from idlrt.observe.tracing.lost import mark_thread
from idlrt.observe.tracing.propagation import Reader
from idlrt.observe.tracing.propagation.w3c import is_unsampled
from idlrt.observe.tracing.roots import TagRules
from idlrt.observe.tracing.sampling import Sampler
from idlrt.observe.tracing.span import FinishedSpan, Kind, Span
from idlrt.observe.tracing.span_tracer import SUCCESSES, SpanTracer
from idlrt.observe.tracing.thresholds import RANDOM_BITS
from idlrt.observe.tracing.trace import CURRENT, JOINED, TRACEPARENT, DroppedTrace, SuppressedTrace, Trace
from idlrt.serialization import compiled

__all__ = ["Tracer"]

_NANO: Final = 1e9
_randbits: Final = random.getrandbits
# Pages of admin ports.
_UNTRACED: Final = frozenset({"Pages.page"})


_BeginServer: TypeAlias = Callable[[ServerCall], None]
_BeginClient: TypeAlias = Callable[[Call, ServerCall | None, float], None]


class Tracer(SpanTracer):
    """Tracer of calls. Threads may share it.

    Args:
        service: see `SpanTracer`, as for `sampler`, `finished`, `reads`, `writes`, `rules` and `live`.
        slow_s: duration from which a call that was not sampled leaves a span.
        is_trusted: returns whether the sampling decision and the tags of a caller are used.
        untraced: methods that servers do not trace, as `Service.method`.

    Attributes:
        slow_s: see above.
        is_open: whether servers begin traces.
        begin_server: begins the trace of a call that a server has received.
        begin_client: begins the trace of a client call, within the call that is being handled, if any. Its last
            argument is the start on the clock of the call, in seconds.
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
        slow_s: float = 1.0,
        is_trusted: Callable[[ServerCall], bool] = lambda call: True,
        untraced: Collection[str] = (),
        live: LiveExporter | None = None,
    ) -> None:
        super().__init__(service, sampler, finished, reads=reads, writes=writes, rules=rules, live=live)
        self._reader = Reader(reads)
        self.slow_s = slow_s
        self._is_trusted = is_trusted
        self._untraced = frozenset(untraced) | _UNTRACED
        self._late_limit = LateLimit()
        self.is_open = True
        self.begin_server: _BeginServer = self._begin_server
        self.begin_client: _BeginClient = self._begin_client
        self._make_gates()

    # Servers.

    def _make_gates(self) -> None:
        """Let traces that are not sampled begin in C, where that is built, with the present sampler."""
        self.begin_server, self.begin_client = self._begin_server, self._begin_client
        make_server, make_client = compiled("ServerGate"), compiled("ClientGate")
        if make_server is None:
            return
        # Addresses are remembered there by the function that knows whether callers are trusted.
        trusted: dict[str, bool] = getattr(self._is_trusted, "known", {})
        server = make_server(self._begin_server, self, DroppedTrace, self._untraced, trusted)
        client = make_client(self._begin_client, self, DroppedTrace, CURRENT, JOINED)
        if self.is_open:
            server.set(self._roots.threshold, self._roots.is_parent_based)
        client.set(self._roots.threshold)
        self.begin_server, self.begin_client = server, client

    def sample_with(self, sampler: Sampler, rules: TagRules | None) -> None:
        """Use another sampler from now on; see the arguments of the tracer."""
        super().sample_with(sampler, rules)
        self._make_gates()

    def close(self) -> None:
        """Begin no further traces in servers."""
        self.is_open = False
        self._make_gates()

    def _begin_server(self, call: ServerCall, is_drawn: bool = False) -> None:
        """Begin the trace of a call that a server has received.

        Args:
            call: the call.
            is_drawn: whether it has been drawn already that a new trace is sampled.
        """
        if call.method.full_name in self._untraced or not self.is_open:
            return
        headers, text, roots = call.metadata, call.context.trace, self._roots
        if text:
            is_alone = len(headers) == (TRACEPARENT in headers)
            is_dropped = is_alone and roots.is_parent_based and is_unsampled(text) is not None
            if is_dropped and self._is_trusted(call):
                call.trace = DroppedTrace(self, int(call.received_at * _NANO), text)
                return
            if TRACEPARENT not in headers:
                headers = {**headers, TRACEPARENT: text}
        elif not headers and not is_drawn and roots.threshold and _randbits(RANDOM_BITS) < roots.threshold:
            call.trace = DroppedTrace(self, int(call.received_at * _NANO))
            return
        incoming = self._reader.read(headers) if headers else None
        parent = incoming.context if incoming is not None else None
        began = int(call.received_at * _NANO)
        # The name of the caller is a claim, too.
        is_trusted = (incoming is None and not call.context.caller) or self._is_trusted(call)
        if incoming is not None and is_trusted:
            baggage, tags, once = incoming.baggage, incoming.tags, incoming.once
        else:
            baggage = tags = once = NO_TEXTS
        if parent is None and incoming is not None and incoming.decision is not None and is_trusted:
            # A caller without a trace that has decided, such as `b3: 0`.
            context = TraceContext(new_trace_id(), new_span_id(), incoming.decision, is_random=True)
        else:
            is_drawn = not headers and roots.threshold > 0
            context = roots.context(
                call.method.full_name, parent, call.context.caller, tags, is_trusted=is_trusted, is_drawn=is_drawn
            )
        if not context.is_sampled:
            if not tags or not roots.forces(context, call.method.full_name, call.context.caller, tags):
                call.trace = Trace(self, context, None, began, baggage, tags, once)
                return
            context = msgspec.structs.replace(context, is_sampled=True, threshold=None)
        span = Span(
            call.method.full_name,
            "server",
            msgspec.structs.replace(context, span_id=new_span_id()),
            parent.span_id if parent is not None else "",
            began=began,
            is_remote_parent=parent is not None,
            sender=incoming.sender if incoming is not None else None,
        )
        self._received(span, call, incoming, is_trusted=is_trusted)
        for name, value in tags.items():
            span.set(f"tag.{name}", value)
        call.trace = Trace(self, span.context, span, began, baggage, tags, once)

    def caller_of(self, call: ServerCall) -> str:
        """Return the name of the caller; empty if it is not trusted."""
        return call.context.caller if self._is_trusted(call) else ""

    def trusts(self, call: ServerCall) -> bool:
        """Return whether what the caller sent is used."""
        return self._is_trusted(call)

    def enter(self, call: ServerCall) -> None:
        """Make the trace of a call known to other tracing libraries, in the current context."""
        trace: Trace | None = call.trace
        if JOINED.context is not None:
            JOINED.context.enter(trace)
        if self.live is not None and trace is not None and trace.span is not None:
            self.live.enter(trace.span)

    def end_server(self, call: ServerCall, error: BaseException | None, ended: float) -> None:
        """End the trace of a server call.

        Args:
            call: the call.
            error: why it failed; `None` for a result.
            ended: time on the clock of the server, in seconds.
        """
        trace: Trace | None = call.trace
        if trace is None:
            return
        span, at = trace.span, int(ended * _NANO)
        outcome = call.outcome
        is_failed = error is not None and outcome not in SUCCESSES
        if span is None:
            if is_failed or ended - call.received_at > self.slow_s:
                name, failure = call.method.full_name, error if is_failed else None
                late = self._late(trace, name, "server", trace.began, at, failure, outcome)
                if late is not None:
                    describe_server(late, call, None)
                    self._end_late(late, at)
            return
        if outcome is not None:
            span.put("rpc.response.status_code", outcome.value)
        if call.begun_at:
            span.put("rpc.server.queue_s", call.begun_at - call.received_at)
        if call.handled_at:
            begun = call.begun_at or call.received_at
            span.put("rpc.server.handler_s", call.handled_at - begun)
            span.put("rpc.server.serialization_s", ended - call.handled_at)
        if error is not None:
            if is_failed:
                span.fail(error)
            else:
                span.set("error.type", type(error).__qualname__)
        self._end(span, at)

    # Clients.

    def _begin_client(self, call: Call, outer: ServerCall | None, began: float, is_drawn: bool = False) -> None:
        """Begin the trace of a client call.

        Args:
            call: the call.
            outer: the call that is being handled, if any.
            began: start on the clock of the call, in seconds.
            is_drawn: whether it has been drawn already that a new trace is sampled.
        """
        parent = CURRENT.get()
        if parent is None and outer is not None:
            parent = outer.trace
        members, joined = NO_TEXTS, JOINED.context
        if joined is not None:
            parent, members = joined.current(parent), joined.baggage()
        if parent is not None:
            if parent.span is None:
                call.trace = parent if not (parent.once or parent.next_once) else parent.unrecorded(int(began * _NANO))
                return
            at, name = int(began * _NANO), call.method.full_name
            span = parent.span.child(name, "client", began=at)
            describe(span, name)
            call.trace = Trace(self, span.context, span, at, parent.baggage, parent.tags, parent.next_once)
            self._follow(span, parent.span)
            return
        at, roots = int(began * _NANO), self._roots
        if not is_drawn and roots.threshold and _randbits(RANDOM_BITS) < roots.threshold:
            call.trace = dropped = DroppedTrace(self, at)
            if members:
                dropped.baggage = members
            return
        name = call.method.full_name
        context = roots.context(name, None, call.caller, NO_TEXTS, is_trusted=True, is_drawn=roots.threshold > 0)
        if not context.is_sampled:
            call.trace = Trace(self, context, None, at, members)
            return
        span = Span(name, "client", msgspec.structs.replace(context, span_id=new_span_id()), began=at)
        describe(span, name)
        mark_thread(span)
        call.trace = Trace(self, span.context, span, at, members)
        self._follow(span, None)

    def end_client(self, call: Call, target: str, error: BaseException | None, began: float, ended: float) -> None:
        """End the trace of a client call.

        Args:
            call: the call.
            target: name of its target.
            error: why it failed; `None` for a result.
            began: start on the clock of the call, in seconds. A trace that is not recorded may be that of the handler.
            ended: end on that clock.
        """
        trace: Trace | None = call.trace
        if trace is None:
            return
        # The trace of a handler may be that of its client calls, and be recorded since.
        span = trace.span if trace.span is not None and trace.span.kind == "client" else None
        if span is None and error is None and ended - began <= self.slow_s:
            return
        at = int(ended * _NANO)
        outcome = Outcome.OK if error is None else outcome_of(error)
        is_failed = outcome not in SUCCESSES
        if span is None:
            if is_failed or ended - began > self.slow_s:
                start, failure = int(began * _NANO), error if is_failed else None
                late = self._late(trace, call.method.full_name, "client", start, at, failure, outcome)
                if late is not None:
                    late.set("server.address", target)
                    self._end_late(late, at)
            return
        span.set("server.address", target)
        self._end_with(span, outcome, error, at, is_failed=is_failed)

    def begin_attempt(self, call: Call, sent: Call, address: str, began: float) -> None:
        """Begin the trace of an attempt of a call."""
        trace: Trace = call.trace
        at = int(began * _NANO)
        if trace.span is None:
            sent.trace = trace
            return
        span = trace.span.child(call.method.full_name, "client", began=at)
        describe(span, call.method.full_name)
        span.set("server.address", address)
        if sent.attempt:
            span.put("rpc.attempt", sent.attempt)
        sent.trace = Trace(self, span.context, span, at, trace.baggage, trace.tags, trace.once)
        self._follow(span, trace.span)

    def end_attempt(self, sent: Call, kind: str, error: BaseException | None, ended: float) -> None:
        """End the trace of an attempt."""
        trace: Trace | None = sent.trace
        if trace is None or trace.span is None or trace.span.kind != "client":
            return
        outcome = Outcome.OK if error is None else outcome_of(error)
        trace.span.put("rpc.attempt.kind", kind)
        self._end_with(trace.span, outcome, error, int(ended * _NANO), is_failed=outcome not in SUCCESSES)

    def _end_with(self, span: Span, outcome: Outcome, error: BaseException | None, at: int, *, is_failed: bool) -> None:
        span.put("rpc.response.status_code", outcome.value)
        if error is not None:
            if is_failed:
                span.fail(error)
            else:
                span.set("error.type", type(error).__qualname__)
        self._end(span, at)

    # Late spans.

    def _late(
        self,
        trace: Trace,
        name: str,
        kind: Kind,
        began: int,
        at: int,
        error: BaseException | None,
        outcome: Outcome | None,
    ) -> Span | None:
        """Return a span of a call that was not sampled; `None` if there were 10 in this second."""
        if isinstance(trace, SuppressedTrace) or not self._late_limit.allows(at):
            return None
        context = msgspec.structs.replace(trace.context, span_id=new_span_id())
        span = Span(name, kind, context, began=began)
        describe(span, name)
        if outcome is not None:
            span.put("rpc.response.status_code", outcome.value)
        for tag, value in trace.tags.items():
            span.set(f"tag.{tag}", value)
        if error is not None:
            span.fail(error)
        return span

    def _end_late(self, span: Span, at: int) -> None:
        finished = span.end(at)
        if finished is not None:
            self._finished(msgspec.structs.replace(finished, is_late=True))
