"""Samplers: thresholds, parents, rates, floors and caps."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.context import TraceContext, new_trace_id
from idlrt.observe.tracing.sampling import (
    Adaptive,
    Always,
    Capped,
    Decision,
    MethodFloor,
    Never,
    ParentBased,
    PerSecond,
    Ratio,
    Reservoir,
    Rules,
    Sampler,
    SampleRequest,
    parse_sampler,
    sampler_of_environment,
    standard_sampler,
)
from idlrt.observe.tracing.thresholds import (
    MIN_PROBABILITY,
    adjusted_count,
    parse_randomness,
    parse_threshold,
    probability,
    randomness_of,
    threshold,
    threshold_text,
)

T = "4f1e2d3c5b6a79880123456789abcdef"
S = "00f0e1d2c3b4a596"
HIGH, LOW = "a" * 18 + "f" * 14, "a" * 18 + "0" * 14


class Time:
    """Virtual time."""

    def __init__(self, seed: int = 1) -> None:
        self.at = 1000.0
        self.sources = ClockAndRandom(now=lambda: self.at, rng=random.Random(seed).random)


def parent(trace_id: str = T, sampled: bool | None = True, **more: Any) -> TraceContext:
    return TraceContext(trace_id, S, sampled, **more)


def child(trace_id: str, sampled: bool | None = True, *, is_trusted: bool = True, **more: Any) -> SampleRequest:
    return SampleRequest(trace_id, parent=parent(trace_id, sampled, **more), is_trusted=is_trusted)


# Table of the specification, with precisions 3, 4 and 5.
THRESHOLDS = {
    1: ("0", "0", "0"),
    2: ("8", "8", "8"),
    3: ("aab", "aaab", "aaaab"),
    4: ("c", "c", "c"),
    5: ("ccd", "cccd", "ccccd"),
    8: ("e", "e", "e"),
    10: ("e66", "e666", "e6666"),
    16: ("f", "f", "f"),
    100: ("fd71", "fd70a", "fd70a4"),
    1000: ("ffbe7", "ffbe77", "ffbe76d"),
    10_000: ("fff972", "fff9724", "fff97247"),
    100_000: ("ffff584", "ffff583a", "ffff583a5"),
    1_000_000: ("ffffef4", "ffffef39", "ffffef391"),
}


@pytest.mark.parametrize("one_in", THRESHOLDS)
def test_thresholds_are_those_of_the_specification(one_in: int) -> None:
    texts = THRESHOLDS[one_in]
    assert tuple(threshold_text(threshold(1 / one_in, precision)) for precision in (3, 4, 5)) == texts
    assert parse_threshold(texts[1]) == threshold(1 / one_in)
    assert adjusted_count(threshold(1 / one_in)) == pytest.approx(one_in, rel=1e-4)


@given(st.floats(MIN_PROBABILITY, 1))
def test_thresholds_survive_as_text(share: float) -> None:
    number = threshold(share)
    assert parse_threshold(threshold_text(number)) == number
    assert 0 <= number < 2**56
    assert probability(number) == pytest.approx(share, rel=2e-3, abs=1e-4)


def test_randomness() -> None:
    assert randomness_of(T) == 0x23456789ABCDEF
    assert randomness_of(T, 5) == 5
    assert parse_randomness("6e6d1a75832a2f") == 0x6E6D1A75832A2F
    assert [parse_randomness(text) for text in ("", "12", "g" * 14, "1" * 15)] == [None] * 4
    assert [parse_threshold(text) for text in ("", "g", "1" * 15, "-1")] == [None] * 4
    assert adjusted_count(None) == 0
    assert adjusted_count(0) == 1


def test_ratio_keeps_what_is_at_least_the_threshold() -> None:
    half = Ratio(0.5)
    assert half.th == "8"
    assert half.decide(SampleRequest("0" * 18 + "80000000000000")) == Decision(True, 0x80000000000000, "ratio")
    assert half.decide(SampleRequest("f" * 18 + "7fffffffffffff")) == Decision(False, None, "ratio")
    # The vector of the reference: kept by OpenTelemetry's old ratio sampler, dropped here.
    assert not half.decide(SampleRequest(T)).is_sampled
    assert Ratio(0.9).decide(SampleRequest(T)).is_sampled
    assert Always().decide(SampleRequest(LOW)) == Decision(True, 0, "ratio")
    assert not Never().decide(SampleRequest(HIGH)).is_sampled


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.1, float("nan"), 1e-18])
def test_ratios_out_of_range_are_refused(ratio: float) -> None:
    with pytest.raises(ConfigurationError, match="sampling ratio must be above 0 and at most 1"):
        Ratio(ratio)


@given(st.floats(1e-6, 1), st.integers(0, 2**56 - 1))
def test_text_compares_as_numbers_do(share: float, randomness: int) -> None:
    trace_id = f"{1:018x}{randomness:014x}"
    is_sampled = randomness >= threshold(share)
    assert Ratio(share).decide(SampleRequest(trace_id)).is_sampled == is_sampled
    # The same with explicit randomness, whatever the id is.
    for each in (HIGH, LOW):
        assert Ratio(share).decide(child(each, None, randomness=randomness)).is_sampled == is_sampled


def test_share_of_a_ratio() -> None:
    for share in (0.5, 0.1, 0.01):
        kept = sum(Ratio(share).decide(SampleRequest(new_trace_id())).is_sampled for _ in range(50_000))
        assert abs(kept - 50_000 * share) < 6 * (50_000 * share) ** 0.5


SAMPLERS: list[Sampler] = [
    Always(), Never(), Ratio(0.5), PerSecond(1), Adaptive(20), Rules([], Ratio(0.5)), ParentBased(Never()),
    MethodFloor(Never()), Capped(Always(), 1), standard_sampler(Always())[0],
]  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_a_trusted_parent_decides(sampler: Sampler) -> None:
    for _ in range(100):
        for trace_id in (HIGH, LOW):
            assert not sampler.decide(child(trace_id, sampled=False)).is_sampled
            assert sampler.decide(child(trace_id, sampled=False)).reason == "parent"
            assert sampler.decide(child(trace_id, is_debug=True)).is_sampled
        assert sampler.decide(child(HIGH)).is_sampled
        assert sampler.decide(child(HIGH, threshold=threshold(0.1))) == Decision(True, threshold(0.1), "parent")


def test_a_parent_that_is_not_trusted_decides_nothing() -> None:
    root = ParentBased(Ratio(0.5))
    assert root.decide(child(LOW, is_trusted=False)).is_sampled is False
    assert root.decide(child(HIGH, sampled=False, is_trusted=False)).is_sampled is True
    assert root.decide(child(LOW, is_debug=True, is_trusted=False)).is_sampled is False
    # Its randomness, which it may choose, does not count either.
    assert root.decide(child(LOW, is_trusted=False, randomness=2**56 - 1)).is_sampled is False


def test_a_decision_that_is_left_to_the_receiver() -> None:
    root = ParentBased(Ratio(0.5))
    assert root.decide(child(HIGH, sampled=None)) == Decision(True, threshold(0.5), "ratio")
    assert not root.decide(child(LOW, sampled=None)).is_sampled


PRESUMING = """
import logging
from idlrt.observe.tracing.context import TraceContext
from idlrt.observe.tracing.sampling import Always, Ratio, SampleRequest
logging.basicConfig(format="%(levelname)s %(message)s")
def decide(sampler, **more):
    sampler.decide(SampleRequest("a" * 32, parent=TraceContext("a" * 32, "b" * 16, True, **more)))
