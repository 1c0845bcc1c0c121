"""The screen: lines of styled text for a table, a view and a size. It knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.tools.top.columns import NAME, SUBJECTS, Column, columns_of, name_text, short_duration, title_of
from idlrt.tools.top.table import Row, Table
from idlrt.tools.top.text import fit, shorten, width
from idlrt.tools.top.view import DIMENSION_KEYS, SIDE_ORDER, Shown, View, dimensions_of
from idlrt.web.formats import NONE, number, rate, share, time_of_day

__all__ = ["HELP", "Line", "Screen", "Style", "draw", "summary"]

Style: TypeAlias = Literal["", "strong", "title", "selected", "bad", "dim", "core"]
"""How a piece of text looks."""

Line: TypeAlias = Sequence[tuple[str, Style]]
"""Pieces of text with their styles, from left to right."""

_LEAST_NAME: Final = 20
_MOST_NAME: Final = 60
_MAX_FAILED: Final = 2
_CORE_DIMENSIONS: Final = ("method", "service")

HELP: Final = (
    ("m s i c t e z", "by method, service, instance, caller, target, status, zone"),
    ("Tab", "next side: server, client, attempt, feature, resource"),
    ("j k \u2191 \u2193 PgUp PgDn", "select a row"),
    ("Enter", "split up the selected row: a method by instance, ..."),
    ("Backspace", "go back"),
    ("< > \u2190 \u2192", "sort by the column to the left, to the right"),
    ("r", "reverse the order"),
    ("a", "figures since the start, or of the last interval"),
    ("/", "filter rows by text; Enter applies it, Esc cancels"),
    ("p", "pause, and go on"),
    ("+ -", "longer, shorter interval"),
    ("q", "quit"),
)
"""Keys, and their effects."""


class Screen(msgspec.Struct, frozen=True):
    """A drawn screen.

    Attributes:
        lines: its lines, at most as many as fit.
        shown: rows and columns that are visible, for `press`.
    """

    lines: Sequence[Line]
    shown: Shown


def draw(table: Table, view: View, columns: int, rows: int) -> Screen:
    """Return the screen.

    Args:
        table: the table.
        view: the view of it.
        columns: width in cells.
        rows: height in lines.
    """
    head = _head(table, view, columns)
    body = max(rows - len(head) - 2, 1)
    gap = 2 if columns >= 110 else 1
    longest = max((width(name_text(each.name)) + 2 for each in table.rows), default=0)
    wanted = max(min(longest, _MOST_NAME), _LEAST_NAME)
    numbers = columns_of(table, columns - _LEAST_NAME, gap)
    # Long names take the space of columns that are not needed as much, but not of the important ones.
    wider = [each for each in columns_of(table, columns - wanted, gap) if each in numbers]
    if len(wider) >= min(len(numbers), 7):
        numbers = wider
    space = columns - sum(each.width + gap for each in numbers)
    names = min(space, wanted)
    at = view.position(table.names)
    top = max(min(at - body // 2, len(table.rows) - body), 0)
    lines = [*head, _titles(view, numbers, names, gap)]
    for position, row in enumerate(table.rows[top : top + body], top):
        lines.append(_row(row, numbers, names, gap, columns, view.by, is_selected=position == at))
    if not table.rows:
        why = "no row matches the filter" if table.count else f"no {SUBJECTS[view.side]} yet"
        lines.append([("  " + shorten(why, columns - 2), "dim")])
    if view.is_help:
        lines = [*head, *_help(columns)]
    lines = lines[: max(rows - 1, 0)]
    lines += [[]] * (rows - 1 - len(lines))
    lines.append(_foot(table, view, columns, top, body))
    return Screen(
        [_cut(each, columns) for each in lines[:rows]], Shown(table.names, [NAME, *(each.key for each in numbers)])
    )


def summary(table: Table) -> list[str]:
    """Return the sums as short texts: instances, period, calls per second, errors, in flight and percentiles."""
    up = sum(each.is_up for each in table.readings)
    period = "since the start" if table.period_s is None else f"last {table.period_s:.3g} s"
    figures = table.total.figures
    errors = NONE if figures.error_rate is None else share(figures.error_rate)
    found = [f"{up} of {len(table.readings)} up", period, f"{rate(figures.qps)} calls/s", f"errors {errors}"]
    if table.total.in_flight is not None:
        found.append(f"in flight {number(table.total.in_flight)}")
    return [*found, f"p50 {short_duration(figures.p50_s)}", f"p99 {short_duration(figures.p99_s)}"]


def _head(table: Table, view: View, columns: int) -> list[Line]:
    sums = summary(table)
    every = f"every {view.interval:g} s"
    left = f"idlrt monitor top  {time_of_day(table.at)} UTC  {sums[0]}  {every}"
    left += "  since the start" if table.period_s is None else ""
    mark = "  PAUSED" if view.is_paused else ""
    first: Line = [(shorten(left, columns - len(mark)), "strong"), (mark, "bad")]
    has_errors = bool(table.total.figures.errors)
    pieces: list[tuple[str, Style]] = [(f"{SUBJECTS[view.side]}:", "")]
    for text in sums[2:]:
        pieces.append((f"  {text}", "bad" if has_errors and text.startswith("errors") else ""))
    lines = [first, _clip(pieces, columns)]
    where = "".join(f"  {name} {name_text(value)}" for name, value in view.where)
    path = f"by {view.by}" + (f"  of{where}" if where else "")
    path += f"  filter {view.filter!r}" if view.filter else ""
    lines.append([(fit(path, columns), "")])
    if view.by != "instance":
        failed = table.failed
        for each in failed[: _MAX_FAILED if len(failed) <= _MAX_FAILED else 1]:
            lines.append([(shorten(f"! {each.name}: {each.error}", columns), "bad")])
        if len(failed) > _MAX_FAILED:
            lines.append([(shorten(f"! {len(failed) - 1} more instances not readable; press i", columns), "bad")])
    return lines


def _cut(line: Line, columns: int) -> Line:
    """Cut a line to a width, for terminals that are too narrow for anything."""
    found: list[tuple[str, Style]] = []
    for text, style in line:
        kept = shorten(text, columns)
        columns -= width(kept)
        if kept:
            found.append((kept, style))
    return found


def _clip(pieces: Sequence[tuple[str, Style]], columns: int) -> Line:
    """Leave out the pieces at the end that do not fit."""
    kept: list[tuple[str, Style]] = []
    for text, style in pieces:
        columns -= width(text)
        if columns < 0:
            break
        kept.append((text, style))
    return kept


def _titles(view: View, numbers: Sequence[Column], names: int, gap: int) -> Line:
    order = "\u25b2" if view.is_reversed != (view.sort == NAME) else "\u25bc"
    title = f"  {title_of(view.side, view.by)}"
    pieces: list[tuple[str, Style]] = [(fit(title + (order if view.sort == NAME else ""), names), "title")]
    for each in numbers:
        text = each.title + (order if each.key == view.sort else "")
        pieces.append((" " * gap + fit(text, each.width, is_right=True), "title"))
    return pieces


def _row(
    row: Row, numbers: Sequence[Column], names: int, gap: int, columns: int, by: str, *, is_selected: bool
) -> Line:
    is_core = row.figures.is_core and by in _CORE_DIMENSIONS
    mark = "* " if is_core else "  "
    name = mark + fit(name_text(row.name), names - 2, keep_end=True)
    base: Style = "selected" if is_selected else ""
    if row.error:
        return [(name, base), (fit(" " * gap + row.error, max(columns - names, 0)), base or "bad")]
    pieces: list[tuple[str, Style]] = [(name, base or ("core" if is_core else ""))]
    for each in numbers:
        style = base
        if not base and each.key == "errors" and row.figures.errors:
            style = "bad"
        pieces.append((" " * gap + fit(each.text(row), each.width, is_right=True), style))
    return pieces


def _help(columns: int) -> list[Line]:
    wide = max(width(keys) for keys, _ in HELP)
    lines: list[Line] = [[]]
    for keys, text in HELP:
        lines.append([(f"  {fit(keys, wide)}  ", "strong"), (shorten(text, columns - wide - 4), "")])
    for note in ("* core method or service; PV: calls since the start of the instances", "press any key to go on"):
        lines.append([])
        lines.append([(shorten(f"  {note}", columns), "dim")])
    return lines


def _foot(table: Table, view: View, columns: int, top: int, body: int) -> Line:
    if view.typed is not None:
        return [(shorten(f"filter: {view.typed}_", columns, keep_end=True), "strong")]
    if view.message:
        return [(shorten(view.message, columns), "bad")]
    shown = len(table.rows)
    place = f"{top + 1}-{min(top + body, shown)} of {shown}  " if shown > body else ""
    by = " ".join(key for key, name in DIMENSION_KEYS.items() if name in dimensions_of(view.side))
    after = SIDE_ORDER[(SIDE_ORDER.index(view.side) + 1) % len(SIDE_ORDER)]
    text = f"{place}? help  q quit  Enter open  Tab {after}  / filter  < > sort  {by} group"
    return [(fit(text, columns - 1), "dim")]
