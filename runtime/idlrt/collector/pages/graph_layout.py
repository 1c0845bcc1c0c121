"""Layered layout of a graph of calls, from callers on the left to callees on the right.

Its steps are those of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures"
(1981): cycles are broken, a node is one layer to the right of the last of its callers, edges across layers get a place
in each of them, and the order within layers is that of barycenters. Places are then moved towards those of their
neighbors. The same graph always has the same layout.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import msgspec

__all__ = ["BOX_HEIGHT", "BOX_WIDTH", "Edge", "Layout", "Point", "layout"]

Edge: TypeAlias = tuple[str, str]
"""Caller and callee."""

Point: TypeAlias = tuple[float, float]
"""Distance from the left and from the top, in pixels."""

BOX_WIDTH: Final = 150
BOX_HEIGHT: Final = 26
_COLUMN: Final = 220  # from one layer to the next
_GAP: Final = 18
_LINE_HEIGHT: Final = 4
_LINE_GAP: Final = 10
# Calls against the direction of the layers end beside those along it.
_BACK_SHIFT: Final = 7
# The order and the places improve little after these.
_MAX_SWEEPS: Final = 12
_MOVES: Final = 6


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Places of nodes and edges.

    Attributes:
        boxes: left upper corner of each node.
        lines: points of each edge from caller to callee; between the first two it is a curve, then in turn a straight
            line and a curve. Calls of a node to itself have none.
        width: width of the whole in pixels.
        height: its height.
    """

    boxes: Mapping[str, Point]
    lines: Mapping[Edge, Sequence[Point]]
    width: float
    height: float


class _Grid:
    """Vertices in layers: nodes, and places of edges that cross a layer.

    Attributes:
        layers: vertices of each layer, from the top.
        before: neighbors of each vertex in the layer before.
        after: neighbors in the layer after.
    """

    def __init__(self, layers: int) -> None:
        self.layers: list[list[int]] = [[] for _ in range(layers)]
        self.before: list[list[int]] = []
        self.after: list[list[int]] = []

    def add(self, layer: int) -> int:
        """Add a vertex, and return it."""
        vertex = len(self.before)
        self.layers[layer].append(vertex)
        self.before.append([])
        self.after.append([])
        return vertex

    def join(self, left: int, right: int) -> None:
        """Add an edge between neighboring layers."""
        self.after[left].append(right)
        self.before[right].append(left)


def layout(nodes: Sequence[str], edges: Iterable[Edge]) -> Layout:
    """Return the layout of a graph.

    Args:
        nodes: names; in a cycle that nothing else calls, the first of them comes first.
        edges: edges between these.
    """
    pairs = sorted({each for each in edges if each[0] != each[1]})
    order, against = _without_cycles(nodes, pairs)
    along = [each for each in pairs if each not in against]
    depths = _depths(order, along)
    grid = _Grid(max(depths.values(), default=-1) + 1)
    vertices = {name: grid.add(depths[name]) for name in order}
    chains: dict[Edge, list[int]] = {}
    for caller, callee in pairs:
        first, last = (callee, caller) if (caller, callee) in against else (caller, callee)
        between = [grid.add(depth) for depth in range(depths[first] + 1, depths[last])]
        chains[caller, callee] = chain = [vertices[first], *between, vertices[last]]
        for left, right in pairwise(chain):
            grid.join(left, right)
    _reduce_crossings(grid)
    heights = [float(BOX_HEIGHT if vertex < len(order) else _LINE_HEIGHT) for vertex in range(len(grid.before))]
    middles = _middles(grid, heights)
    top = min((middle - height / 2 for middle, height in zip(middles, heights, strict=True)), default=0.0) - _GAP
    bottom = max((middle + height / 2 for middle, height in zip(middles, heights, strict=True)), default=0.0) + _GAP
    columns = {vertex: depth * _COLUMN + _GAP for depth, layer in enumerate(grid.layers) for vertex in layer}
    lines: dict[Edge, Sequence[Point]] = {}
    for edge, chain in chains.items():
        shift = _BACK_SHIFT if edge in against else 0
        points: list[Point] = []
        for vertex in chain:
            y = middles[vertex] - top + shift
            points += [(columns[vertex], y), (columns[vertex] + BOX_WIDTH, y)]
        points = points[1:-1]
        lines[edge] = points[::-1] if edge in against else points
    return Layout(
        boxes={name: (columns[vertex], middles[vertex] - top - BOX_HEIGHT / 2) for name, vertex in vertices.items()},
        lines=lines,
        width=max(len(grid.layers) - 1, 0) * _COLUMN + BOX_WIDTH + 2 * _GAP,
        height=bottom - top,
    )


