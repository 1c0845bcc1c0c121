"""Plots over time. Their data are in a table of the page, which shows the same values without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from idlrt.web.formats import Unit

__all__ = ["Plot", "PlotSeries"]


class PlotSeries(msgspec.Struct, frozen=True):
    """A line of a plot. Lines differ by color and dashes.

    Attributes:
        column: key of the column with the values.
        title: name of the line.
    """

    column: str
    title: str


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A plot.

    Attributes:
        id: identifier, unique on the page.
        title: heading.
        unit: unit of the values.
        table: identifier of the table with the data. Its first column is the time.
        series: at most four lines.
        span_s: seconds that the plot shows, until the latest time of the table.
    """

    id: str
    title: str
    unit: Unit
    table: str
    series: Sequence[PlotSeries]
    span_s: float

    @property
    def columns(self) -> str:
        """Keys of the columns, separated by blanks."""
        return " ".join(each.column for each in self.series)
