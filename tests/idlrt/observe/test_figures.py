"""Figures of calls: numbers, rates, latency and errors by every dimension, and the history of 15 minutes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.observe import Histogram, Histograms, Monitor, Series, Snapshot
from idlrt.observe.catalogue import METRICS, SERVER_CALLS, SERVER_IN_FLIGHT
from idlrt.observe.figures import BOUNDS, report
from idlrt.observe.metric import Labels, Metric, Value, merged
from idlrt.observe.snapshot import decode_snapshot, encode_snapshot

MS = 1_000_000


def snapshot(
    calls: Mapping[tuple[str, str, str, str], Iterable[int]],
    *,
    at: float = 10.0,
    started_at: float = 0.0,
    core: Iterable[str] = (),
    **resource: str,
) -> Snapshot:
    values: dict[Labels, Value] = {labels: Histogram.of(each) for labels, each in calls.items()}
    series = {SERVER_CALLS.name: Series(SERVER_CALLS, values)}
    return Snapshot(at=at, started_at=started_at, resource=resource, core=frozenset(core), series=series)


CALLS = {
    ("Shop.get", "ok", "", "web"): [5 * MS] * 80 + [200 * MS] * 10,
    ("Shop.get", "declared_error", "OutOfStock", "web"): [5 * MS] * 5,
    ("Shop.get", "internal", "ValueError", "app"): [700 * MS] * 5,
    ("Shop.put", "ok", "", "app"): [3000 * MS] * 10,
}


def test_the_total_has_all_figures() -> None:
    found = report([snapshot(CALLS)]).total
    assert (found.pv, found.qps, found.errors) == (110, 11.0, 5)
    assert found.error_rate == pytest.approx(5 / 110)
    assert found.success_rate == pytest.approx(105 / 110)
    assert found.codes == {"ok": 100, "declared_error": 5, "internal": 5}
    # 95 satisfied up to 0.5 s, none tolerated up to 2 s: the slow ones took 3 s, and errors count as neither.
    assert found.apdex == pytest.approx(95 / 110)
    assert found.average_s == pytest.approx((85 * 0.005 + 10 * 0.2 + 5 * 0.7 + 10 * 3) / 110)
    assert found.p50_s == pytest.approx(0.005, rel=0.01)
    assert found.p95_s == pytest.approx(3.0, rel=0.01)
    assert (found.min_s, found.max_s) == (0.005, 3.0)
    assert [each.up_to_s for each in found.buckets] == [*BOUNDS[:-1], None]
    assert [each.count for each in found.buckets] == [85, 0, 0, 10, 5, 10, 0, 0, 0]


def test_calls_within_four_times_the_threshold_count_half() -> None:
    found = report([snapshot({("S.f", "ok", "", ""): [400 * MS, 600 * MS, 2100 * MS]})])
    assert found.total.apdex == pytest.approx(1.5 / 3)
    assert report([snapshot(CALLS)], apdex_s=1.0).total.apdex == pytest.approx((95 + 10 / 2) / 110)


def rows(by: str, *snapshots: Snapshot, **options: Any) -> dict[str, int]:
    found = report(snapshots or [snapshot(CALLS)], by=tuple(by.split(",")), **options).rows
    return {",".join(each.labels.values()): each.pv for each in found}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("method", {"Shop.get": 100, "Shop.put": 10}),
        ("service", {"Shop": 110}),
        ("caller", {"web": 95, "app": 15}),
        ("status", {"ok": 100, "declared_error": 5, "internal": 5}),
        ("error", {"": 100, "OutOfStock": 5, "ValueError": 5}),
        ("method,caller", {"Shop.get,web": 95, "Shop.get,app": 5, "Shop.put,app": 10}),
        ("core", {"false": 110}),
    ],
)
def test_figures_by_a_dimension(by: str, expected: dict[str, int]) -> None:
    assert rows(by) == expected


def test_figures_of_several_instances_are_merged() -> None:
    one = snapshot(CALLS, instance="a:1", host="a", zone="eu-1")
    two = snapshot(CALLS, instance="b:1", host="b", zone="eu-2", at=20.0)
    found = report([one, two], by=("instance",))
    assert {each.labels["instance"]: (each.pv, each.qps) for each in found.rows} == {
        "a:1": (110, 11.0),
        "b:1": (110, 5.5),
    }
    assert (found.total.pv, found.total.qps) == (220, 16.5)
    assert rows("zone", one, two) == {"eu-1": 110, "eu-2": 110}
    assert rows("method", one, two, where={"host": "b"}) == {"Shop.get": 100, "Shop.put": 10}


def test_core_methods_come_first_then_those_with_errors() -> None:
    found = report([snapshot(CALLS, core=["Shop.put"])], by=("method",)).rows
    assert [(each.labels["method"], each.is_core) for each in found] == [("Shop.put", True), ("Shop.get", False)]
    assert rows("core", snapshot(CALLS, core=["Shop"])) == {"true": 110}
    assert rows("core", core=frozenset({"Shop.get"})) == {"true": 100, "false": 10}


def test_no_calls_have_no_percentiles() -> None:
    found = report([snapshot({})]).total
    assert (found.pv, found.qps, found.p99_s, found.error_rate, found.apdex) == (0, 0, None, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": "servers"}, "side: must be one of server, client, attempt, feature, resource, got 'servers'"),
        ({"by": ("methods",)}, "by: server figures have no dimension 'methods' .known: method, service, caller,"),
        ({"where": {"target": "x"}}, "by: server figures have no dimension 'target'"),
    ],
)
def test_errors_name_what_exists(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        report([snapshot(CALLS)], **options)


@pytest.mark.parametrize("low", [1e3, 1e6])
def test_percentiles_are_those_of_hdrhistogram_within_one_percent(low: float) -> None:
    dice = random.Random(11)
    values = [int(math.exp(dice.uniform(math.log(low), math.log(1e11)))) for _ in range(50_000)]
    other = HdrHistogram(1, 200 * 10**9, 3)
    for each in values:
        other.record_value(each)
    found = report([snapshot({("S.f", "ok", "", ""): values})]).total
    for percent, seconds in (
        (50, found.p50_s),
        (90, found.p90_s),
        (95, found.p95_s),
        (99, found.p99_s),
        (99.9, found.p999_s),
    ):
        assert seconds == pytest.approx(other.get_value_at_percentile(percent) / 1e9, rel=0.01)


# Snapshots.

CELLS = st.dictionaries(
    st.tuples(*(st.sampled_from(["a", "b"]) for _ in range(4))),
    st.lists(st.integers(0, 10**11), max_size=8),
    max_size=6,
)


@given(CELLS, CELLS)
def test_the_difference_of_two_snapshots_is_what_was_added(earlier: Any, added: Any) -> None:
    both = {labels: [*earlier.get(labels, ()), *added.get(labels, ())] for labels in {**earlier, **added}}
    found = snapshot(both, at=20.0).since(snapshot(earlier))
    expected = report([snapshot(added, at=20.0, started_at=10.0)], by=("method", "caller"))
    actual = report([found], by=("method", "caller"))
    counts = [
        {tuple(row.labels.values()): (row.pv, row.codes) for row in each.rows if row.pv} for each in (expected, actual)
    ]
    assert counts[0] == counts[1]
    assert actual.period_s == 10.0


@given(CELLS, CELLS, CELLS)
def test_merging_of_processes_is_associative(one: Any, two: Any, three: Any) -> None:
    a, b, c = (list(snapshot(each).series.values()) for each in (one, two, three))
    assert merged([*merged([*a, *b]), *c]) == merged([*a, *merged([*b, *c])])


def test_a_restart_counts_from_zero() -> None:
    before = snapshot({("S.f", "ok", "", ""): [5] * 100}, at=10.0)
    after = snapshot({("S.f", "ok", "", ""): [5] * 7}, at=20.0, started_at=15.0)
    assert report([after.since(before)]).total.pv == 7
    assert report([after.since(before)]).total.qps == pytest.approx(7 / 5)


@given(CELLS)
def test_json_keeps_everything(cells: Any) -> None:
    given = snapshot(cells, core=["S"], instance="é")
    assert decode_snapshot(encode_snapshot(given)) == given


def test_json_has_gauges_and_every_metric() -> None:
    series = {
        each.name: Series(
            each, {tuple("x" for _ in each.labels): Histogram.of([5]) if each.kind == "histogram" else 1.5}
        )
        for each in METRICS
    }
    given = Snapshot(at=1.0, started_at=0.0, series=series)
    assert decode_snapshot(encode_snapshot(given)) == given


def wire(metric: str, values: str) -> bytes:
    return f'{{"at":1,"started_at":0,"series":[{{"metric":{metric},"values":{values}}}]}}'.encode()


GAUGE = '{"name":"x","kind":"gauge","help":"","labels":["a"]}'
HISTOGRAM = '{"name":"x","kind":"histogram","help":""}'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "cannot read metrics: Input data was truncated"),
        (b'{"at":1,"started_at":0,"version":2}', "of version 2: this program reads version 1"),
        (wire(GAUGE, "[[[],1]]"), "x has 1 label, got 0"),
        (wire(GAUGE, '[[["b"],{"count":1}]]'), "x is a gauge"),
        (wire(HISTOGRAM, '[[[],{"counts":{"99999":1}}]]'), "x has an invalid bucket"),
    ],
)
def test_invalid_json_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        decode_snapshot(data)


# The monitor.


class Clock:
    """Wall-clock time of a monitor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("idlrt.observe.monitor.time.time", lambda: self.now)
        monkeypatch.setattr("idlrt.observe.monitor.time.monotonic", lambda: self.now)


