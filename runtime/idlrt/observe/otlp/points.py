"""Series as data of the OpenTelemetry SDK."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    Gauge,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.metrics.export import ExponentialHistogram as ExponentialData
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint as ExponentialPoint
from opentelemetry.sdk.metrics.export import Histogram as HistogramData

from idlrt.observe.exposition import BUCKETS
from idlrt.observe.histogram import Histogram, bucket_bounds
from idlrt.observe.metric import Series
from idlrt.observe.otlp.names import LEFT_OUT, attributes_of, otlp_name
from idlrt.observe.views import View, clean, views

__all__ = ["MAX_BUCKETS", "MAX_SCALE", "RPC_BOUNDS", "Points", "exponential"]

RPC_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the buckets of RPC metrics in seconds, by the semantic conventions."""

MAX_SCALE: Final = 5
"""Scale of exponential histograms: buckets that are 2.2 % wide. Our own buckets are at most 1.6 % wide."""

MAX_BUCKETS: Final = 160
"""Maximum number of buckets of an exponential histogram, as in the SDK; more lower the scale."""

_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_DELTA: Final = AggregationTemporality.DELTA
_OTHER_BOUNDS: Final = BUCKETS[:-1]

_Buckets: TypeAlias = tuple[int, int, list[int]]


class Points:
    """Converts series.

    Args:
        is_exponential: whether histograms are exponential.
        bounds: upper bounds of the buckets of all histograms in seconds, ascending; `None` for those of the semantic
            conventions for RPC, and those of `/metrics` for the others.
    """

    __slots__ = ("_bounds", "_is_exponential")

    def __init__(self, *, is_exponential: bool, bounds: Sequence[float] | None) -> None:
        self._is_exponential = is_exponential
        self._bounds = tuple(bounds) if bounds is not None else None

    def metrics(self, series: Iterable[Series], *, start: int, at: int, is_delta: bool) -> list[Metric]:
        """Return metrics of the SDK.

        Args:
            series: the series; counters and histograms since `start`.
            start: start of counting, in nanoseconds since 1970.
            at: time of the series, in nanoseconds since 1970.
            is_delta: whether `start` is the time of the series that were exported before, and not that of the process.
        """
        # Several metrics of ours are one of the conventions: bytes read and bytes written are directions of I/O.
        found: dict[str, tuple[View, list[Any]]] = {}
        for view in views(series):
            if view.name in LEFT_OUT:
                continue
            _, points = found.setdefault(otlp_name(view.name).name, (view, []))
            points += self._points(view, start, at, is_delta)
        return [
            Metric(name, clean(view.help), otlp_name(view.name).unit, self._data(view, points, is_delta))
            for name, (view, points) in found.items()
            if points
        ]

    def _data(self, view: View, points: list[Any], is_delta: bool) -> Any:
        temporality = _DELTA if is_delta else _CUMULATIVE
        if view.kind == "histogram":
            kind = ExponentialData if self._is_exponential else HistogramData
            return kind(points, temporality)
        if view.kind == "counter":
            return Sum(points, temporality, is_monotonic=True)
        # What may be added is an UpDownCounter, which is never a delta here.
        return Sum(points, _CUMULATIVE, is_monotonic=False) if view.is_additive else Gauge(points)

    def _points(self, view: View, start: int, at: int, is_delta: bool) -> Iterable[Any]:
        name = otlp_name(view.name)
        for labels, value in view.values.items():
            if is_delta and view.kind == "counter" and not value:
                continue  # nothing was added
            attributes = {key: clean(each) for key, each in attributes_of(name, view.labels, labels).items()}
            if not isinstance(value, Histogram):
                yield NumberDataPoint(attributes, start, at, value)
            elif self._is_exponential:
                yield _exponential_point(attributes, start, at, value)
            else:
                yield _explicit_point(attributes, start, at, value, self._bounds_of(name.name))

    def _bounds_of(self, name: str) -> Sequence[float]:
        if self._bounds is not None:
            return self._bounds
        return RPC_BOUNDS if name.endswith(".duration") and name.startswith("rpc.") else _OTHER_BOUNDS


def _explicit_point(
    attributes: dict[str, str], start: int, at: int, value: Histogram, bounds: Sequence[float]
) -> HistogramDataPoint:
    counts: list[int] = []
    before = 0
    for cumulative in value.at_most((*bounds, math.inf)):
        counts.append(cumulative - before)
        before = cumulative
    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=start,
        time_unix_nano=at,
        count=value.count,
        sum=value.sum / 1e9,
        bucket_counts=counts,
        explicit_bounds=bounds,
        min=value.min / 1e9,
        max=value.max / 1e9,
    )


def _exponential_point(attributes: dict[str, str], start: int, at: int, value: Histogram) -> ExponentialPoint:
    scale, offset, counts = exponential(value.counts)
    return ExponentialPoint(
        attributes=attributes,
        start_time_unix_nano=start,
        time_unix_nano=at,
        count=value.count,
        sum=value.sum / 1e9,
        scale=scale,
        zero_count=value.counts.get(0, 0),
        positive=Buckets(offset, counts),
        negative=Buckets(0, []),
        flags=0,
        min=value.min / 1e9,
        max=value.max / 1e9,
    )


def exponential(counts: Mapping[int, int]) -> _Buckets:
    """Return the scale, the offset and the counts of an exponential histogram of seconds.

    Each bucket goes to the one that has its middle, so a value is at most 0.8 % beside its bucket. Durations of 0 are
    not among them.

    Args:
        counts: counts by index of the bucket of a `Histogram`.

    Source: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    """
    indexes: dict[int, int] = {}
    for bucket, count in counts.items():
        if bucket:
            lower, upper = bucket_bounds(bucket)
            index = math.ceil(math.log2((lower + upper - 1) / 2e9) * (1 << MAX_SCALE)) - 1
            indexes[index] = indexes.get(index, 0) + count
    if not indexes:
        return MAX_SCALE, 0, []
    first, last = min(indexes), max(indexes)
    shift = 0
    while (last >> shift) - (first >> shift) >= MAX_BUCKETS:
        shift += 1
    dense = [0] * ((last >> shift) - (first >> shift) + 1)
    for index, count in indexes.items():
        dense[(index >> shift) - (first >> shift)] += count
    return MAX_SCALE - shift, first >> shift, dense