decide(Ratio(0.5), is_random=True)
decide(Ratio(0.5), randomness=7)
decide(Always())
print("quiet", flush=True)
for _ in range(3):
    decide(Ratio(0.5))
"""


def test_it_is_logged_once_that_ids_are_presumed_to_be_random() -> None:
    ran = subprocess.run([sys.executable, "-c", PRESUMING], capture_output=True, text=True, check=True)
    assert ran.stdout == "quiet\n"
    assert ran.stderr.count("WARNING sampling by the low 56 bits of trace ids that callers have not marked") == 1


def test_probabilities_never_rise_on_the_way() -> None:
    tenth, half = threshold(0.1), threshold(0.5)
    # A higher ratio than that of the parent changes nothing, a lower one applies.
    assert Ratio(0.5).decide(child(HIGH, threshold=tenth)) == Decision(True, tenth, "parent")
    assert Ratio(0.1).decide(child(HIGH, threshold=half)) == Decision(True, tenth, "ratio")
    between = "a" * 18 + "c" + "0" * 13
    assert Ratio(0.1).decide(child(between, threshold=half)) == Decision(False, None, "ratio")
    # The probability of the parent is unknown, so that of the child is.
    assert Ratio(0.5).decide(child(HIGH)) == Decision(True, None, "parent")
    # A threshold that contradicts the decision.
    assert ParentBased(Never()).decide(child(LOW, threshold=half)) == Decision(True, None, "parent")
    assert ParentBased(Never()).decide(child(LOW, threshold=half, randomness=half)) == Decision(True, half, "parent")


@pytest.mark.parametrize("rate", [1, 5, 9, 10, 15, 23, 100])
def test_a_reservoir_is_evened_inside_the_second(rate: int) -> None:
    time = Time()
    reservoir = Reservoir(rate, time.sources)
    start = time.at
    taken = []
    for step in range(200_000):
        time.at = start + step / 10_000
        if reservoir.take(time.at):
            taken.append(time.at - start)
    # 20 seconds, of which the first began before.
    assert 19 * rate <= len(taken) <= 21 * rate
    assert max(Counter(int(at) for at in taken).values()) <= 2 * rate
    if rate >= 10:
        # The remainder comes with the first tenth; tenths of the reservoir are not those of this test.
        later = Counter(int(at * 10) for at in taken if at >= 1)
        assert max(later.values()) <= 2 * (rate // 10) + rate % 10


def test_a_burst_takes_what_a_second_has_left_at_most() -> None:
    for rate in (5, 100):
        time = Time()
        reservoir = Reservoir(rate, time.sources)
        for _ in range(20):
            time.at += 60.7
            assert 0 < sum(reservoir.take(time.at) for _ in range(1000)) <= rate


def test_fractions_of_a_rate() -> None:
    for rate, seconds, expected in ((2.5, 1000, 2500), (0.5, 1000, 500), (12.7, 500, 6350), (0.0, 100, 0)):
        time = Time()
        reservoir = Reservoir(rate, time.sources)
        start = time.at
        taken = 0
        for step in range(seconds * 20):
            time.at = start + step / 20
            taken += reservoir.take(time.at) + reservoir.take(time.at)
        assert abs(taken - expected) <= max(2, expected * 0.15 if rate > 10 else 3), rate


def test_each_method_has_a_rate() -> None:
    time = Time()
    sampler = PerSecond(2, time.sources)
    kept: Counter[str] = Counter()
    for _ in range(1000):
        time.at += 0.01
        for method in ("busy", "other"):
            decision = sampler.decide(SampleRequest(T, method))
            kept[method] += decision.is_sampled
            assert decision.reason == "rate"
            assert decision.threshold is None
    assert 20 <= kept["busy"] <= 22
    assert kept["busy"] == kept["other"]


@pytest.mark.parametrize("rate", [0.0, 0.0001])
def test_at_least_one_trace_a_minute_and_method(rate: float) -> None:
    time = Time()
    for sampler in (PerSecond(rate, time.sources), MethodFloor(Ratio(1e-9), time.sources)):
        kept: dict[str, list[float]] = {"a": [], "rare": []}
        for second in range(600):
            time.at += 1
            for method in kept if second % 90 == 0 else ["a"]:
                decision = sampler.decide(SampleRequest(LOW, method))
                if decision.is_sampled:
                    assert decision == Decision(True, None, "floor")
                    kept[method].append(time.at)
        assert len(kept["a"]) == 10
        assert all(later - before == 60 for before, later in zip(kept["a"], kept["a"][1:], strict=False))
        assert len(kept["rare"]) == 7


def test_traces_that_the_ratio_samples_count_for_the_floor() -> None:
    time = Time()
    sampler = MethodFloor(Ratio(0.5), time.sources)
    for _ in range(100):
        time.at += 30
        assert sampler.decide(SampleRequest(HIGH, "a")).reason == "ratio"
        assert not sampler.decide(SampleRequest(LOW, "a")).is_sampled
    time.at += 59
    assert not sampler.decide(SampleRequest(LOW, "a")).is_sampled
    time.at += 1
    assert sampler.decide(SampleRequest(LOW, "a")).reason == "floor"


def test_methods_are_bounded() -> None:
    time = Time()
    for sampler in (PerSecond(1, time.sources, 100), MethodFloor(Never(), time.sources, 100)):
        kept = sum(sampler.decide(SampleRequest(T, f"m{at}")).is_sampled for at in range(10_000))
        # All others share what one method has.
        assert kept == 101


def test_a_cap_on_new_traces() -> None:
    time = Time()
    sampler = Capped(Always(), 5, time.sources)
    kept: Counter[str] = Counter()
    for _ in range(2000):
        time.at += 0.005
        decision = sampler.decide(SampleRequest(T))
        kept[decision.reason] += 1
        # While it takes effect, the probability is unknown.
        assert decision.threshold in (None, 0)
        assert sampler.decide(child(T)).is_sampled
    assert 45 <= kept["ratio"] <= 55
    assert kept["cap"] == 2000 - kept["ratio"]
    time.at += 10
    assert sampler.decide(SampleRequest(T)) == Decision(True, 0, "ratio")
    for rate in (0, -1, float("inf")):
        with pytest.raises(ConfigurationError, match="cap on sampled traces"):
            Capped(Always(), rate)


def test_threads_share_a_reservoir() -> None:
    time = Time()
    reservoir = Reservoir(50, time.sources)
    time.at += 0.9999 + 1
    taken = Counter[int]()

    def take(number: int) -> None:
        for _ in range(2000):
            taken[number] += reservoir.take(time.at)

    threads = [threading.Thread(target=take, args=(each,)) for each in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert 5 <= sum(taken.values()) <= 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_samplers_work_in_forked_children() -> None:
    time = Time()
    rules = Rules([], Ratio(0.5))
    samplers: list[Any] = [Adaptive(20), PerSecond(1), MethodFloor(Never()), Capped(Always(), 5), rules]
    for each in samplers:
        each.decide(SampleRequest(T, "a"))
    reservoir = Reservoir(1, time.sources)
    before = forks.count
    child_pid = os.fork()
    if child_pid == 0:  # pragma: no cover
        ok = forks.count == before + 1
        for each in samplers:
            ok = ok and isinstance(each.decide(SampleRequest(new_trace_id(), "b")), Decision)
        rules.replace([])
        reservoir.take(time.at + 60)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child_pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("always", "Always()"),
        ("never", "Never()"),
        ("ratio:0.01", "Ratio(0.01)"),
        (" ratio : 1 ", "Ratio(1)"),
        ("ratio:0", "Never()"),
        ("per_second:5", "PerSecond(5)"),
        ("adaptive:20", "Adaptive(20)"),
    ],
)
def test_samplers_from_text(text: str, shown: str) -> None:
    assert repr(parse_sampler(text)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown sampler ''"),
        ("sometimes", r"unknown sampler 'sometimes' \(known: always, never, ratio:NUMBER"),
        ("ratio", "unknown sampler 'ratio'"),
        ("always:1", "unknown sampler 'always:1'"),
        ("ratio:x", "sampler ratio: expected a number, got 'x'"),
        ("ratio:2", "sampling ratio must be above 0 and at most 1, got 2.0"),
        ("per_second:-1", "sampling rate must be at least 0 per second, got -1.0"),
        ("per_second:nan", "sampling rate must be at least 0"),
        ("adaptive:0", "target of adaptive sampling must be above 0 per second, got 0.0"),
        ("adaptive:inf", "target of adaptive sampling"),
    ],
)
def test_invalid_samplers_are_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_sampler(text)


def test_samplers_from_the_environment() -> None:
    assert sampler_of_environment({}) is None
    for name, shown in (
        ("always_on", "Always()"),
        ("parentbased_always_off", "Never()"),
        ("traceidratio", "Ratio(0.25)"),
        ("parentbased_traceidratio", "Ratio(0.25)"),
    ):
        environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "0.25"}
        assert repr(sampler_of_environment(environ)) == shown
    assert repr(sampler_of_environment({"OTEL_TRACES_SAMPLER": "traceidratio"})) == "Ratio(1)"
    with pytest.raises(ConfigurationError, match="OTEL_TRACES_SAMPLER: unknown sampler 'jaeger_remote'"):
        sampler_of_environment({"OTEL_TRACES_SAMPLER": "jaeger_remote"})
    with pytest.raises(ConfigurationError, match="OTEL_TRACES_SAMPLER_ARG: sampler ratio: expected a number"):
        sampler_of_environment({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"})
