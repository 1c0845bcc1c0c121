"""Metrics as exporters show them: without hidden labels, and with the counters that are derived from histograms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Kind, Labels, Metric, Series, Value, merged_values

__all__ = ["View", "clean", "views"]


class View(msgspec.Struct, frozen=True):
    """All series of one metric, as exporters show it.

    Attributes:
        name: name with its unit; counters end with `_total`.
        kind: type.
        help: description.
        labels: names of its labels.
        values: value by the values of the labels, in their order: histograms of a histogram, else numbers.
        is_additive: whether values of several processes are added.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    values: Mapping[Labels, Value]
    is_additive: bool


def views(series: Iterable[Series]) -> Iterator[View]:
    """Return the views of metrics, each followed by the counters that are derived from it."""
    for each in series:
        metric = each.metric
        shown = tuple(name for name in metric.labels if name not in metric.hidden)
        is_histogram = metric.kind == "histogram"
        found = {
            labels: value
            for labels, value in sorted(_without(metric, each.values, metric.hidden).items(), key=_labels)
            if isinstance(value, Histogram) == is_histogram
        }
        yield View(metric.name, metric.kind, metric.help, shown, found, metric.merge == "sum")
        for derived in metric.derived:
            rest = [name for name in metric.labels if name not in derived.labels]
            order = tuple(name for name in metric.labels if name in derived.labels)
            counts: dict[Labels, Value] = {
                labels: getattr(value, derived.of)
                for labels, value in sorted(_without(metric, each.values, rest).items(), key=_labels)
                if isinstance(value, Histogram)
            }
            yield View(derived.name, "counter", derived.help, order, counts, True)


def _labels(item: tuple[Labels, Value]) -> Labels:
    return item[0]


def _without(metric: Metric, values: Mapping[Labels, Value], hidden: Iterable[str]) -> Mapping[Labels, Value]:
    """Combine the values that differ only in labels that are hidden."""
    away = {metric.labels.index(name) for name in hidden}
    if not away:
        return values
    parts: dict[Labels, list[Value]] = {}
    for labels, value in values.items():
        kept = tuple(each for position, each in enumerate(labels) if position not in away)
        parts.setdefault(kept, []).append(value)
    return {labels: merged_values(metric, found) for labels, found in parts.items()}


def clean(text: str) -> str:
    """Return text that can be encoded: names of clients may have lone surrogates (`text_errors`)."""
    return text.encode(errors="replace").decode()
