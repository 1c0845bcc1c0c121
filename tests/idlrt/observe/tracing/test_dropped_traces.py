"""Traces that are not sampled are passed on without a parser: in C and in Python the same, and as a parser would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hand_written import UserServiceClient
from hypothesis import given
from hypothesis import strategies as st

from idlrt import observe
from idlrt.core import Call, Deadline, Peer, RequestContext, ServerCall
from idlrt.core.driver import BlockingDriver
from idlrt.observe.tracing.propagation import make_next_traceparent, parse_traceparent
from idlrt.observe.tracing.propagation.w3c import next_traceparent
from idlrt.observe.tracing.sampling import Always, Never, ParentBased, Ratio
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.thresholds import randomness_of, threshold
from idlrt.observe.tracing.tracer import Tracer

GET: Any = UserServiceClient.__thrift_service__.methods["get"]

TRACE, SPAN = "4f1e2d3c5b6a79880123456789abcdef", "00f0e1d2c3b4a596"
MADE = [pytest.param(next_traceparent, id="pure"), pytest.param(make_next_traceparent, id="default")]


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("flags", ["00", "02"])
def test_the_trace_and_its_flags_stay(make: Callable[[str], str], flags: str) -> None:
    made = {make(f"00-{TRACE}-{SPAN}-{flags}") for _ in range(100)}
    assert len(made) == 100
    for each in made:
        found = parse_traceparent(each)
        assert found is not None
        assert (found.trace_id, found.is_sampled, found.is_random) == (TRACE, False, flags == "02")
        assert found.span_id != SPAN
        assert each.endswith(f"-{flags}")


@pytest.mark.parametrize("make", MADE)
def test_a_new_trace(make: Callable[[str], str]) -> None:
    made = [parse_traceparent(make("")) for _ in range(100)]
    assert len({each.trace_id for each in made if each is not None}) == 100
    assert {(each.is_sampled, each.is_random) for each in made if each is not None} == {(False, True)}


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-03",
        f"00-{TRACE}-{SPAN}-04",
        f"00-{TRACE}-{SPAN}-20",
        f"01-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-00 ",
        f"00-{TRACE}-{SPAN}-0",
        f"00-{TRACE.upper()}-{SPAN}-00",
        f"00-{TRACE}-{SPAN[:-1]}g-00",
        f"00-{'0' * 32}-{SPAN}-00",
        f"00-{TRACE}-{'0' * 16}-00",
        f"00_{TRACE}-{SPAN}-00",
        f"00-{TRACE}_{SPAN}-00",
        f"00-{TRACE}-{SPAN}_00",
        f"00-{TRACE}-{SPAN}-0é",
        f"00-{'é' * 16}-{SPAN}-00",
        "é" * 55,
        "\ud800" * 55,
        "x",
    ],
)
def test_all_else_is_left_to_a_parser(make: Callable[[str], str], text: str) -> None:
    assert make(text) == ""


@given(st.text(alphabet="0123456789abcdefABCDEFg-", min_size=54, max_size=56) | st.text(max_size=60))
def test_both_accept_the_same(text: str) -> None:
    assert bool(next_traceparent(text)) == bool(make_next_traceparent(text))


@given(st.integers(0, 54), st.sampled_from("0129afgAF-_ é"))
def test_both_accept_the_same_after_a_mutation(place: int, character: str) -> None:
    text = f"00-{TRACE}-{SPAN}-00"
    mutated = text[:place] + character + text[place + 1 :]
    assert bool(next_traceparent(mutated)) == bool(make_next_traceparent(mutated))
    if next_traceparent(mutated):
        assert parse_traceparent(mutated) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_other_ids() -> None:
    program = """
import os
from idlrt.observe.tracing.propagation import make_next_traceparent
make_next_traceparent("")
reader, writer = os.pipe()
if not os.fork():
    os.write(writer, make_next_traceparent("").encode())
    os._exit(0)
os.wait()
print(os.read(reader, 55).decode() != make_next_traceparent(""))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"


def client_call() -> Call:
    return Call(GET, (1,), "x", Deadline(0.0, 1.0), BlockingDriver())


def server_call(text: str = "", address: str = "10.0.0.1:1", **metadata: str) -> ServerCall:
    peer, context = Peer(address=address), RequestContext(trace=text)
    return ServerCall(GET, (1,), peer, metadata, Deadline(0.0, 1.0), BlockingDriver(), context, 2.5)


