"""Critical path of a trace: the parts of spans that determine its duration.

The path is found from the end of the root backwards. Where a span was waiting for children, the child that ended last
is on the path, and the path goes on at the start of that child; children that were still running then are not on it,
because nothing waited for them. Time without such a child belongs to the span itself. So the parts follow each other
without gaps, and their durations add up to that of the root.

Times are those of the waterfall, which corrects the clocks of other machines; what exceeds its parent is cut off.

Sources: Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022;
Jaeger UI, `TraceTimelineViewer/CriticalPath`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.waterfall import Row, Waterfall

__all__ = ["PathPart", "critical_path"]

# Seconds since 1970 as a float have a resolution of 0.2 µs: spans that follow each other may seem to overlap.
_TOLERANCE: Final = 1e-6


class PathPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the critical path.

    Attributes:
        span: the span that the time was spent in.
        offset_s: start, in seconds since the start of the trace.
        duration_s: duration in seconds.
    """

    span: SpanRecord
    offset_s: float
    duration_s: float


class _Node:
    """A span within its parent.

    Attributes:
        span: the span.
        start: start in seconds since the start of the trace, not before that of its parent.
        end: end, not after that of its parent.
        children: its children.
    """

    __slots__ = ("children", "end", "span", "start")

    def __init__(self, row: Row, parent: _Node | None) -> None:
        self.span = row.span
        self.start = row.offset_s
        self.end = self.start + max(row.span.duration_s, 0.0)
        if parent is not None:
            self.start = min(max(self.start, parent.start), parent.end)
            self.end = min(max(self.end, self.start), parent.end)
        self.children: list[_Node] = []


def critical_path(waterfall: Waterfall) -> list[PathPart]:
    """Return the critical path of a trace in the order of time.

    It is that of the root; if there are several, of the one that ends last, and orphans count only if there is no root.
    """
    root = _tree(waterfall.rows)
    if root is None:
        return []
    parts: list[PathPart] = []
    at = root.end
    path = [root]
    root.children.sort(key=_by_end)
    while path:
        node = path[-1]
        child = node.children.pop() if node.children else None
        if child is None:
            _add(parts, node, node.start, at)
            at = min(at, node.start)
            path.pop()
        elif child.end <= at + _TOLERANCE and child.start < at:
            end = min(child.end, at)
            _add(parts, node, end, at)
            at = end
            child.children.sort(key=_by_end)
            path.append(child)
    parts.reverse()
    return parts


def _by_end(node: _Node) -> tuple[float, float]:
    """Order nodes by their ends; of those that end together, the longest is the last."""
    return node.end, -node.start


def _add(parts: list[PathPart], node: _Node, start: float, end: float) -> None:
    if end > start:
        parts.append(PathPart(span=node.span, offset_s=start, duration_s=end - start))


def _tree(rows: Sequence[Row]) -> _Node | None:
    """Return the root with its descendants. Parents precede their children in `rows`."""
    tops = [(at, row) for at, row in enumerate(rows) if not row.depth]
    tops = [each for each in tops if not each[1].is_orphan] or tops
    if not tops:
        return None
    begin, top = max(tops, key=lambda each: each[1].offset_s + each[1].span.duration_s)
    root = _Node(top, None)
    above = [root]
    for row in rows[begin + 1 : begin + 1 + top.below]:
        del above[row.depth :]
        parent = above[-1]
        node = _Node(row, parent)
        parent.children.append(node)
        above.append(node)
    return root
