"""Plots of calls: rate, errors, percentiles, distribution of durations, and outcomes over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from idlrt.collector.pages.figures import Numbers, Timeline, resampled, title_of
from idlrt.observe.figures import GOOD
from idlrt.observe.histogram import Histogram
from idlrt.web import HeatMap, Line, Mark, TimePlot
from idlrt.web.formats import Unit

__all__ = ["Comparison", "call_plots", "heat_map", "percentile_plot", "percentile_values", "rate_plot"]

_QUANTILES: Final = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
_BOUNDS: Final = (*(1e-4 * 2**power for power in range(19)), math.inf)
_LEAST_ROWS: Final = 6
_MAX_CODES: Final = 8


class Comparison(msgspec.Struct, frozen=True):
    """An earlier period that a plot shows beside the present one.

    Attributes:
        title: `yesterday`.
        seconds: by how much it is earlier.
        timeline: its calls.
    """

    title: str
    seconds: float
    timeline: Timeline

    def at_steps_of(self, timeline: Timeline, values: Sequence[float | None], count: int) -> list[float | None]:
        """Return values of the earlier period at the steps of the present one."""
        return resampled(values, self.timeline.start + self.seconds, self.timeline.step, timeline, count)


def call_plots(
    timeline: Timeline, marks: Sequence[Mark], *, examples: str = "", compared: Comparison | None = None
) -> list[TimePlot | HeatMap]:
    """Return the plots of a group of calls.

    Args:
        timeline: the calls by outcome.
        marks: marks of the period.
        examples: URL of example traces; see `TimePlot`.
        compared: an earlier period.
    """
    start, step = timeline.start, timeline.step
    whole = timeline.durations()
    earlier = compared.timeline.durations() if compared is not None else []
    rates = [Line("calls", timeline.rates(whole))]
    errors = [Line("errors", timeline.error_rates())]
    durations = [Line(title, percentile_values(whole, quantile)) for quantile, title in _QUANTILES]
    if compared is not None:
        shown = ((rates, "", compared.timeline.rates(earlier)), (errors, "", compared.timeline.error_rates()))
        for lines, name, values in (*shown, (durations, "p99 ", percentile_values(earlier, 0.99))):
            lines.append(Line(name + compared.title, compared.at_steps_of(timeline, values, len(whole))))
    failed = f"{examples}failed=yes&" if examples else ""
    slow = f"{examples}order=slowest&" if examples else ""

    def plot(id: str, title: str, unit: Unit, lines: Sequence[Line], link: str) -> TimePlot:
        return TimePlot(id=id, title=title, unit=unit, start=start, step=step, lines=lines, marks=marks, examples=link)

    plots: list[TimePlot | HeatMap] = [
        plot("calls", "Calls per second", "rate", rates, examples),
        plot("errors", "Error rate", "share", errors, failed),
        plot("durations", "Duration", "duration", durations, slow),
        heat_map(whole, start, step, marks, slow),
    ]
    bad = sorted(
        (outcome for outcome in timeline.by_outcome if outcome not in GOOD),
        key=lambda outcome: -sum(each.count for each in timeline.by_outcome[outcome] if each is not None),
    )
    if bad:
        lines = [Line(outcome, timeline.rates(timeline.by_outcome[outcome])) for outcome in bad[:_MAX_CODES]]
        plots.append(plot("codes", "Errors per second by code", "rate", lines, failed))
    return plots


def percentile_values(values: Sequence[Histogram | None], quantile: float) -> list[float | None]:
    """Return a percentile in seconds by step; `None` without calls."""
    return [each.percentile(quantile) if each is not None and each.count else None for each in values]


def rate_plot(
    id: str,
    title: str,
    rates: Numbers,
    marks: Sequence[Mark],
    link: Callable[[str], str] | None = None,
) -> TimePlot:
    """Return calls per second by group.

    Args:
        id: identifier of the plot.
        title: heading.
        rates: calls per second.
        marks: marks of the period.
        link: returns the link of a group, from the last value of its key.
    """
    lines: list[Line] = []
    for key, values in rates.groups:
        name = title_of(key)
        lines.append(Line(name, values, link(key[-1]) if link is not None and name != "others" else ""))
    return TimePlot(id=id, title=title, unit="rate", start=rates.start, step=rates.step, lines=lines, marks=marks)


def percentile_plot(id: str, title: str, timelines: Sequence[Timeline], marks: Sequence[Mark]) -> TimePlot:
    """Return the 99th percentile by group."""
    lines = [Line(title_of(each.key), percentile_values(each.durations(), 0.99)) for each in timelines]
    start, step = (timelines[0].start, timelines[0].step) if timelines else (0.0, 10.0)
    return TimePlot(id=id, title=title, unit="duration", start=start, step=step, lines=lines, marks=marks)


def heat_map(
    durations: Sequence[Histogram | None], start: float, step: float, marks: Sequence[Mark], examples: str
) -> HeatMap:
    """Return the distribution of durations over time, without rows that have no calls at both ends."""
    counts: list[list[int] | None] = []
    for each in durations:
        if each is None:
            counts.append(None)
            continue
        cumulative = each.at_most(_BOUNDS)
        counts.append([high - low for low, high in zip((0, *cumulative), cumulative, strict=False)])
    used = [row for row in range(len(_BOUNDS)) if any(each is not None and each[row] for each in counts)]
    low, high = (min(used), max(used)) if used else (0, _LEAST_ROWS)
    low = max(min(low, high - _LEAST_ROWS + 1), 0)
    high = min(max(high, low + _LEAST_ROWS - 1), len(_BOUNDS) - 1)
    return HeatMap(
        id="heat",
        title="Calls by duration",
        start=start,
        step=step,
        bounds=_BOUNDS[low : high + 1],
        counts=[None if each is None else each[low : high + 1] for each in counts],
        marks=marks,
        examples=examples,
    )
