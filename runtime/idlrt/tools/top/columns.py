"""Columns of the table, and their numbers as short text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from idlrt.tools.top.table import Row, Table
from idlrt.web.formats import NONE, duration, number, rate, share

__all__ = ["COLUMNS", "NAME", "SUBJECTS", "TITLES", "Column", "columns_of", "name_text", "short_duration", "title_of"]

NAME: Final = "name"
"""Key of the column with the names."""

TITLES: Final = {
    ("feature", "method"): "FEATURE",
    ("resource", "method"): "OPERATION",
    ("resource", "service"): "SYSTEM",
}
"""Titles of dimensions that have another name on a side."""

SUBJECTS: Final = {
    "server": "server calls",
    "client": "client calls",
    "attempt": "client attempts",
    "feature": "features",
    "resource": "resource operations",
}
"""Noun for the subject of each side."""

_SHORT_S: Final = 60.0
_DAY_S: Final = 86_400


class Column(msgspec.Struct, frozen=True):
    """A column with numbers.

    Attributes:
        key: its name for sorting.
        title: its title.
        width: number of characters.
        text: returns its text for a row.
        rank: columns with a high rank are left out first where there is no space.
    """

    key: str
    title: str
    width: int
    text: Callable[[Row], str]
    rank: int


def _count(value: float | None) -> str:
    if value is None:
        return NONE
    for limit, size, unit in ((1e12, 1e9, "G"), (1e9, 1e6, "M")):
        if value >= limit:
            return f"{number(value / size)}{unit}"
    return number(value) if value < 1e8 else f"{number(value / 1e3)}k"


def _rate(value: float) -> str:
    return rate(value) if value < 1e6 else f"{rate(value / 1e3)}k"


def _percent(value: float | None) -> str:
    if value is None:
        return NONE
    return "<0.01" if 0 < value < 1e-4 else share(value).removesuffix(" %")


def short_duration(value: float | None) -> str:
    """Return a duration in at most 7 characters: `850 µs`, `12.3 ms`, `4,398 s`."""
    if value is None:
        return NONE
    return duration(value) if value < _SHORT_S else f"{value:,.0f} s"


def _uptime(value: float | None) -> str:
    if value is None:
        return NONE
    days = int(value // _DAY_S)
    return f"{days:,} d" if days >= 100 else duration(round(value)) if value >= 1 else "0 s"


COLUMNS: Final = (
    Column("pv", "PV", 11, lambda row: _count(row.pv), 4),
    Column("qps", "QPS", 7, lambda row: _rate(row.figures.qps), 0),
    Column("errors", "ERR%", 6, lambda row: _percent(row.figures.error_rate), 1),
    Column("in_flight", "FLIGHT", 6, lambda row: _count(row.in_flight), 6),
    Column("avg", "AVG", 7, lambda row: short_duration(row.figures.average_s), 9),
    Column("p50", "P50", 7, lambda row: short_duration(row.figures.p50_s), 3),
    Column("p90", "P90", 7, lambda row: short_duration(row.figures.p90_s), 7),
    Column("p99", "P99", 7, lambda row: short_duration(row.figures.p99_s), 2),
    Column("p999", "P99.9", 7, lambda row: short_duration(row.figures.p999_s), 10),
    Column("max", "MAX", 7, lambda row: short_duration(row.figures.max_s), 5),
    Column("uptime", "UPTIME", 11, lambda row: _uptime(row.uptime_s), 8),
)
"""All columns with numbers, from left to right."""


def columns_of(table: Table, space: int | None = None, gap: int = 1) -> list[Column]:
    """Return the columns that have numbers in a table and fit.

    Args:
        table: the table.
        space: number of characters for these columns; `None` for as many as necessary.
        gap: number of characters between columns.
    """
    known = [
        each
        for each in COLUMNS
        if (each.key != "in_flight" or any(row.in_flight is not None for row in table.rows))
        and (each.key != "uptime" or any(row.uptime_s is not None for row in table.rows))
    ]
    if space is None:
        return known
    kept: list[str] = []
    for each in sorted(known, key=lambda each: each.rank):
        space -= each.width + gap
        if space < 0:
            break
        kept.append(each.key)
    return [each for each in known if each.key in kept]


def title_of(side: str, by: str) -> str:
    """Return the title of the column with the names."""
    return TITLES.get((side, by)) or by.upper()


def name_text(name: str) -> str:
    """Return the name of a row, where an empty one is unknown."""
    return name or "(unknown)"
