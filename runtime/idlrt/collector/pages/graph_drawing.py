"""Graph of calls as SVG: services as boxes, calls as lines from callers to callees.

The width of a line stands for calls per second, and lines with many errors are dashed. It needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from idlrt.collector.pages.figures import Figures
from idlrt.collector.pages.graph_layout import BOX_HEIGHT, BOX_WIDTH, Edge, Point, layout
from idlrt.observe.metric import OTHER
from idlrt.printable import plural
from idlrt.web.formats import duration, number, rate, share

__all__ = ["MAX_EDGES", "MAX_NODES", "Drawing", "Selection", "draw", "select"]

MAX_NODES: Final = 60
"""Services and callers that are drawn."""

MAX_EDGES: Final = 200
"""Edges that are drawn: more cannot be told apart."""

_BAD: Final = 0.01
# Widths of lines are classes: the widest for the most calls, and one less for half a power of ten.
_WIDTHS: Final = 6
_ARROW: Final = 9
_LOOP: Final = 14
_MAX_NAME: Final = 20


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a graph that is drawn.

    Attributes:
        nodes: services and callers.
        edges: figures of the calls between these, by caller and callee.
        all_nodes: number of all services and callers.
        all_edges: number of all edges.
    """

    nodes: frozenset[str]
    edges: Mapping[Edge, Figures]
    all_nodes: int
    all_edges: int


class _Box(msgspec.Struct, frozen=True, kw_only=True):
    x: str
    y: str
    name: str
    href: str
    text: str
    kind: str


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    width: int
    text: str
    is_bad: bool


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A graph as the template shows it.

    Attributes:
        boxes: services and callers.
        lines: calls between these.
        width: width in pixels.
        height: height in pixels.
        note: what is not drawn; empty if everything is.
        box_width: width of a box.
        box_height: height of a box.
    """

    boxes: Sequence[_Box] = ()
    lines: Sequence[_Line] = ()
    width: int = 0
    height: int = 0
    note: str = ""
    box_width: int = BOX_WIDTH
    box_height: int = BOX_HEIGHT


def select(edges: Sequence[Figures], service: str = "") -> Selection:
    """Return the part of a graph that is drawn: nodes and edges with the most calls.

    Args:
        edges: figures by caller and service.
        service: service that is always part of it; empty for none.
    """
    calls: dict[str, int] = {}
    for each in edges:
        for name in set(each.key):
            calls[name] = calls.get(name, 0) + each.calls
    ordered = sorted(calls, key=lambda name: (not service or name != service, -calls[name], name))
    nodes = frozenset(ordered[:MAX_NODES])
    between = [each for each in edges if nodes.issuperset(each.key)]
    between.sort(key=lambda each: (-each.calls, each.key))
    shown = {(each.key[0], each.key[1]): each for each in between[:MAX_EDGES]}
    return Selection(nodes=nodes, edges=shown, all_nodes=len(calls), all_edges=len(edges))


def draw(selection: Selection, link: Callable[[str], str], service: str = "") -> Drawing:
    """Return the drawing of a graph.

    Args:
        selection: what is drawn; its figures may have durations.
        link: returns the page of a service.
        service: service to mark; empty for none.
    """
    if not selection.nodes:
        return Drawing()
    edges = selection.edges
    made: dict[str, list[Figures]] = {name: [] for name in selection.nodes}
    taken: dict[str, list[Figures]] = {name: [] for name in selection.nodes}
    for (caller, callee), figures in edges.items():
        made[caller].append(figures)
        taken[callee].append(figures)
    # By name, because an order by numbers of calls would change while a page is live.
    nodes = sorted(selection.nodes, key=lambda name: (len(made[name]) <= len(taken[name]), name))
    found = layout(nodes, edges)
    most = max((each.qps for each in edges.values()), default=0.0)
    lines = [
        _Line(
            path=_path(found.lines[edge]) if edge in found.lines else _loop(found.boxes[edge[0]]),
            width=_width(figures.qps, most),
            text=f"{_name(edge[0])} → {_name(edge[1])}: {_text(figures)}",
            is_bad=(figures.error_rate or 0.0) > _BAD,
        )
        for edge, figures in edges.items()
    ]
    # The ones with errors, and then the widest, are drawn last, so that others do not hide them.
    lines.sort(key=lambda each: (each.is_bad, each.width))
    boxes = [
        _Box(
            x=f"{x:.1f}",
            y=f"{y:.1f}",
            name=_short(_name(name)),
            href=link(name) if name not in ("", OTHER) else "",
            text=f"{_name(name)}: {_rates(taken[name])} received, {_rates(made[name])} made",
            kind="unknown" if name in ("", OTHER) else "current" if name == service else "",
        )
        for name, (x, y) in found.boxes.items()
    ]
    return Drawing(
        boxes=boxes, lines=lines, width=math.ceil(found.width), height=math.ceil(found.height), note=_note(selection)
    )


def _note(selection: Selection) -> str:
    parts: list[str] = []
    if (nodes := len(selection.nodes)) < selection.all_nodes:
        parts.append(f"{nodes} of {plural(selection.all_nodes, 'node')}")
    if (edges := len(selection.edges)) < selection.all_edges:
        parts.append(f"{edges:,} of {selection.all_edges:,} edges")
    return f"The graph shows {' and '.join(parts)}, those with the most calls; the table has all." if parts else ""


def _name(name: str) -> str:
    return {"": "unknown", OTHER: "others"}.get(name, name)


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"


def _rates(figures: Sequence[Figures]) -> str:
    return f"{rate(sum(each.qps for each in figures))} calls/s"


def _text(figures: Figures) -> str:
    errors = f"{number(figures.errors)} {'error' if figures.errors == 1 else 'errors'}"
    calls = f"{number(figures.calls)} {'call' if figures.calls == 1 else 'calls'}"
    text = f"{rate(figures.qps)} calls/s, {calls}, {errors} ({share(figures.error_rate or 0.0)})"
    if figures.histogram.counts:
        p50, p99 = figures.histogram.percentiles((0.5, 0.99))
        text += f", p50 {duration(p50)}, p99 {duration(p99)}"
    return text


def _width(qps: float, most: float) -> int:
    """Return the class of the width of a line, between 1 and 6."""
    return max(_WIDTHS - int(-2 * math.log10(qps / most)), 1) if qps > 0 else 1


def _path(points: Sequence[Point]) -> str:
    """Return the commands of a line; its arrow is beyond its end."""
    (x, y), (end, last) = points[-2:]
    shortened = [*points[:-1], (end - math.copysign(_ARROW, end - x), last)]
    x, y = points[0]
    parts = [f"M{x:.0f} {y:.1f}"]
    for at, ((x, y), (to, bottom)) in enumerate(pairwise(shortened)):
        middle = (x + to) / 2
        is_curve = at % 2 == 0
        parts.append(
            f"C{middle:.0f} {y:.1f} {middle:.0f} {bottom:.1f} {to:.0f} {bottom:.1f}" if is_curve else f"H{to:.0f}"
        )
    return "".join(parts)


def _loop(corner: Point) -> str:
    """Return the commands of a line from a box to itself, above it."""
    x, y = corner[0] + BOX_WIDTH, corner[1]
    return (
        f"M{x - 40:.0f} {y:.1f}C{x - 40:.0f} {y - _LOOP:.1f} {x - 14:.0f} {y - _LOOP:.1f} {x - 14:.0f} {y - _ARROW:.1f}"
    )
