"""Plots of counters and gauges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from idlrt.collector.pages.figures import title_of
from idlrt.collector.pages.period import Period
from idlrt.collector.pages.reader import Reader
from idlrt.observe.metric import Labels
from idlrt.web import Line, Mark, TimePlot
from idlrt.web.formats import Unit

__all__ = ["number_plot"]


def number_plot(
    reader: Reader,
    period: Period,
    marks: Sequence[Mark],
    *,
    id: str,
    title: str,
    unit: Unit,
    metrics: Sequence[tuple[str, str]],
    by: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
    limit: int = 10,
) -> TimePlot | None:
    """Return a plot of counters, as values per second, or of gauges; `None` without values.

    Args:
        reader: reads the values.
        period: the period.
        marks: marks of the period.
        id: identifier of the plot.
        title: heading.
        unit: unit of the values.
        metrics: names of the metrics, each with the title of its lines; empty for those of the groups.
        by: labels and keys of the resource by which to group.
        where: values that these must have.
        limit: maximum number of groups of a metric.
    """
    lines: list[Line] = []
    start, step = period.start, float(period.step)
    for metric, name in metrics:
        numbers = reader.numbers(metric, period, by, where, limit=limit)
        if numbers.groups:
            # Metrics of one plot are of the same kind, and so of the same steps.
            start, step = numbers.start, numbers.step
        lines += [Line(_title(name, key), values) for key, values in numbers.groups]
    if not lines:
        return None
    return TimePlot(id=id, title=title, unit=unit, start=start, step=step, lines=lines, marks=marks)


def _title(name: str, key: Labels) -> str:
    group = title_of(key, "")
    return f"{name} {group}".strip() or "all"
