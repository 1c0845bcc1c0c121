"""Series as data of the SDK: exact counts and sums, in explicit and exponential buckets."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from idlrt.observe import Histogram, Metric, Series
from idlrt.observe.catalogue import SERVER_CALLS, SERVER_DRAINING, SERVER_IN_FLIGHT, TARGET_INFO
from idlrt.observe.features import FEATURE_DURATION
from idlrt.observe.otlp.points import MAX_BUCKETS, MAX_SCALE, RPC_BOUNDS, Points, exponential
from idlrt.observe.process import READ, WRITTEN

DURATIONS = st.lists(st.integers(0, 100_000_000_000), min_size=1, max_size=50)


def converted(*series: Series, is_exponential: bool = False, is_delta: bool = False) -> dict[str, SdkMetric]:
    points = Points(is_exponential=is_exponential, bounds=None)
    return {each.name: each for each in points.metrics(series, start=5, at=7, is_delta=is_delta)}


def calls(*values: int) -> Series:
    return Series(SERVER_CALLS, {("Store.get", "ok", "", "shop"): Histogram.of(values)})


def only(metric: SdkMetric) -> Any:
    (point,) = metric.data.data_points
    return point


@given(DURATIONS)
def test_explicit_buckets_have_all_values(values: list[int]) -> None:
    point = only(converted(calls(*values))["rpc.server.call.duration"])
    assert point.count == sum(point.bucket_counts) == len(values)
    assert point.sum == sum(values) / 1e9
    assert (point.min, point.max) == (min(values) / 1e9, max(values) / 1e9)
    assert tuple(point.explicit_bounds) == RPC_BOUNDS
    assert len(point.bucket_counts) == len(RPC_BOUNDS) + 1


def test_values_are_in_their_buckets() -> None:
    point = only(converted(calls(4_000_000, 4_900_000, 6_000_000, 11_000_000_000))["rpc.server.call.duration"])
    assert point.bucket_counts[:2] == [2, 1]
    assert point.bucket_counts[-1] == 1


@given(DURATIONS)
def test_exponential_buckets_have_all_values_near_their_place(values: list[int]) -> None:
    point = only(converted(calls(*values), is_exponential=True)["rpc.server.call.duration"])
    counts = point.positive.bucket_counts
    assert point.zero_count + sum(counts) == point.count == len(values)
    assert point.sum == sum(values) / 1e9
    assert len(counts) <= MAX_BUCKETS
    # Each value, in their order, is at most 0.8 % beside the bucket that has as many before it.
    base = 2.0 ** (2.0**-point.scale)
    placed = [index + point.positive.offset for index, count in enumerate(counts) for _ in range(count)]
    for value, index in zip(sorted(value for value in values if value), placed, strict=True):
        assert base**index / 1.009 <= value / 1e9 <= base ** (index + 1) * 1.009


def test_the_scale_is_that_which_the_range_allows() -> None:
    def scale(*values: int) -> int:
        found = exponential(Histogram.of(values).counts)
        assert sum(found[2]) == len(values)
        return found[0]

    assert scale(1_000_000) == scale(1_000_000, 31_000_000) == MAX_SCALE
    assert scale(1_000_000, 900_000_000) == MAX_SCALE - 1
    assert scale(1_000, 100_000_000_000) == 2
    assert exponential({}) == (MAX_SCALE, 0, [])


def test_powers_of_two_are_upper_bounds() -> None:
    # The bucket of 1 s, whose middle is above it, is (1, 1.0219].
    scale, offset, counts = exponential(Histogram.of([1_000_000_000]).counts)
    assert (scale, counts) == (MAX_SCALE, [1])
    assert math.isclose(2.0 ** (offset / 2**scale), 1.0, rel_tol=0.03)


def test_kinds_follow_what_may_be_added() -> None:
    found = converted(
        Series(SERVER_IN_FLIGHT, {(): 3}),
        Series(SERVER_DRAINING, {(): 1.0}),
        calls(5),
        is_delta=True,
    )
    in_flight: Any = found["rpc.server.in_flight"].data
    assert (in_flight.is_monotonic, in_flight.aggregation_temporality) == (False, AggregationTemporality.CUMULATIVE)
    assert not hasattr(found["rpc.server.draining"].data, "aggregation_temporality")
    counter: Any = found["rpc.server.calls"].data
    assert (counter.is_monotonic, counter.aggregation_temporality) == (True, AggregationTemporality.DELTA)
    assert only(found["rpc.server.calls"]).attributes["caller"] == "shop"
    point = only(found["rpc.server.call.duration"])
    assert "caller" not in point.attributes
    assert (point.start_time_unix_nano, point.time_unix_nano) == (5, 7)


def test_directions_of_io_are_one_metric() -> None:
    found = converted(Series(READ, {(): 10}), Series(WRITTEN, {(): 20}))
    points = found["process.disk.io"].data.data_points
    assert {each.attributes["disk.io.direction"]: each.value for each in points} == {"read": 10, "write": 20}  # type: ignore[index, union-attr]


def test_the_resource_is_no_metric_and_others_have_the_bounds_of_the_page() -> None:
    info = Series(TARGET_INFO, {("shop", "", "", "", ""): 1})
    feature = Series(FEATURE_DURATION, {("checkout", "ok", "server", ""): Histogram.of([200_000])})
    found = converted(info, feature)
    assert set(found) == {"feature.duration", "feature.results"}
    assert only(found["feature.duration"]).explicit_bounds[0] == 0.0001


def test_given_bounds_are_those_of_all_histograms() -> None:
    points = Points(is_exponential=False, bounds=[0.1, 1.0])
    found = points.metrics([calls(5)], start=5, at=7, is_delta=False)
    assert only(found[0]).explicit_bounds == (0.1, 1.0)


@pytest.mark.parametrize("is_exponential", [False, True])
def test_the_encoder_of_the_sdk_takes_everything(is_exponential: bool) -> None:
    own = Metric(name="shop_sales_total", kind="counter", help="a\udce4", labels=("name",))
    found = converted(calls(5, 0), Series(own, {("b\udce4",): 1.5}), is_exponential=is_exponential)
    scope = ScopeMetrics(InstrumentationScope("test"), list(found.values()), "")
    data = MetricsData([ResourceMetrics(Resource.create({}), [scope], "")])
    text = str(encode_metrics(data))
    assert 'string_value: "b?"' in text
    assert 'description: "a?"' in text
