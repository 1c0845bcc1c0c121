"""Descriptions of metrics, and their values at one time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.observe.histogram import Histogram

__all__ = ["OTHER", "Derived", "Kind", "Labels", "Metric", "Series", "Value", "merged", "merged_values"]

OTHER: Final = "_OTHER"
"""Label value of series beyond the maximum number."""

Labels: TypeAlias = tuple[str, ...]
"""Values of the labels of a series, in the order of the metric's label names."""

Value: TypeAlias = Histogram | float
"""Histogram, or the number of a counter or gauge."""

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class Derived(msgspec.Struct, frozen=True):
    """Counter that is read from a histogram of calls, so that nothing is counted twice.

    Attributes:
        name: its name; ends with `_total`.
        help: its description.
        of: field of the histogram: `count`, `received` or `sent`.
        labels: its labels, some of those of the histogram.
    """

    name: str
    help: str
    of: Literal["count", "received", "sent"]
    labels: tuple[str, ...]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a metric.

    Attributes:
        name: name with its unit, as Prometheus has it; counters end with `_total`. Histograms are of durations: their
            values are nanoseconds inside, and seconds in everything that users see.
        kind: its type.
        help: description.
        labels: names of its labels.
        hidden: labels that the histogram lacks in Prometheus, where each combination costs more than a dozen series.
        derived: counters that are read from the histogram.
        merge: how values of several processes or objects are combined: `max` for what all processes of a host have in
            common. Histograms are always added.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    derived: tuple[Derived, ...] = ()
    merge: Literal["sum", "max", "min"] = "sum"


class Series(msgspec.Struct, frozen=True):
    """All series of one metric at one time.

    Attributes:
        metric: the metric.
        values: value by labels. Counters and histograms are cumulative.
    """

    metric: Metric
    values: Mapping[Labels, Value]


def merged(parts: Iterable[Series]) -> list[Series]:
    """Combine the series of equal metrics, which several objects or processes have recorded."""
    by_metric: dict[str, list[Series]] = {}
    for each in parts:
        by_metric.setdefault(each.metric.name, []).append(each)
    found: list[Series] = []
    for same in by_metric.values():
        if len(same) == 1:
            found.append(same[0])
            continue
        metric = same[0].metric
        values: dict[Labels, list[Value]] = {}
        for each in same:
            for labels, value in each.values.items():
                values.setdefault(labels, []).append(value)
        found.append(Series(metric, {labels: merged_values(metric, each) for labels, each in values.items()}))
    return found


def merged_values(metric: Metric, values: list[Value]) -> Value:
    """Combine values of one metric."""
    if len(values) == 1:
        return values[0]
    if metric.kind == "histogram":
        return Histogram.merged(each for each in values if isinstance(each, Histogram))
    numbers = [each for each in values if not isinstance(each, Histogram)]
    if metric.merge == "sum":
        return sum(numbers)
    return max(numbers) if metric.merge == "max" else min(numbers)
