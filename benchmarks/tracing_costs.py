"""Costs of trace context and samplers, in nanoseconds: `python -m benchmarks.tracing_costs`.

Each figure is the lowest of several rounds. Beside the readers and writers of W3C's format stand OpenTelemetry's.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from idlrt.observe.tracing.context import Outgoing, TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.propagation import FORMATS, parse_traceparent, reader, write
from idlrt.observe.tracing.sampling import (
    Adaptive,
    Never,
    ParentBased,
    PerSecond,
    Ratio,
    SampleRequest,
    read_rules,
    standard_sampler,
)

T, S = "4f1e2d3c5b6a79880123456789abcdef", "00f0e1d2c3b4a596"
LOW = "a" * 18 + "0" * 14
ROUNDS, NUMBER = 9, 20_000


def nanoseconds(function: Callable[[], object]) -> float:
    """Return the lowest cost of a call."""
    return min(timeit.repeat(function, number=NUMBER, repeat=ROUNDS)) / NUMBER * 1e9


def costs() -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    order = tuple(FORMATS)
    read = reader(order).read
    alone = {"traceparent": f"00-{T}-{S}-00"}
    among = {"authorization": "Bearer x", "x-request-id": "1", "rpc-caller": "shop", "user": "7", **alone}
    state = {"traceparent": f"00-{T}-{S}-03", "tracestate": "ot=th:fd70a"}
    members = {"traceparent": f"00-{T}-{S}-01", "baggage": "user=42,order=7,rpc_tags=user/order"}
    unsampled, sampled = TraceContext(T, S, False), TraceContext(T, S, True, threshold=0xFD70A000000000)
    outgoing, full = Outgoing(unsampled), Outgoing(sampled, tags={"user": "42", "order": "7"})
    theirs = TraceContextTextMapPropagator()
    their_context = theirs.extract(alone, Context())
    root, dropped = SampleRequest(LOW, "Cart.add"), SampleRequest(LOW, "Cart.add", parent=unsampled)
    rules = read_rules('[{"method": "Health.*", "ratio": 0}, {"tags": {"user": "42"}, "force": true}]')
    usual, _ = standard_sampler(Adaptive(20, initial=0.001), rules=rules)
    limited, share, adaptive = PerSecond(1), Ratio(0.001), Adaptive(20, initial=0.001)
    never, parent_based = Never(), ParentBased(Never())
    for each in (usual, limited):
        each.decide(root)
    number = int(T, 16)
    ratio = TraceIdRatioBased(0.001)
    return {
        "new ids": lambda: (new_trace_id(), new_span_id()),
        "traceparent, parsed": lambda: parse_traceparent(alone["traceparent"]),
        "read: traceparent": lambda: read(alone),
        "read: traceparent among 5 headers": lambda: read(among),
        "read: with a threshold": lambda: read(state),
        "read: with baggage of 2 tags": lambda: read(members),
        "read: nothing of ours": lambda: read({"authorization": "x", "user": "7"}),
        "OpenTelemetry, read: traceparent": lambda: theirs.extract(alone, Context()),
        "write: w3c, not sampled": lambda: write(outgoing, ("w3c",)),
        "write: w3c, threshold and 2 tags": lambda: write(full, ("w3c",)),
        "write: all formats": lambda: write(full, order),
        "OpenTelemetry, write: traceparent": lambda: theirs.inject({}, their_context),
        "request for a sampler": lambda: SampleRequest(LOW, "Cart.add"),
        "unsampled: never": lambda: never.decide(root),
        "unsampled: ratio": lambda: share.decide(root),
        "unsampled: parent": lambda: parent_based.decide(dropped),
        "unsampled: per second": lambda: limited.decide(root),
        "unsampled: adaptive": lambda: adaptive.decide(root),
        "unsampled: usual chain, 2 rules": lambda: usual.decide(root),
        "OpenTelemetry, unsampled: ratio": lambda: ratio.should_sample(None, number, "Cart.add"),
        "OpenTelemetry, SpanContext": lambda: trace.SpanContext(number, 7, True),
    }


if __name__ == "__main__":
    for name, function in costs().items():
        print(f"{name:38}{nanoseconds(function):8.0f} ns")