def _without_cycles(nodes: Sequence[str], edges: Sequence[Edge]) -> tuple[list[str], set[Edge]]:
    """Return the nodes in an order in which callers come before callees, and the edges against it.

    These are the back edges of a depth-first search, each of which closes a cycle.
    """
    callees: dict[str, list[str]] = {name: [] for name in nodes}
    for caller, callee in edges:
        callees[caller].append(callee)
    called = {callee for _, callee in edges}
    found: list[str] = []
    against: set[Edge] = set()
    is_done: dict[str, bool] = {}
    for start in sorted(nodes, key=lambda name: name in called):
        if start in is_done:
            continue
        is_done[start] = False
        path = [(start, iter(callees[start]))]
        while path:
            node, rest = path[-1]
            for callee in rest:
                if callee not in is_done:
                    is_done[callee] = False
                    path.append((callee, iter(callees[callee])))
                    break
                if not is_done[callee]:
                    against.add((node, callee))
            else:
                is_done[node] = True
                found.append(node)
                path.pop()
    found.reverse()
    return found, against


def _depths(order: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the length of the longest path to each node of a graph without cycles."""
    callees: dict[str, list[str]] = {}
    for caller, callee in edges:
        callees.setdefault(caller, []).append(callee)
    found = dict.fromkeys(order, 0)
    for node in order:
        for callee in callees.get(node, ()):
            found[callee] = max(found[callee], found[node] + 1)
    return found


def _reduce_crossings(grid: _Grid) -> None:
    """Order the layers by the barycenters of neighbors in turn from the left and from the right; keep the best."""
    layers = grid.layers
    best = [list(layer) for layer in layers]
    least = _crossings(grid)
    for sweep in range(_MAX_SWEEPS):
        if not least:
            break
        is_forward = sweep % 2 == 0
        beside = grid.before if is_forward else grid.after
        places = {vertex: at for layer in layers for at, vertex in enumerate(layer)}
        for layer in layers if is_forward else reversed(layers):
            centers = {vertex: _mean(places, beside[vertex], places[vertex]) for vertex in layer}
            layer.sort(key=centers.__getitem__)
            places.update((vertex, at) for at, vertex in enumerate(layer))
        if (count := _crossings(grid)) < least:
            best, least = [list(layer) for layer in layers], count
    grid.layers = best


def _crossings(grid: _Grid) -> int:
    """Return the number of crossings of edges: of pairs whose ends are in the opposite order."""
    found = 0
    for layer, following in pairwise(grid.layers):
        places = {vertex: at for at, vertex in enumerate(following)}
        seen: list[int] = []
        for vertex in layer:
            ends = sorted(places[each] for each in grid.after[vertex])
            found += sum(len(seen) - bisect_right(seen, each) for each in ends)
            for each in ends:
                insort(seen, each)
    return found


def _middles(grid: _Grid, heights: Sequence[float]) -> list[float]:
    """Return the place of the middle of each vertex: close to those of its neighbors, in the order of its layer."""
    found = [0.0] * len(heights)
    offsets: list[list[float]] = []
    for layer in grid.layers:
        below = [0.0]
        for upper, lower in pairwise(layer):
            gap = _GAP if min(heights[upper], heights[lower]) > _LINE_HEIGHT else _LINE_GAP
            below.append(below[-1] + (heights[upper] + heights[lower]) / 2 + gap)
        offsets.append(below)
        for vertex, offset in zip(layer, below, strict=True):
            found[vertex] = offset - below[-1] / 2
    for move in range(_MOVES):
        is_forward = move % 2 == 0
        beside = grid.before if is_forward else grid.after
        together = list(zip(grid.layers, offsets, strict=True))
        for layer, below in together if is_forward else reversed(together):
            wanted = [_mean(found, beside[vertex], found[vertex]) for vertex in layer]
            for vertex, middle in zip(layer, _apart(wanted, below), strict=True):
                found[vertex] = middle
    return found


def _apart(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return the places closest to the wanted ones, by least squares, that are at least as far apart as the offsets.

    Source: the pool adjacent violators algorithm of isotonic regression (Ayer et al., 1955)
    """
    pools: list[tuple[float, int]] = []  # sum and number of places that move together
    for place, offset in zip(wanted, offsets, strict=True):
        total, count = place - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    moved = [total / count for total, count in pools for _ in range(count)]
    return [place + offset for place, offset in zip(moved, offsets, strict=True)]


def _mean(places: Mapping[int, float] | Sequence[float], vertices: Sequence[int], default: float) -> float:
    return sum(places[each] for each in vertices) / len(vertices) if vertices else default