def tracer(probability: float = 0.25, **options: Any) -> Tracer:
    sampler = ParentBased(Ratio(probability) if probability else Never())
    return Tracer("test", sampler, lambda span: None, reads=("w3c",), writes=("w3c",), **options)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_ratio_is_drawn_once_and_ids_agree_with_it(side: str) -> None:
    made = tracer()
    traces = []
    for _ in range(4000):
        call: Any = client_call() if side == "client" else server_call()
        if side == "client":
            made.begin_client(call, None, 1.0)
        else:
            made.begin_server(call)
        traces.append(call.trace)
    sampled = [each for each in traces if each.span is not None]
    assert 800 < len(sampled) < 1200
    for each in sampled:
        assert randomness_of(each.context.trace_id, None) >= threshold(0.25)
        assert each.context.threshold == threshold(0.25)
    assert {each.began for each in traces} == {1_000_000_000 if side == "client" else 2_500_000_000}


def test_the_decision_of_a_caller_is_followed_without_a_parser() -> None:
    made = tracer(1.0)
    call = server_call(f"00-{TRACE}-{SPAN}-00")
    made.begin_server(call)
    made.begin_server(call)  # its address is known now
    assert (call.trace.span, call.trace.context.trace_id) == (None, TRACE)
    inner = client_call()
    made.begin_client(inner, call, 1.0)
    assert inner.trace is call.trace
    sampled = server_call(f"00-{TRACE}-{SPAN}-01")
    made.begin_server(sampled)
    assert sampled.trace.span.parent_id == SPAN
    # With state, baggage or another header next to it, it is read as a whole.
    tagged = server_call(f"00-{TRACE}-{SPAN}-00", baggage="user=42,rpc_tags=user")
    made.begin_server(tagged)
    assert (tagged.trace.span, dict(tagged.trace.tags)) == (None, {"user": "42"})


def test_strangers_do_not_decide() -> None:
    with observe.trace("test", sampler=1.0, trusted=["10.0.0.0/8"]):
        made = TRACING.tracer
        assert made is not None
        for _ in range(2):
            near, far = (server_call(f"00-{TRACE}-{SPAN}-00", address) for address in ("10.0.0.1:1", "192.0.2.1:1"))
            made.begin_server(near)
            made.begin_server(far)
            assert near.trace.span is None
            assert far.trace.span is not None


def test_methods_that_are_not_traced_and_a_tracer_that_is_closed() -> None:
    made = tracer(0.0, untraced=[GET.full_name])
    for text in ("", f"00-{TRACE}-{SPAN}-00"):
        call = server_call(text)
        made.begin_server(call)
        made.begin_server(call)
        assert call.trace is None
    made = tracer(0.0)
    made.close()
    call = server_call()
    made.begin_server(call)
    assert call.trace is None


def test_tags_for_one_hop_are_not_shared() -> None:
    made = tracer(0.0)
    outer = server_call()
    made.begin_server(outer)
    outer.trace.next_once = {"a": "b"}
    inner = client_call()
    made.begin_client(inner, outer, 1.0)
    assert (inner.trace.once, outer.trace.once) == ({"a": "b"}, {})


def test_another_sampler_counts_from_the_next_call_on() -> None:
    made = tracer(0.0)
    made.sample_with(ParentBased(Always()), None)
    call, served = client_call(), server_call()
    made.begin_client(call, None, 1.0)
    made.begin_server(served)
    assert call.trace.span is not None
    assert served.trace.span is not None


def test_headers_of_a_trace_whose_ids_or_tags_are_known() -> None:
    made = tracer(0.0)
    for change in ("ids", "tags"):
        call = client_call()
        made.begin_client(call, None, 1.0)
        if change == "ids":
            trace_id = call.trace.context.trace_id
        else:
            call.trace.tags = {"user": "42"}
        headers = call.trace.headers("Users.get", "x")
        found = parse_traceparent(headers["traceparent"])
        assert found is not None
        assert ("baggage" in headers) == (change == "tags")
        assert change == "tags" or found.trace_id == trace_id


def test_requests_of_one_trace_have_its_id() -> None:
    made = tracer(0.0)
    call = client_call()
    made.begin_client(call, None, 1.0)
    found = [parse_traceparent(call.trace.headers("a", "b")["traceparent"]) for _ in range(3)]
    assert {each.trace_id for each in found if each is not None} == {call.trace.context.trace_id}
    assert len({each.span_id for each in found if each is not None}) == 3
