"""Tail sampling: failed, slow and rare traces are kept, and a share of the rest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_traces import NOW, Clock, id_of, search_range, span, store_in, write_all

from idlrt.collector.traces import TailSampling, TraceLimits, TraceQuery
from idlrt.collector.traces.digest import digest_of
from idlrt.collector.traces.tail_sampling import TailDecision
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling import Ratio, SampleRequest
from idlrt.observe.tracing.span_pages import SpanRecord


def decide(tail: TailSampling, *spans: SpanRecord, now: float = NOW) -> TailDecision:
    return tail.decide(spans[0].trace_id, digest_of(spans, ()), now)


def random_ids(number: int, seed: int = 1) -> list[str]:
    dice = random.Random(seed)
    return [f"{dice.getrandbits(128):032x}" for _ in range(number)]


def test_failed_traces_are_kept_wherever_the_failure_is() -> None:
    tail = TailSampling(share=0.0, rare=0)
    assert decide(tail, span(1), span(1, 2, 1, status="error")) == TailDecision("failed", 1.0)
    assert decide(tail, span(1), span(1, 2, 1)) == TailDecision(None, 0.0)
    assert (tail.kept, tail.dropped) == ({"failed": 1, "slow": 0, "rare": 0, "share": 0}, 1)


def test_slow_traces_are_kept_by_a_threshold_of_their_root() -> None:
    tail = TailSampling(share=0.0, rare=0, slow_s={"Shop.find": 0.5, "*": 2.0})
    assert decide(tail, span(1, duration=0.5)).reason == "slow"
    assert decide(tail, span(1, duration=0.499)).reason is None
    assert decide(tail, span(1, duration=1.9, name="Shop.list")).reason is None
    assert decide(tail, span(1, duration=2.0, name="Shop.list")).reason == "slow"
    assert decide(TailSampling(share=0.0, rare=0, slow_s=0.1), span(1, duration=0.1)).reason == "slow"


def test_slow_traces_are_kept_by_the_running_percentile_which_follows_changes() -> None:
    tail = TailSampling(share=0.0, rare=0)
    dice = random.Random(5)

    def kept(median: float, number: int) -> int:
        before = tail.kept["slow"]
        for at in range(number):
            decide(tail, span(at + 1, duration=median * dice.lognormvariate(0.0, 0.5)))
        return tail.kept["slow"] - before

    assert kept(0.01, 199) == 0
    assert 0 < kept(0.01, 10_000) <= 130
    assert decide(tail, span(1, duration=1.0)).reason == "slow"
    assert decide(tail, span(1, duration=1.0, name="Shop.list")).reason is None
    kept(0.1, 60_000)
    assert kept(0.1, 10_000) <= 130
    assert decide(tail, span(1, duration=0.1)).reason is None


def test_traces_with_equal_durations_are_not_slow() -> None:
    tail = TailSampling(share=0.0, rare=0)
    assert {decide(tail, span(at, duration=0.1)).reason for at in range(1, 1000)} == {None}


def test_the_first_traces_with_an_operation_are_kept_each_minute() -> None:
    tail = TailSampling(share=0.0, rare=2)
    common = [decide(tail, span(at)).reason for at in range(1, 6)]
    assert common == ["rare", "rare", None, None, None]
    assert decide(tail, span(9), span(9, 2, 1, name="Shop.delete")).reason == "rare"
    assert decide(tail, span(10), now=NOW + 60.0).reason == "rare"


def test_operations_without_number_do_not_fill_the_memory() -> None:
    tail = TailSampling(share=0.0, max_operations=10)
    reasons = [decide(tail, span(at, name=f"op{at}")).reason for at in range(1, 101)]
    assert reasons == ["rare"] * 10 + [None] * 90
    assert tail.over_limit == 180


def test_the_share_is_that_of_samplers_and_collectors_agree() -> None:
    tail, other, larger = (TailSampling(share=share, rare=0) for share in (0.1, 0.1, 0.2))
    sampler = Ratio(0.1)
    kept = 0
    for trace_id in random_ids(5000):
        decision = decide(tail, span(trace_id))
        is_kept = decision.reason is not None
        kept += is_kept
        assert decision == decide(other, span(trace_id))
        assert not is_kept or decide(larger, span(trace_id)).reason == "share"
        request = SampleRequest(trace_id)
        assert sampler.decide(request).is_sampled == is_kept
        assert decision.adjusted_count == (pytest.approx(10.0) if is_kept else 0.0)
    assert 400 <= kept <= 600


def test_ids_of_other_systems_are_sampled_by_their_hash() -> None:
    tail = TailSampling(share=0.5, rare=0)
    kept = [at for at in range(1000) if decide(tail, span(f"trace-{at}")).reason]
    assert 400 <= len(kept) <= 600
    assert {decide(tail, span("x" * 32)).reason} <= {"share", None}


def test_adjusted_counts_estimate_the_number_of_all_traces() -> None:
    tail = TailSampling(share=0.05, rare=3)
    dice = random.Random(9)
    total = 0.0
    for at, trace_id in enumerate(random_ids(20_000)):
        fails = "error" if dice.random() < 0.02 else "ok"
        each = span(trace_id, duration=dice.lognormvariate(-3, 1), name=f"op{at % 7}", status=fails)
        total += decide(tail, each, now=NOW + at / 100).adjusted_count
    assert 17_500 <= total <= 22_500
    assert sum(tail.kept.values()) + tail.dropped == 20_000


@pytest.mark.slow
def test_every_failed_trace_of_100_000_is_kept(tmp_path: Path) -> None:
    clock = Clock()
    tail = TailSampling(share=0.01)
    store = store_in(tmp_path, clock, tail=tail)
    dice = random.Random(11)
    failed: set[str] = set()
    batch: list[SpanRecord] = []
    for at, trace_id in enumerate(random_ids(100_000)):
        duration = dice.lognormvariate(-4, 0.5)
        fails = dice.random() < 0.01
        batch.append(span(trace_id, 1, began=at / 100, duration=duration))
        batch.append(span(trace_id, 2, 1, began=at / 100, duration=duration / 2, status="error" if fails else "ok"))
        if fails:
            failed.add(trace_id)
        if len(batch) >= 5000:
            dice.shuffle(batch)
            store.put(batch)
            batch.clear()
            clock.time = NOW + at / 100
            store.maintain()
    write_all(store, clock, batch)
    assert store.figures().open_traces == 0
    found: set[str] = set()
    for start in range(0, 1000, 10):
        query = TraceQuery(start=NOW + start, end=NOW + start + 10, is_failed=True, limit=1000)
        found |= {each.trace_id for each in store.search(query)}
    assert found == failed
    assert len(failed) > 900
    assert tail.kept["failed"] == len(failed)
    assert sum(tail.kept.values()) + tail.dropped == 100_000
    assert sum(tail.kept.values()) < 5000
    store.close()


def test_a_trace_is_decided_early_if_there_is_no_room(tmp_path: Path) -> None:
    clock = Clock()
    tail = TailSampling(share=0.0, rare=0)
    store = store_in(tmp_path, clock, tail=tail, limits=TraceLimits(open_traces=10))
    store.put([span(at, status="error" if at % 2 else "ok") for at in range(1, 101)])
    assert store.figures().early >= 90
    write_all(store, clock)
    query = TraceQuery(**search_range(), limit=1000)
    assert {each.trace_id for each in store.search(query)} == {id_of(at) for at in range(1, 101, 2)}
    assert tail.dropped == 50
    store.close()


@pytest.mark.parametrize(
    "changes", [{"share": -0.1}, {"share": 1.5}, {"rare": -1}, {"slow_s": 0.0}, {"max_operations": 0}]
)
def test_values_out_of_range_are_refused_by_the_sampler(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="tail sampling: "):
        TailSampling(**changes)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1000), st.sampled_from("abc"), st.floats(0, 500)), max_size=60),
    st.floats(0.001, 1.0),
)
def test_failed_traces_are_kept_in_any_run(run: list[tuple[bool, float, str, float]], share: float) -> None:
    tail = TailSampling(share=share)
    for number, (fails, duration, name, at) in enumerate(run, 1):
        each = span(number, duration=duration, name=name, status="error" if fails else "ok")
        decision = decide(tail, each, now=NOW + at)
        assert not fails or decision == TailDecision("failed", 1.0)
        assert (decision.reason is None) == (decision.adjusted_count == 0)
