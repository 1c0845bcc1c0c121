"""Spans as data of the OpenTelemetry SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from idlrt.observe.tracing.propagation import with_sampling
from idlrt.observe.tracing.span import Attribute, FinishedSpan
from idlrt.observe.views import clean

__all__ = ["Spans"]

_KINDS: Final = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_STATUSES: Final = {"unset": StatusCode.UNSET, "ok": StatusCode.OK, "error": StatusCode.ERROR}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_DEFAULT: Final = TraceFlags(TraceFlags.DEFAULT)


class _Span(ReadableSpan):
    """Span with a number of dropped attributes and events."""

    dropped = 0

    @property
    def dropped_attributes(self) -> int:
        return self.dropped


class Spans:
    """Converts spans.

    Args:
        resource: resource of this process.
        version: version of this runtime.
    """

    def __init__(self, resource: Resource, version: str) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("idlrt", version)

    def convert(self, span: FinishedSpan) -> ReadableSpan:
        """Return a span of the SDK."""
        context = span.context
        threshold = context.threshold if context.is_sampled else None
        state = _state(with_sampling(context.state, threshold, context.randomness))
        attributes = _attributes(span.attributes)
        if span.is_late:
            attributes["idlrt.late"] = True
        parent = None
        if span.parent_id:
            parent = _context(span.trace_id, span.parent_id, state, is_remote=span.is_remote_parent)
        description = clean(span.message) if span.status == "error" and span.message else None
        found = _Span(
            clean(span.name),
            _context(span.trace_id, span.span_id, state, is_sampled=bool(context.is_sampled)),
            parent,
            self._resource,
            attributes,
            [
                Event(clean(each.name), _attributes(each.attributes), timestamp=span.started_at + each.at)
                for each in span.events
            ],
            [
                Link(
                    _context(each.trace_id, each.span_id, None, is_remote=True),
                    {"idlrt.link": clean(each.why)} if each.why else None,
                )
                for each in span.links
            ],
            _KINDS[span.kind],
            status=Status(_STATUSES[span.status], description),
            start_time=span.started_at,
            end_time=span.started_at + span.duration,
            instrumentation_scope=self._scope,
        )
        found.dropped = span.dropped
        return found


def _context(
    trace_id: str, span_id: str, state: TraceState | None, *, is_remote: bool = False, is_sampled: bool = True
) -> SpanContext:
    flags = _SAMPLED if is_sampled else _DEFAULT
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, flags, state)


def _state(text: str) -> TraceState | None:
    return TraceState.from_header([text]) if text else None


def _attributes(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {clean(name): clean(value) if isinstance(value, str) else value for name, value in attributes.items()}
