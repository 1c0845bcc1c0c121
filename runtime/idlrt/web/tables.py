"""Tables: columns with units, and rows of plain values, which are sorted on the server, so links can sort them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from idlrt.web.formats import Unit

__all__ = ["Badge", "Column", "Level", "Link", "Table"]

Level: TypeAlias = Literal["good", "warning", "bad"]
"""Meaning of a badge, which has a mark beside its color."""

_MARKS: Final[Mapping[Level, str]] = {"good": "✓", "warning": "!", "bad": "✕"}


class Link(msgspec.Struct, frozen=True):
    """A value that links to a page.

    Attributes:
        text: the text, by which it is sorted.
        href: URL relative to the page.
        is_current: whether it is what the page shows.
        note: text after the link.
    """

    text: str
    href: str
    is_current: bool = False
    note: str = ""

    def __str__(self) -> str:
        return self.text


class Badge(msgspec.Struct, frozen=True):
    """A state, with a mark and a color.

    Attributes:
        text: the text, by which it is sorted.
        level: its meaning.
    """

    text: str
    level: Level

    @property
    def mark(self) -> str:
        """Symbol of the level."""
        return _MARKS[self.level]

    def __str__(self) -> str:
        return self.text


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column.

    Attributes:
        key: name of its values in the rows, and in the parameter that sorts.
        title: heading.
        unit: unit of numbers; `None` for text.
        is_sortable: whether the heading is a link that sorts by the column.
        help: explanation of the heading; shown when it is pointed at.
        has_bar: whether to show a share as a bar, too.
    """

    key: str
    title: str
    unit: Unit | None = None
    is_sortable: bool = True
    help: str = ""
    has_bar: bool = False


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table. The first column has the headings of the rows.

    Attributes:
        id: identifier, unique on the page.
        caption: name of the table for screen readers, and its order without `sort`.
        columns: columns.
        rows: values by key of the column.
        sort: key of the column to sort by, with `-` in front for descending; empty, or an unknown one, keeps the order
            of `rows`.
        parameter: query parameter that holds `sort`; empty if the table cannot be sorted.
        is_tall: whether it has many rows, and scrolls by itself.
        empty: text instead of a table without rows.
    """

    id: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    sort: str = ""
    parameter: str = "sort"
    is_tall: bool = False
    empty: str = "none"

    @property
    def sorted_rows(self) -> list[Mapping[str, Any]]:
        """The rows in order. Rows without a value are last, in both directions."""
        key = self.sort.removeprefix("-")
        if not any(each.key == key and each.is_sortable for each in self.columns):
            return list(self.rows)
        known = [each for each in self.rows if each.get(key) is not None]
        known.sort(key=lambda row: _order(row[key]), reverse=self.sort.startswith("-"))
        return known + [each for each in self.rows if each.get(key) is None]

    def aria_sort(self, column: Column) -> str:
        """Return the value of `aria-sort` of a heading; empty if the table is not sorted by the column."""
        if not self.parameter or self.sort.removeprefix("-") != column.key:
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"

    def next_sort(self, column: Column) -> str:
        """Return the value of the parameter after a click on a heading. Numbers begin with the largest."""
        first, second = (column.key, f"-{column.key}") if column.unit is None else (f"-{column.key}", column.key)
        return second if self.sort == first else first


def _order(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, value, ""
    return 1, 0.0, str(value).casefold()
