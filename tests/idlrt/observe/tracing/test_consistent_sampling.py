"""Services with different samplers, through real headers: no trace is torn."""

from __future__ import annotations

import random

import msgspec
import pytest

from idlrt.core import ClockAndRandom
from idlrt.observe.tracing.context import Outgoing, TraceContext
from idlrt.observe.tracing.propagation import reader, traceparent, write
from idlrt.observe.tracing.propagation.w3c import W3C
from idlrt.observe.tracing.sampling import (
    Adaptive,
    Always,
    Capped,
    MethodFloor,
    Never,
    ParentBased,
    PerSecond,
    Ratio,
    Rules,
    Sampler,
    SampleRequest,
    read_rules,
)

TRACES = 100_000
SPAN = "1" * 16


def called(sampler: Sampler, context: TraceContext | None, trace_id: str, method: str) -> TraceContext:
    """The context of a call as a tracer makes it of a decision."""
    decision = sampler.decide(SampleRequest(trace_id, method, parent=context))
    if context is None:
        return TraceContext(trace_id, SPAN, decision.is_sampled, is_random=True, threshold=decision.threshold)
    return msgspec.structs.replace(context, is_sampled=decision.is_sampled, threshold=decision.threshold)


@pytest.mark.slow
def test_no_trace_is_torn() -> None:
    dice = random.Random(19)
    at = 0.0
    sources = ClockAndRandom(now=lambda: at, rng=dice.random)
    rules = read_rules('[{"method": "s0", "ratio": 0.2}, {"method": "s3", "rate": 5}, {"method": "s4", "ratio": 0}]')
    samplers: list[Sampler] = [
        Ratio(0.5),
        Ratio(0.1),
        Ratio(0.01),
        Always(),
        Never(),
        ParentBased(Ratio(0.3)),
        ParentBased(Adaptive(20, sources)),
        Adaptive(50, sources),
        PerSecond(3, sources),
        MethodFloor(Ratio(0.05), sources),
        Capped(Ratio(0.4), 30, sources),
        Rules(rules, Ratio(0.25), sources, wall=lambda: at),
    ]
    read = reader(("w3c",))
    torn = sampled = whole = 0
    weight = 0.0
    for _ in range(TRACES):
        at += 0.001
        trace_id = f"{dice.getrandbits(128):032x}"
        # A tree of up to five calls: the service of each, and which one it is called by.
        chosen = [dice.randrange(len(samplers)) for _ in range(dice.randint(1, 5))]
        contexts: list[TraceContext] = []
        for number, service in enumerate(chosen):
            received = None
            if number:
                before = contexts[dice.randrange(number)]
                # All calls go through the text of headers.
                received = read.read(write(Outgoing(before), ("w3c",))).context
                assert received is not None
            contexts.append(called(samplers[service], received, trace_id, f"s{service}"))
            if received is not None and contexts[-1].is_sampled:
                torn += not received.is_sampled
                # No probability rises.
                if received.threshold is not None and contexts[-1].threshold is not None:
                    torn += contexts[-1].threshold < received.threshold
        sampled += any(each.is_sampled for each in contexts)
        whole += all(each.is_sampled for each in contexts)
        if chosen[0] == 0 and contexts[0].is_sampled:
            weight += 2
    assert torn == 0
    assert 0 < whole < sampled < TRACES
    # Sampled traces tell how many there were.
    assert weight == pytest.approx(TRACES / len(samplers), rel=0.1)


@pytest.mark.slow
def test_traces_that_the_lowest_ratio_samples_are_whole_though_services_decide_alone() -> None:
    """Services that do not hear of their callers' decisions, e.g. because a gateway drops `tracestate`."""
    dice = random.Random(20)
    shares = [0.5, 0.1, 0.25]
    samplers = [Ratio(share) for share in shares]
    both = lowest = 0
    for _ in range(TRACES):
        trace_id = f"{dice.getrandbits(128):032x}"
        found = [each.decide(SampleRequest(trace_id)).is_sampled for each in samplers]
        lowest += found[1]
        both += all(found)
        # Whatever a service samples, all with higher ratios do.
        assert found[0] >= found[2] >= found[1]
    assert both == lowest
    assert lowest == pytest.approx(TRACES * 0.1, rel=0.05)


def test_decisions_of_a_chain_are_the_same_with_ids_that_are_not_random() -> None:
    """An id of EagleEye has only digits in its low part; the explicit randomness travels along."""
    received = reader(("eagleeye", "w3c")).read({"eagleeye-traceid": "ea0a00000517960000001231001d001f"}).context
    assert received is not None
    first = called(Ratio(0.9), received, received.trace_id, "a")
    sent = write(Outgoing(first), ["w3c"])
    assert f"rv:{received.randomness:014x}" in sent["tracestate"]
    again = W3C().extract(sent)
    assert again is not None
    assert again.context is not None
    assert again.context.randomness == received.randomness
    assert traceparent(again.context) == sent["traceparent"]
    kept = 0
    for number in range(2000):
        headers = {"eagleeye-traceid": f"ea0a0000051796000000{number:03}1001d001f"}
        context = reader(("eagleeye",)).read(headers).context
        assert context is not None
        kept += Ratio(0.25).decide(SampleRequest(context.trace_id, parent=context)).is_sampled
    assert 400 < kept < 600
