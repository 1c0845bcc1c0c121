"""View of the figures: side, dimension, filters, sort order and selection, and how keys change it.

A view is immutable, and `press` is a function of a view, a key and what is shown, so every state can be tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from idlrt.observe.figures import SIDES

__all__ = ["DIMENSION_KEYS", "INTERVALS", "SIDE_ORDER", "Level", "Shown", "View", "dimensions_of", "press"]

SIDE_ORDER: Final = ("server", "client", "attempt", "feature", "resource")
"""Sides in the order of the key Tab."""

DIMENSION_KEYS: Final[Mapping[str, str]] = {
    "m": "method",
    "s": "service",
    "i": "instance",
    "c": "caller",
    "t": "target",
    "e": "status",
    "z": "zone",
}
"""Keys of dimensions."""

INTERVALS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Intervals of the keys `+` and `-`, in seconds."""

_PAGE: Final = 10
# Where Enter leads: the first of these dimensions that is not fixed yet.
_DRILL: Final = ("method", "instance", "caller", "target", "kind", "origin", "status", "error")


class Level(msgspec.Struct, frozen=True):
    """Where Backspace leads back to."""

    by: str
    where: tuple[tuple[str, str], ...]
    selected: str


class Shown(msgspec.Struct, frozen=True):
    """State of the screen while a key is pressed.

    Attributes:
        names: names of the rows, in their order.
        columns: keys of the columns, in their order.
    """

    names: Sequence[str] = ()
    columns: Sequence[str] = ()


class View(msgspec.Struct, frozen=True, kw_only=True):
    """State of the screen.

    Attributes:
        side: what the figures are about, one of `SIDES`.
        by: dimension of the rows.
        where: values of other dimensions that calls must have.
        path: levels above this one, the nearest one last.
        sort: key of the column by which rows are sorted.
        is_reversed: whether the order is the opposite of the usual one: largest first, names from A to Z.
        filter: text that names must contain.
        typed: filter that is being typed; `None` if none is.
        selected: name of the selected row.
        index: its position when it was selected, for the time after it is gone.
        limit: maximum number of rows; 0 for all.
        interval: seconds between polls.
        is_paused: whether the figures do not change.
        is_help: whether the help is shown.
        is_since_start: whether figures are those since the start, not those of the last interval.
        message: note about the last key.
    """

    side: str = "server"
    by: str = "method"
    where: tuple[tuple[str, str], ...] = ()
    path: tuple[Level, ...] = ()
    sort: str = "qps"
    is_reversed: bool = False
    filter: str = ""
    typed: str | None = None
    selected: str = ""
    index: int = 0
    limit: int = 0
    interval: float = 1.0
    is_paused: bool = False
    is_help: bool = False
    is_since_start: bool = False
    message: str = ""

    def position(self, names: Sequence[str]) -> int:
        """Return the position of the selected row; 0 without rows."""
        if self.selected in names:
            return names.index(self.selected)
        return max(min(self.index, len(names) - 1), 0)


def dimensions_of(side: str) -> list[str]:
    """Return the dimensions by which figures of a side can be grouped with a key."""
    names = SIDES[side].names
    found = [each for each in DIMENSION_KEYS.values() if each in names or each in ("instance", "zone")]
    if side in ("server", "client", "attempt"):
        found.insert(1, "service")
    return found


def press(view: View, key: str, shown: Shown) -> View | None:
    """Return the view after a key; `None` to quit.

    Args:
        view: the view before.
        key: a character, or `up`, `down`, `left`, `right`, `page_up`, `page_down`, `home`, `end`, `enter`, `escape`,
            `backspace`, `tab`, `backtab`.
        shown: what is on the screen.
    """
    view = replace(view, message="")
    if view.typed is not None:
        return _type(view, view.typed, key)
    if key == "q":
        return None
    if view.is_help:
        return replace(view, is_help=False)
    if key in DIMENSION_KEYS:
        return _group(view, DIMENSION_KEYS[key])
    moved = _move(view, key, shown.names)
    if moved is not None:
        return moved
    return _change(view, key, shown)


def _type(view: View, typed: str, key: str) -> View:
    if key == "enter":
        return replace(view, filter=typed, typed=None)
    if key == "escape":
        return replace(view, typed=None)
    if key == "backspace":
        return replace(view, typed=typed[:-1])
    return replace(view, typed=typed + key) if len(key) == 1 and key.isprintable() else view


def _move(view: View, key: str, names: Sequence[str]) -> View | None:
    at = view.position(names)
    steps = {"up": at - 1, "k": at - 1, "down": at + 1, "j": at + 1, "home": 0, "g": 0}
    steps |= {"end": len(names) - 1, "G": len(names) - 1, "page_up": at - _PAGE, "page_down": at + _PAGE}
    if key not in steps:
        return None
    index = max(min(steps[key], len(names) - 1), 0)
    return replace(view, index=index, selected=names[index] if names else "")


def _change(view: View, key: str, shown: Shown) -> View:
    match key:
        case "enter":
            return _drill(view, shown.names)
        case "backspace" | "escape":
            return _back(view)
        case "tab" | "backtab":
            step = 1 if key == "tab" else -1
            side = SIDE_ORDER[(SIDE_ORDER.index(view.side) + step) % len(SIDE_ORDER)]
            return replace(view, side=side, by="method", where=(), path=(), selected="", index=0)
        case "<" | "left" | ">" | "right":
            return _sort(view, -1 if key in ("<", "left") else 1, shown.columns)
        case "r":
            return replace(view, is_reversed=not view.is_reversed)
        case "p" | " ":
            return replace(view, is_paused=not view.is_paused)
        case "+" | "=":
            return replace(view, interval=next((each for each in INTERVALS if each > view.interval), view.interval))
        case "-":
            below = [each for each in INTERVALS if each < view.interval]
            return replace(view, interval=below[-1] if below else view.interval)
        case "a":
            return replace(view, is_since_start=not view.is_since_start)
        case "/":
            return replace(view, typed=view.filter)
        case "?" | "h":
            return replace(view, is_help=True)
        case _:
            return view


def _group(view: View, by: str) -> View:
    known = dimensions_of(view.side)
    if by not in known:
        return replace(view, message=f"{view.side} figures have no dimension {by} (known: {', '.join(known)})")
    if by in dict(view.where):
        return replace(view, message=f"the {by} is fixed here; press Backspace to go back")
    return replace(view, by=by, filter="", selected="", index=0)


def _drill(view: View, names: Sequence[str]) -> View:
    if not names:
        return view
    name = names[view.position(names)]
    where = (*view.where, (view.by, name))
    fixed = dict(where)
    known = (*SIDES[view.side].names, "instance")
    following = next((each for each in _DRILL if each in known and each not in fixed), "")
    if not following:
        return replace(view, message="there is nothing below this row")
    level = Level(view.by, view.where, name)
    changes: dict[str, Any] = {"by": following, "where": where, "path": (*view.path, level)}
    return replace(view, selected="", index=0, filter="", **changes)


def _back(view: View) -> View:
    if not view.path:
        return replace(view, filter="") if view.filter else replace(view, message="this is the top level")
    level = view.path[-1]
    return replace(view, by=level.by, where=level.where, path=view.path[:-1], selected=level.selected, filter="")


def _sort(view: View, step: int, columns: Sequence[str]) -> View:
    if not columns:
        return view
    at = columns.index(view.sort) if view.sort in columns else -step
    return replace(view, sort=columns[(at + step) % len(columns)], is_reversed=False)
