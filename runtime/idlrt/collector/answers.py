"""Answers to queries over RPC: values of the store as lists of numbers."""

from __future__ import annotations

import math

from idlrt.collector.api import Answer, Group, Percentiles, Query
from idlrt.collector.packets import info_of
from idlrt.collector.store import CellStore
from idlrt.collector.store import Group as StoredGroup
from idlrt.errors import ConfigurationError
from idlrt.observe.histogram import Histogram

__all__ = ["answer_of"]

_MAX_GROUPS = 1000
_DEFAULT_GROUPS = 30


def answer_of(store: CellStore, query: Query) -> Answer:
    """Return the answer to a query.

    Raises:
        ConfigurationError: there is no such metric, or the query is invalid.
    """
    limit = query.limit if query.limit is not None else _DEFAULT_GROUPS
    if not 1 <= limit <= _MAX_GROUPS:
        raise ConfigurationError(f"limit: must be between 1 and {_MAX_GROUPS}, got {limit}")
    by = tuple(query.by or ())
    found = store.read(
        query.metric, query.start, query.end, step=query.step, where=query.where or {}, by=by, limit=limit
    )
    if found.metric is None:
        raise ConfigurationError(f"there is no metric {query.metric!r}; `idlrt monitor query` without one lists them")
    is_gauge = found.metric.kind == "gauge"
    groups = [_group(each, by, is_gauge=is_gauge) for each in found.groups]
    return Answer(metric=info_of(found.metric), start=float(found.start), step=float(found.step), groups=groups)


def _group(group: StoredGroup, by: tuple[str, ...], *, is_gauge: bool) -> Group:
    key = [group.labels.get(name, "") for name in by]
    histograms = [each if isinstance(each, Histogram) else None for each in group.values]
    if not any(each is not None for each in histograms):
        values = [math.nan if each is None or isinstance(each, Histogram) else float(each) for each in group.values]
        known = [each for each in values if not math.isnan(each)]
        total = known[-1] if is_gauge and known else math.fsum(known)
        return Group(key=key, values=values, total=total)
    merged = Histogram.merged(each for each in histograms if each is not None)
    percentiles = [each.percentiles((0.5, 0.9, 0.99)) if each is not None else [math.nan] * 3 for each in histograms]
    return Group(
        key=key,
        values=[float(each.count) if each is not None else math.nan for each in histograms],
        p50=[each[0] for each in percentiles],
        p90=[each[1] for each in percentiles],
        p99=[each[2] for each in percentiles],
        max=[each.max / 1e9 if each is not None and each.count else math.nan for each in histograms],
        total=float(merged.count),
        overall=Percentiles(
            p50=merged.percentile(0.5), p90=merged.percentile(0.9), p99=merged.percentile(0.99), max=merged.max / 1e9
        )
        if merged.count
        else None,
    )
