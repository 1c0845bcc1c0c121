"""Reads figures of pages from the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from idlrt.collector.pages.figures import LEAST_S, Figures, Numbers, Subject, Timeline
from idlrt.collector.pages.period import Period
from idlrt.collector.store import CellStore, Where
from idlrt.collector.store import Group as StoredGroup
from idlrt.observe.figures import GOOD
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels

__all__ = ["Reader"]

_MAX_GROUPS: Final = 20_000
"""Maximum number of groups of a table: 500 services with 10 methods of two outcomes have half of them."""


class Reader:
    """Reads figures from a store.

    Args:
        store: the store.
    """

    def __init__(self, store: CellStore) -> None:
        self._store = store

    def totals(
        self, subject: Subject, period: Period, by: Sequence[str] = (), where: Where | None = None
    ) -> list[Figures]:
        """Return the figures of all groups, the one with the most calls first.

        Args:
            subject: what the figures are about.
            period: the period.
            by: labels and keys of the resource by which to group.
            where: values that these must have.
        """
        found = self._store.read(
            subject.metric,
            period.start,
            period.end,
            is_whole=True,
            where=where or {},
            by=(*by, subject.outcome),
            limit=_MAX_GROUPS,
        )
        parts: dict[Labels, dict[str, Histogram]] = {}
        for group in found.groups:
            histogram = _merged(group)
            if not histogram.count:
                continue
            key = tuple(group.labels[name] for name in by)
            parts.setdefault(key, {})[group.labels[subject.outcome]] = histogram
        # The start is that of a cell.
        seconds = max(period.until - found.start, 1.0)
        figures = [_figures(key, outcomes, seconds) for key, outcomes in parts.items()]
        return sorted(figures, key=lambda each: (-each.calls, each.key))

    def counts(self, subject: Subject, period: Period, by: Sequence[str], where: Where | None = None) -> list[Figures]:
        """Return the figures of all groups without their durations, which takes a fraction of the time of `totals`."""
        found = self._store.read(
            subject.metric,
            period.start,
            period.end,
            is_whole=True,
            where=where or {},
            by=(*by, subject.outcome),
            limit=_MAX_GROUPS,
            values="count",
        )
        parts: dict[Labels, dict[str, Histogram]] = {}
        for group in found.groups:
            count = group.values[0]
            if count and not isinstance(count, Histogram):
                key = tuple(group.labels[name] for name in by)
                parts.setdefault(key, {})[group.labels[subject.outcome]] = Histogram(count=round(count))
        seconds = max(period.until - found.start, 1.0)
        figures = [_figures(key, outcomes, seconds) for key, outcomes in parts.items()]
        return sorted(figures, key=lambda each: (-each.calls, each.key))

    def total(self, subject: Subject, period: Period, where: Where | None = None) -> Figures:
        """Return the figures of all calls of a period."""
        found = self.totals(subject, period, (), where)
        return found[0] if found else _figures((), {}, period.seconds)

    def timelines(
        self,
        subject: Subject,
        period: Period,
        by: Sequence[str] = (),
        where: Where | None = None,
        *,
        limit: int = 10,
        has_others: bool = True,
    ) -> list[Timeline]:
        """Return calls over time by group, the one with the most calls first.

        Args:
            subject: what the figures are about.
            period: the period.
            by: labels and keys of the resource by which to group.
            where: values that these must have.
            limit: maximum number of groups; the others are one group with the key `_OTHER`.
            has_others: whether to return that group.
        """
        found = self._store.read(
            subject.metric,
            period.start,
            period.end,
            step=period.step,
            where=where or {},
            by=by if by else (subject.outcome,),
            limit=limit if by else _MAX_GROUPS,
            has_others=has_others,
        )
        until = min(period.end, period.until)
        if not by:
            outcomes = {
                group.labels[subject.outcome]: [_as_histogram(each) for each in group.values] for group in found.groups
            }
            return [Timeline(key=(), start=found.start, step=found.step, until=until, by_outcome=outcomes)]
        return [
            Timeline(
                key=tuple(group.labels[name] for name in by),
                start=found.start,
                step=found.step,
                until=until,
                by_outcome={"": [_as_histogram(each) for each in group.values]},
            )
            for group in found.groups
        ]

    def rates(
        self,
        subject: Subject,
        period: Period,
        by: Sequence[str],
        where: Where | None = None,
        *,
        limit: int = 10,
    ) -> Numbers:
        """Return calls per second over time of the groups with the most calls, the largest one first."""
        found = self._store.read(
            subject.metric,
            period.start,
            period.end,
            step=period.step,
            where=where or {},
            by=by,
            limit=limit,
            values="count",
            has_others=False,
        )
        groups = [
            (tuple(group.labels[name] for name in by), _per_second(group.values, found.start, found.step, period.until))
            for group in found.groups
        ]
        return Numbers(start=found.start, step=found.step, groups=groups)

    def timeline(self, subject: Subject, period: Period, where: Where | None = None) -> Timeline:
        """Return all calls over time, by outcome."""
        return self.timelines(subject, period, (), where)[0]

    def numbers(
        self,
        metric: str,
        period: Period,
        by: Sequence[str] = (),
        where: Where | None = None,
        *,
        limit: int = 30,
    ) -> Numbers:
        """Return a counter as values per second, or a gauge, over time by group."""
        found = self._store.read(
            metric, period.start, period.end, step=period.step, where=where or {}, by=by, limit=limit
        )
        is_counter = found.metric is not None and found.metric.kind == "counter"
        lines: list[tuple[Labels, Sequence[float | None]]] = []
        for group in found.groups:
            values: Sequence[float | None] = (
                _per_second(group.values, found.start, found.step, period.until)
                if is_counter
                else [None if isinstance(each, Histogram) else each for each in group.values]
            )
            lines.append((tuple(group.labels[name] for name in by), values))
        return Numbers(start=found.start, step=found.step, groups=lines)

    def percentiles(
        self,
        metric: str,
        period: Period,
        by: Sequence[str],
        where: Where | None = None,
        *,
        quantile: float,
        limit: int = 10,
    ) -> Numbers:
        """Return a percentile of a histogram in seconds, over time by group."""
        found = self._store.read(
            metric, period.start, period.end, step=period.step, where=where or {}, by=by, limit=limit
        )
        lines: list[tuple[Labels, list[float | None]]] = []
        for group in found.groups:
            values = [_as_histogram(each) for each in group.values]
            line = [each.percentile(quantile) if each is not None and each.count else None for each in values]
            lines.append((tuple(group.labels[name] for name in by), line))
        return Numbers(start=found.start, step=found.step, groups=lines)

    def sums(self, metric: str, period: Period, by: Sequence[str], where: Where | None = None) -> dict[Labels, float]:
        """Return what was added to a counter in a period, or the last value of a gauge, by group."""
        found = self._store.read(
            metric, period.start, period.end, is_whole=True, where=where or {}, by=by, limit=_MAX_GROUPS
        )
        values: dict[Labels, float] = {}
        for group in found.groups:
            value = group.values[0]
            if isinstance(value, int | float):
                values[tuple(group.labels[name] for name in by)] = float(value)
        return values


def _figures(key: Labels, outcomes: Mapping[str, Histogram], seconds: float) -> Figures:
    return Figures(
        key=key,
        histogram=Histogram.merged(outcomes.values()),
        errors=sum(each.count for outcome, each in outcomes.items() if outcome not in GOOD),
        codes={outcome: each.count for outcome, each in sorted(outcomes.items(), key=lambda pair: -pair[1].count)},
        seconds=seconds,
    )


def _per_second(
    values: Iterable[Histogram | float | None], start: float, step: float, until: float
) -> list[float | None]:
    """Return counts as values per second by step; `None` for a gap, and for a step of too few seconds so far."""
    found: list[float | None] = []
    for index, each in enumerate(values):
        passed = min(step, until - start - index * step)
        if each is None or isinstance(each, Histogram) or passed < min(step, LEAST_S):
            found.append(None)
        else:
            found.append(each / passed)
    return found


def _merged(group: StoredGroup) -> Histogram:
    return Histogram.merged(each for each in group.values if isinstance(each, Histogram))


def _as_histogram(value: Histogram | float | None) -> Histogram | None:
    return value if isinstance(value, Histogram) else None
