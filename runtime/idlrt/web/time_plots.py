"""Plots over time whose values are in the page as JSON, for more lines and steps than a table of the page can have.

The page shows the values of a plot as a table if its view state asks for it (`?table=ID`): readers without JavaScript,
and screen readers, have all values, and pages stay small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from idlrt.web.formats import Unit, duration
from idlrt.web.tables import Column, Link, Table
from idlrt.web.view_state import ViewState

__all__ = ["MAX_LINES", "TABLE", "HeatMap", "Line", "Mark", "TimePlot"]

MAX_LINES: Final = 30
"""Maximum number of lines of a plot."""

TABLE: Final = "table"
"""View parameter with the identifier of the plot whose values are shown as a table."""

_COLORS: Final = 8
_DIGITS: Final = 5
_DAY: Final = 86_400


class Mark(msgspec.Struct, frozen=True):
    """Something that happened, shown as a line across plots.

    Attributes:
        at: time in seconds since 1970.
        text: description.
    """

    at: float
    text: str


class Line(msgspec.Struct, frozen=True):
    """A line of a plot.

    Attributes:
        title: name of the line.
        values: one value for each step; `None` for a gap.
        href: link of the title; empty for none.
    """

    title: str
    values: Sequence[float | None]
    href: str = ""


class _Timed(msgspec.Struct, frozen=True, kw_only=True):
    """Base of plots over time.

    Attributes:
        id: identifier, unique on the page.
        title: heading.
        start: start of the first step, in seconds since 1970.
        step: length of a step in seconds.
        marks: what happened in that time.
        examples: URL of the page with examples of a step, to which `start=...&end=...` is added; empty for none.
    """

    id: str
    title: str
    start: float
    step: float
    marks: Sequence[Mark] = ()
    examples: str = ""

    def _at(self, index: int) -> float:
        return self.start + index * self.step

    def _time_of(self, index: int, span_s: float) -> Link | str:
        at = datetime.fromtimestamp(self._at(index), UTC)
        text = at.strftime("%Y-%m-%d %H:%M:%S" if span_s > _DAY else "%H:%M:%S")
        if not self.examples:
            return text
        return Link(text, f"{self.examples}start={self._at(index):.0f}&end={self._at(index + 1):.0f}")

    def _marks_of(self, index: int) -> str:
        low, high = self._at(index), self._at(index + 1)
        return "; ".join(each.text for each in self.marks if low <= each.at < high)


class TimePlot(_Timed, frozen=True, kw_only=True):
    """Lines over time.

    Attributes:
        unit: unit of the values.
        lines: at most `MAX_LINES`; further ones are not drawn.
        note: what is to be known about the lines, such as how many are not shown.
    """

    unit: Unit
    lines: Sequence[Line]
    note: str = ""

    kind = "lines"

    @property
    def shown(self) -> Sequence[Line]:
        """The lines that are drawn."""
        return self.lines[:MAX_LINES]

    @property
    def styles(self) -> list[str]:
        """Classes of the lines in the legend: 8 colors with 4 patterns each."""
        return [f"color-{at % _COLORS + 1} pattern-{at // _COLORS + 1}" for at in range(len(self.shown))]

    @property
    def data(self) -> str:
        """The plot as JSON, for the script of the kit."""
        return _json(
            {
                "start": self.start,
                "step": self.step,
                "titles": [each.title for each in self.shown],
                "values": [[_rounded(value) for value in each.values] for each in self.shown],
                "marks": [[each.at, each.text] for each in self.marks],
            }
        )

    def table(self, state: ViewState) -> Table | None:
        """Return the values as a table, the latest first; `None` if the view state does not ask for them."""
        if state[TABLE] != self.id:
            return None
        columns = [Column(key="at", title="Time (UTC)", is_sortable=False)]
        columns += [
            Column(key=str(at), title=each.title, unit=self.unit, is_sortable=False)
            for at, each in enumerate(self.shown)
        ]
        if self.marks:
            columns.append(Column(key="marks", title="Marks", is_sortable=False))
        size = max((len(each.values) for each in self.shown), default=0)
        rows: list[Mapping[str, Any]] = []
        for index in reversed(range(size)):
            row: dict[str, Any] = {"at": self._time_of(index, size * self.step), "marks": self._marks_of(index)}
            for at, each in enumerate(self.shown):
                row[str(at)] = each.values[index] if index < len(each.values) else None
            rows.append(row)
        return Table(id=f"{self.id}-values", caption=self.title, columns=columns, rows=rows, parameter="", is_tall=True)


class HeatMap(_Timed, frozen=True, kw_only=True):
    """Distribution of durations over time.

    Attributes:
        bounds: upper bounds of the rows in seconds, the lowest first; the last one is infinite.
        counts: for each step, the number of values of each row; `None` for a gap.
    """

    bounds: Sequence[float]
    counts: Sequence[Sequence[int] | None]

    kind = "heat"
    unit = "number"
    note = ""
    shown: Sequence[Line] = ()
    styles: Sequence[str] = ()

    @property
    def data(self) -> str:
        """The plot as JSON, for the script of the kit."""
        return _json(
            {
                "start": self.start,
                "step": self.step,
                "titles": self._titles(),
                "counts": self.counts,
                "marks": [[each.at, each.text] for each in self.marks],
            }
        )

    def _titles(self) -> list[str]:
        lows = [0.0, *self.bounds[:-1]]
        return [
            f"over {duration(low)}" if high == math.inf else f"up to {duration(high)}"
            for low, high in zip(lows, self.bounds, strict=True)
        ]

    def table(self, state: ViewState) -> Table | None:
        """Return the values as a table, the latest first; `None` if the view state does not ask for them."""
        if state[TABLE] != self.id:
            return None
        columns = [Column(key="at", title="Time (UTC)", is_sortable=False)]
        columns += [
            Column(key=str(at), title=title, unit="number", is_sortable=False)
            for at, title in enumerate(self._titles())
        ]
        rows: list[Mapping[str, Any]] = []
        for index in reversed(range(len(self.counts))):
            row: dict[str, Any] = {"at": self._time_of(index, len(self.counts) * self.step)}
            found = self.counts[index]
            row |= {str(at): None if found is None else found[at] for at in range(len(self.bounds))}
            rows.append(row)
        return Table(id=f"{self.id}-values", caption=self.title, columns=columns, rows=rows, parameter="", is_tall=True)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _rounded(value: float | None) -> float | int | None:
    """Return a value with few digits, because pages have thousands of them."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
