"""Propagation of trace context in the metadata of calls, in the formats of several tracing systems.

`read` takes what a request brought, `write` gives what a call sends; `FORMATS` has the formats by name:

- `w3c`: `traceparent`, `tracestate`. Only this one carries the sampling threshold.
- `b3`, `b3multi`: Zipkin.
- `jaeger`: `uber-trace-id`.
- `sw8`: SkyWalking. Nothing is sent for a call that is not sampled.
- `eagleeye`: Alibaba's EagleEye.
- `pinpoint`: Pinpoint.

`baggage`, with business tags in it, and tags for one hop (`rpc_once-NAME`) go along with all of them. `kafka_headers`
and `from_kafka` are for messages.
"""

from __future__ import annotations

from idlrt.observe.tracing.propagation.baggage import MAX_BAGGAGE, MAX_BAGGAGE_MEMBERS, format_baggage
from idlrt.observe.tracing.propagation.base import Extracted, MalformedHeader, Propagation, foreign_span_id
from idlrt.observe.tracing.propagation.formats import (
    FORMATS,
    Reader,
    check_formats,
    is_propagated,
    read,
    reader,
    write,
)
from idlrt.observe.tracing.propagation.kafka import from_kafka, kafka_headers
from idlrt.observe.tracing.propagation.once import format_once
from idlrt.observe.tracing.propagation.tracestate import with_sampling
from idlrt.observe.tracing.propagation.w3c import make_next_traceparent, parse_traceparent, traceparent

__all__ = [
    "FORMATS",
    "MAX_BAGGAGE",
    "MAX_BAGGAGE_MEMBERS",
    "Extracted",
    "MalformedHeader",
    "Propagation",
    "Reader",
    "check_formats",
    "foreign_span_id",
    "format_baggage",
    "format_once",
    "from_kafka",
    "is_propagated",
    "kafka_headers",
    "make_next_traceparent",
    "parse_traceparent",
    "read",
    "reader",
    "traceparent",
    "with_sampling",
    "write",
]
