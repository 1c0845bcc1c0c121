"""Figures of calls for pages: totals of groups, and their values over time, from the store.

Percentiles come from histograms, which are added, never averaged. Rates of a step that is not over count the seconds
that have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from idlrt.collector.pages.period import Period
from idlrt.collector.store import CellStore
from idlrt.collector.store import Group as StoredGroup
from idlrt.observe.catalogue import CLIENT_CALLS, SERVER_CALLS, STATUS
from idlrt.observe.features import FEATURE_DURATION
from idlrt.observe.figures import GOOD
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER, Labels
from idlrt.observe.resources import RESOURCE_DURATION

__all__ = [
    "CALLS",
    "CLIENTS",
    "FEATURES",
    "RESOURCES",
    "Figures",
    "Numbers",
    "Reader",
    "Subject",
    "Timeline",
    "resampled",
    "title_of",
]

MAX_GROUPS: Final = 20_000
"""Maximum number of groups of a table: 500 services with 10 methods of two outcomes have half of them."""

# A step that has just begun has no meaningful rate.
_LEAST_S: Final = 10.0


class Subject(msgspec.Struct, frozen=True):
    """Subject of figures: a metric of calls or operations.

    Attributes:
        metric: name of the histogram.
        outcome: label with the outcome.
    """

    metric: str
    outcome: str


CALLS: Final = Subject(SERVER_CALLS.name, STATUS)
CLIENTS: Final = Subject(CLIENT_CALLS.name, STATUS)
RESOURCES: Final = Subject(RESOURCE_DURATION.name, "outcome")
FEATURES: Final = Subject(FEATURE_DURATION.name, "outcome")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a group of calls in a period.

    Attributes:
        key: values of the dimensions.
        histogram: durations of all calls.
        errors: number of calls that failed; declared exceptions are answers.
        codes: number of calls by outcome.
        seconds: length of the period.
    """

    key: Labels
    histogram: Histogram
    errors: int
    codes: Mapping[str, int]
    seconds: float

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self.histogram.count

    @property
    def qps(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    @property
    def error_rate(self) -> float | None:
        """Errors / calls; `None` without calls."""
        return self.errors / self.calls if self.calls else None

    def counts(self) -> dict[str, float | None]:
        """Return the counts as values of a table."""
        return {"qps": self.qps, "calls": self.calls, "errors": self.errors, "error_rate": self.error_rate}

    def row(self) -> dict[str, float | None]:
        """Return all figures as values of a table."""
        p50, p90, p99 = self.histogram.percentiles((0.5, 0.9, 0.99)) if self.calls else (None, None, None)
        return {
            **self.counts(),
            "average": self.histogram.mean if self.calls else None,
            "p50": p50,
            "p90": p90,
            "p99": p99,
            "max": self.histogram.max / 1e9 if self.calls else None,
        }


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of a group over time.

    Attributes:
        key: values of the dimensions.
        start: start of the first step.
        step: length of a step in seconds.
        until: end of the time that has passed.
        by_outcome: durations of each step by outcome; `None` is a gap.
    """

    key: Labels
    start: float
    step: float
    until: float
    by_outcome: Mapping[str, Sequence[Histogram | None]]

    def durations(self) -> list[Histogram | None]:
        """Return the durations of all calls by step; `None` is a gap."""
        found: list[Histogram | None] = []
        for parts in zip(*self.by_outcome.values(), strict=True):
            known = [each for each in parts if each is not None]
            found.append(known[0] if len(known) == 1 else Histogram.merged(known) if known else None)
        return found

    def seconds(self, index: int) -> float | None:
        """Return the seconds of a step that have passed; `None` if these are too few for a rate."""
        passed = min(self.step, self.until - self.start - index * self.step)
        return passed if passed >= min(self.step, _LEAST_S) else None

    def rates(self, values: Iterable[Histogram | None]) -> list[float | None]:
        """Return calls per second by step."""
        found: list[float | None] = []
        for index, each in enumerate(values):
            seconds = self.seconds(index)
            found.append(each.count / seconds if each is not None and seconds else None)
        return found

    def error_rates(self) -> list[float | None]:
        """Return errors / calls by step; `None` without calls."""
        whole = self.durations()
        bad = [values for outcome, values in self.by_outcome.items() if outcome not in GOOD]
        found: list[float | None] = []
        for index, each in enumerate(whole):
            parts = [values[index] for values in bad]
            errors = sum(part.count for part in parts if part is not None)
            found.append(errors / each.count if each is not None and each.count else None)
        return found


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers over time by group.

    Attributes:
        start: start of the first step.
        step: length of a step in seconds; longer than asked for where finer cells are no longer kept.
        groups: key of each group, and its values; `None` is a gap.
    """

    start: float
    step: float
    groups: Sequence[tuple[Labels, Sequence[float | None]]]


class Reader:
    """Reads figures from a store.

    Args:
        store: the store.
    """

    def __init__(self, store: CellStore) -> None:
        self._store = store

    def totals(
        self, subject: Subject, period: Period, by: Sequence[str] = (), where: Mapping[str, str] | None = None
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
            limit=MAX_GROUPS,
        )
        parts: dict[Labels, dict[str, Histogram]] = {}
        for group in found.groups:
            histogram = _merged(group)
            if not histogram.count:
                continue
            key = tuple(group.labels[name] for name in by)
            parts.setdefault(key, {})[group.labels[subject.outcome]] = histogram
        figures = [_figures(key, outcomes, period.seconds) for key, outcomes in parts.items()]
        return sorted(figures, key=lambda each: (-each.calls, each.key))

    def total(self, subject: Subject, period: Period, where: Mapping[str, str] | None = None) -> Figures:
        """Return the figures of all calls of a period."""
        found = self.totals(subject, period, (), where)
        return found[0] if found else _figures((), {}, period.seconds)

    def timelines(
        self,
        subject: Subject,
        period: Period,
        by: Sequence[str] = (),
        where: Mapping[str, str] | None = None,
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
            limit=limit if by else MAX_GROUPS,
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
        where: Mapping[str, str] | None = None,
        *,
        limit: int = 10,
    ) -> Numbers:
        """Return calls per second over time by group, the one with the most calls first; see `timelines`."""
        found = self._store.read(
            subject.metric,
            period.start,
            period.end,
            step=period.step,
            where=where or {},
            by=by,
            limit=limit,
            values="count",
        )
        groups = [
            (tuple(group.labels[name] for name in by), _per_second(group.values, found.start, found.step, period.until))
            for group in found.groups
        ]
        return Numbers(start=found.start, step=found.step, groups=groups)

    def timeline(self, subject: Subject, period: Period, where: Mapping[str, str] | None = None) -> Timeline:
        """Return all calls over time, by outcome."""
        return self.timelines(subject, period, (), where)[0]

    def numbers(
        self,
        metric: str,
        period: Period,
        by: Sequence[str] = (),
        where: Mapping[str, str] | None = None,
        *,
        limit: int = 30,
    ) -> Numbers:
        """Return a counter as values per second, or a gauge, over time by group."""
        found = self._store.read(
            metric, period.start, period.end, step=period.step, where=where or {}, by=by, limit=limit
        )
        is_counter = found.metric is not None and found.metric.kind == "counter"
        lines: list[tuple[Labels, list[float | None]]] = []
        for group in found.groups:
            values = (
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
        where: Mapping[str, str] | None = None,
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

    def sums(
        self, metric: str, period: Period, by: Sequence[str], where: Mapping[str, str] | None = None
    ) -> dict[Labels, float]:
        """Return what was added to a counter in a period, or the last value of a gauge, by group."""
        found = self._store.read(
            metric, period.start, period.end, is_whole=True, where=where or {}, by=by, limit=MAX_GROUPS
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
        if each is None or isinstance(each, Histogram) or passed < min(step, _LEAST_S):
            found.append(None)
        else:
            found.append(each / passed)
    return found


def _merged(group: StoredGroup) -> Histogram:
    return Histogram.merged(each for each in group.values if isinstance(each, Histogram))


def _as_histogram(value: Histogram | float | None) -> Histogram | None:
    return value if isinstance(value, Histogram) else None


def resampled(
    values: Sequence[float | None], start: float, step: float, timeline: Timeline, count: int
) -> list[float | None]:
    """Return values at the steps of a timeline; those of longer steps are repeated.

    Args:
        values: the values.
        start: start of their first step, moved to that of the timeline.
        step: length of their steps in seconds.
        timeline: the timeline.
        count: number of its steps.
    """
    found: list[float | None] = []
    for index in range(count):
        at = int((timeline.start + index * timeline.step - start) // step)
        found.append(values[at] if 0 <= at < len(values) else None)
    return found


def title_of(key: Sequence[str], default: str = "all") -> str:
    """Return the title of a group."""
    if all(each == OTHER for each in key) and key:
        return "others"
    return " ".join(each or "unknown" for each in key) or default