class Measured:
    """A program that measures, with a monitor whose steps end when the test says so."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cells = Histograms(SERVER_CALLS)
        self.in_flight = 0
        self.monitor = Monitor(lambda: [self.cells.series(), Series(SERVER_IN_FLIGHT, {(): self.in_flight})])
        self.monitor.start()

    def work(self, calls: int, seconds: float = 10.0, duration: int = MS, status: str = "ok") -> None:
        for _ in range(calls):
            self.cells.record(("S.f", status, "", ""), duration)
        self.clock.now += seconds
        self.monitor.sample()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    found = Measured(Clock(monkeypatch))
    yield found
    found.monitor.close()


def test_figures_of_a_period_have_its_calls_only(program: Measured) -> None:
    for calls in (100, 10, 20, 30):
        program.work(calls)
    assert program.monitor.figures().total.pv == 160
    recent = program.monitor.figures(30)
    assert (recent.total.pv, recent.period_s, recent.total.qps) == (60, 30.0, 2.0)
    assert program.monitor.figures(10).total.pv == 30


def test_calls_since_the_last_step_are_included(program: Measured) -> None:
    program.work(10)
    program.cells.record(("S.f", "ok", "", ""), 5)
    program.clock.now += 2
    assert program.monitor.figures(10).total.pv == 11


def test_the_history_has_a_step_for_each_ten_seconds(program: Measured) -> None:
    program.in_flight = 3
    program.work(20)
    program.work(0)
    program.work(10, duration=30 * MS, status="internal")
    found = program.monitor.history()
    assert list(found.qps)[:3] == [2.0, 0.0, 1.0]
    assert list(found.error_rate)[:3] == [0.0, None, 1.0]
    assert found.p50_s[2] == pytest.approx(0.03, rel=0.01)
    assert found.p50_s[1] is None
    assert found.in_flight[0] == 3
    assert found.at[0] == 1010.0


def test_the_history_ends_after_15_minutes_and_fine_steps_become_coarse(program: Measured) -> None:
    for _ in range(2000):
        program.work(1, seconds=1.0)
    found = program.monitor.history()
    assert 89 <= len(found.at) <= 92
    assert all(qps == pytest.approx(1.0) for qps in found.qps[1:-1])
    assert program.monitor.figures(60).total.pv == pytest.approx(60, abs=1)
    assert program.monitor.figures(900).total.pv == pytest.approx(900, abs=11)


@pytest.mark.parametrize("period", [0, -1, 901, math.nan])
def test_the_period_is_checked(program: Measured, period: float) -> None:
    with pytest.raises(ConfigurationError, match="period: must be between 0 and 900 seconds"):
        program.monitor.figures(period)


def test_equal_metrics_have_equal_descriptions() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)
    assert all(isinstance(each, Metric) for each in METRICS)
