"""Figures of a window of time, by group.

A program reports every 10 s, so the newest cell is complete once reports of its end have had time to arrive. A gap in
which no program of a group has reported is no time without calls: rates are per second of the time between the first
and the last report. Counters are cumulative, so a gap between two reports is in the second one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.collector.alerts.rules import RESOURCE_KEYS, label_of
from idlrt.collector.store import CellStore, Result
from idlrt.collector.store.values import REPORTS
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER, Metric

__all__ = ["CELL_S", "DELAY_S", "Figures", "Key", "Windows", "end_of_window"]

CELL_S: Final = 10.0
"""Length of the finest cells, in seconds."""

DELAY_S: Final = 3.0
"""Seconds after the end of a cell in which reports of it arrive."""

_MAX_GROUPS: Final = 10_000
_HOUR: Final = 3600.0
# Longest window for cells of each length.
_STEPS: Final = ((600.0, 10), (2 * _HOUR, 60), (24 * _HOUR, 600), (math.inf, 3600))

_COMBINE: Final[Mapping[str, Callable[[Iterable[float]], float]]] = {"sum": sum, "max": max, "min": min}

Key: TypeAlias = tuple[str, ...]
"""Values of the labels that a rule has in `by`."""


def end_of_window(now: float) -> float:
    """Return the end of the newest cell that is complete."""
    return math.floor((now - DELAY_S) / CELL_S) * CELL_S


class Figures(msgspec.Struct, kw_only=True):
    """Figures of one group in a window.

    Attributes:
        count: number of values of histograms, or what was added to counters.
        parts: the same by outcome; empty without outcomes.
        histograms: durations, in parts that are to be merged; by outcome.
        known_s: time between the first and the last report, in seconds.
        last: last value of a gauge.
    """

    count: float = 0.0
    parts: dict[str, float] = {}
    histograms: dict[str, list[Histogram]] = {}
    known_s: float = 0.0
    last: float | None = None

    def merged(self, outcomes: Collection[str] | None = None) -> Histogram:
        """Return the durations with these outcomes; `None` for all."""
        found = self.histograms.items()
        return Histogram.merged(part for name, parts in found if outcomes is None or name in outcomes for part in parts)

    @property
    def per_second(self) -> float:
        """Count per second."""
        return self.count / self.known_s if self.known_s else 0.0


class Windows:
    """Reads windows of a store.

    Args:
        store: the store.
        now: clock, in seconds since 1970.
    """

    def __init__(self, store: CellStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    def read(
        self,
        metric: str,
        start: float,
        end: float,
        where: Mapping[str, str],
        by: Sequence[str],
        outcome: str = "",
        *,
        has_durations: bool = True,
    ) -> tuple[Metric | None, dict[Key, Figures]]:
        """Return the metric, and figures by group. Groups in which nothing was measured are absent.

        Args:
            metric: its name.
            start: start of the window in seconds since 1970.
            end: end of the window.
            where: values that keys of the resource and labels must have.
            by: keys of the resource and labels by which figures are grouped.
            outcome: label of the outcome, if figures by outcome are wanted; else empty.
            has_durations: whether to read durations, which take longer than their numbers.

        Raises:
            ConfigurationError: an argument is out of range, or the file is damaged.
            StoreError: the file cannot be read at present.
        """
        names = tuple(label_of(each, metric) for each in by)
        selected = {label_of(name, metric): value for name, value in where.items()}
        is_split = bool(outcome) and outcome not in names
        asked = (*names, outcome) if is_split else names
        step = next(length for longest, length in _STEPS if end - start <= longest)
        values: Literal["full", "count"] = "full" if has_durations else "count"
        found = self._store.read(
            metric,
            start,
            end,
            step=None if has_durations else step,
            where=selected,
            by=asked,
            limit=_MAX_GROUPS,
            values=values,
            is_whole=has_durations,
            has_others=False,
        )
        if found.metric is not None and found.metric.kind == "gauge":
            return found.metric, self._gauges(metric, start, end, selected, names, found.metric)
        return found.metric, _sums(found, start, end, names, outcome, self._now())

    def _gauges(
        self, metric: str, start: float, end: float, where: Mapping[str, str], by: Key, about: Metric
    ) -> dict[Key, Figures]:
        """Return the last values of gauges, of each program first: they do not all report in the same cell."""
        asked = by if "instance" in by else (*by, "instance")
        found = self._store.read(metric, start, end, step=CELL_S, where=where, by=asked, limit=_MAX_GROUPS)
        lasts: dict[Key, list[float]] = {}
        for group in found.groups:
            known = [each for each in group.values if isinstance(each, int | float)]
            key = tuple(group.labels[name] for name in by)
            if known and not _is_other(key):
                lasts.setdefault(key, []).append(known[-1])
        combine = _COMBINE[about.merge]
        return {key: Figures(last=combine(values)) for key, values in lasts.items()}

    def reports(self, start: float, end: float, where: Mapping[str, str], by: Sequence[str]) -> dict[Key, float]:
        """Return the seconds between the first and the last report, by group of programs that have reported.

        Args:
            start: start of the window in seconds since 1970.
            end: end of the window.
            where: values that keys of the resource must have; others are ignored.
            by: keys of the resource by which programs are grouped.
        """
        selected = {name: value for name, value in where.items() if name in RESOURCE_KEYS}
        step = next(length for longest, length in _STEPS if end - start <= longest)
        found = self._store.read(REPORTS.name, start, end, step=step, where=selected, by=tuple(by), limit=_MAX_GROUPS)
        spans = {
            tuple(each.labels[name] for name in by): _span(found, each.values, start, end) for each in found.groups
        }
        return {key: seconds for key, seconds in spans.items() if seconds and not _is_other(key)}


def _is_other(key: Key) -> bool:
    """Whether a group has what is too much for the store, or for one rule."""
    return bool(key) and set(key) == {OTHER}


def _sums(found: Result, start: float, end: float, by: Key, outcome: str, now: float) -> dict[Key, Figures]:
    """Return the sums of counters and histograms. Cells that are in the window in part count in part."""
    shares = [seconds / found.step for seconds in _overlaps(found, start, end)]
    if found.start + found.step * found.steps > end_of_window(now):
        # The last step is not over yet: all that it has is of before.
        shares[-1] = 1.0
    groups: dict[Key, Figures] = {}
    for group in found.groups:
        key = tuple(group.labels[name] for name in by)
        if _is_other(key):
            continue
        known_s = _span(found, group.values, start, end)
        if not known_s:
            continue
        figures = groups.setdefault(key, Figures(parts={}, histograms={}))
        figures.known_s = max(figures.known_s, known_s)
        status = group.labels.get(outcome, "") if outcome else ""
        for share, value in zip(shares, group.values, strict=True):
            if value is None or not share:
                continue
            number = value.count if isinstance(value, Histogram) else value
            figures.count += number * share
            figures.parts[status] = figures.parts.get(status, 0.0) + number * share
            if isinstance(value, Histogram) and value.count:
                figures.histograms.setdefault(status, []).append(value)
    return groups


def _overlaps(found: Result, start: float, end: float) -> list[float]:
    """Return the seconds that each step has in the window."""
    begins = [found.start + at * found.step for at in range(found.steps)]
    return [max(min(begin + found.step, end) - max(begin, start), 0.0) for begin in begins]


def _span(found: Result, values: Sequence[object], start: float, end: float) -> float:
    """Return the seconds in the window from the first to the last step with a value."""
    overlaps = _overlaps(found, start, end)
    known = [at for at, value in enumerate(values) if value is not None and overlaps[at]]
    return sum(overlaps[known[0] : known[-1] + 1]) if known else 0.0
