"""OpenTelemetry's propagators read what this project writes, and the reverse; where they differ, how."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.jaeger import JaegerPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from idlrt.observe.tracing.context import Incoming, Outgoing, TraceContext
from idlrt.observe.tracing.propagation import FORMATS, read, write

ALL = tuple(FORMATS)
THEIRS: dict[str, Any] = {
    "w3c": TraceContextTextMapPropagator(),
    "b3": B3SingleFormat(),
    "b3multi": B3MultiFormat(),
    "jaeger": JaegerPropagator(),
}
T = "4f1e2d3c5b6a79880123456789abcdef"
S = "00f0e1d2c3b4a596"

trace_ids = st.integers(1, 2**128 - 1)
span_ids = st.integers(1, 2**64 - 1)
keys = st.from_regex(r"[A-Za-z0-9_.~-]{1,20}", fullmatch=True).filter(lambda key: key != "rpc_tags")
# OpenTelemetry strips values.
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda value: value == value.strip())


def span_context(name: str, headers: dict[str, str]) -> trace.SpanContext:
    """Return the context that OpenTelemetry reads from headers."""
    found: Context = THEIRS[name].extract(headers, Context())
    return trace.get_current_span(found).get_span_context()


def injected(name: str, context: trace.SpanContext) -> dict[str, str]:
    """Return the headers that OpenTelemetry writes."""
    carrier: dict[str, str] = {}
    THEIRS[name].inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(context), Context()))
    return carrier


@pytest.mark.parametrize("name", THEIRS)
@given(trace_id=trace_ids, span_id=span_ids, is_sampled=st.booleans(), parent_id=st.just("") | st.just("1" * 16))
def test_they_read_what_we_write(name: str, trace_id: int, span_id: int, is_sampled: bool, parent_id: str) -> None:
    sent = write(Outgoing(TraceContext(f"{trace_id:032x}", f"{span_id:016x}", is_sampled), parent_id=parent_id), [name])
    found = span_context(name, sent)
    assert (found.trace_id, found.span_id, found.trace_flags.sampled) == (trace_id, span_id, is_sampled)
    assert found.is_remote


@pytest.mark.parametrize("name", THEIRS)
@given(trace_id=trace_ids, span_id=span_ids, is_sampled=st.booleans())
def test_we_read_what_they_write(name: str, trace_id: int, span_id: int, is_sampled: bool) -> None:
    headers = injected(name, trace.SpanContext(trace_id, span_id, False, trace.TraceFlags(is_sampled)))
    found = read(headers, ALL)
    # They write the flags of every sampled call as 03, in Jaeger's format.
    is_debug = is_sampled and name == "jaeger"
    assert found.context == TraceContext(f"{trace_id:032x}", f"{span_id:016x}", is_sampled, is_debug=is_debug)
    assert found.malformed == ()


def test_tracestate_with_a_sampling_threshold() -> None:
    context = TraceContext(T, S, True, is_random=True, state="a=1", threshold=0xFD70A000000000)
    found = span_context("w3c", write(Outgoing(context), ["w3c"]))
    assert dict(found.trace_state) == {"ot": "th:fd70a", "a": "1"}
    assert found.trace_flags == 3
    again = read(injected("w3c", found), ["w3c"]).context
    assert again == TraceContext(T, S, True, is_random=True, state="ot=th:fd70a,a=1", threshold=0xFD70A000000000)


def their_baggage(headers: dict[str, str]) -> dict[str, object]:
    return dict(baggage.get_all(W3CBaggagePropagator().extract(headers, Context())))


def their_header(members: dict[str, str]) -> dict[str, str]:
    context = Context()
    for key, value in members.items():
        context = baggage.set_baggage(key, value, context)
    carrier: dict[str, str] = {}
    W3CBaggagePropagator().inject(carrier, context)
    return carrier


@given(st.dictionaries(keys, values, max_size=6))
def test_they_read_our_baggage(members: dict[str, str]) -> None:
    assert their_baggage(write(Outgoing(TraceContext(T, S, True), baggage=members), [])) == members


@given(st.dictionaries(keys, values.map(lambda value: value.replace(" ", "_")), max_size=6))
def test_we_read_their_baggage(members: dict[str, str]) -> None:
    assert read(their_header(members), []).baggage == members


def test_they_read_our_tags_as_baggage() -> None:
    sent = write(Outgoing(TraceContext(T, S, True), tags={"user": "a b", "order": "7"}), [])
    assert their_baggage(sent) == {"user": "a b", "order": "7", "rpc_tags": "user/order"}


@given(st.dictionaries(st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True), values, max_size=6))
def test_baggage_of_jaeger(members: dict[str, str]) -> None:
    members.pop("rpc_tags", None)
    sent = write(Outgoing(TraceContext(T, S, True), baggage=members), ["jaeger"])
    sent.pop("baggage", None)
    assert dict(baggage.get_all(JaegerPropagator().extract(sent, Context()))) == members
    assert read(sent, ["jaeger"]).baggage == members


@pytest.mark.parametrize(
    ("name", "headers", "theirs", "ours"),
    [
        ("b3", {"b3": f"{T}-{S}"}, True, None),
        ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S}, False, None),
        ("jaeger", {"uber-trace-id": f"{T}%3A{S}%3A0%3A1"}, None, True),
    ],
)
def test_differences(name: str, headers: dict[str, str], theirs: bool | None, ours: bool | None) -> None:
    context = span_context(name, headers)
    assert (context.trace_flags.sampled if context.is_valid else None) == theirs
    found = read(headers, ALL).context
    assert found is not None
    assert found.is_sampled == ours


def test_more_differences() -> None:
    assert not span_context("b3", {"b3": "0"}).is_valid
    assert read({"b3": "0"}, ALL).decision is False
    # A space is a plus in a form.
    assert their_header({"a": "x y"}) == {"baggage": "a=x+y"}
    assert read({"baggage": "a=x+y"}, []) == Incoming(None, baggage={"a": "x+y"})
    assert their_baggage({"baggage": "a=1;p=2"}) == {"a": "1;p=2"}
    assert read({"baggage": "a=1;p=2"}, []).baggage == {"a": "1"}
    # Unknown flags.
    headers = {"traceparent": f"00-{T}-{S}-ff"}
    assert injected("w3c", span_context("w3c", headers))["traceparent"].endswith("-ff")
    context = read(headers, ALL).context
    assert context is not None
    assert write(Outgoing(context), ["w3c"])["traceparent"].endswith("-03")
