"""Tree of the spans of one trace on one time axis: order, depth and self time.

Spans of machines with different clocks may be mixed. A server span that is not within the client span of its caller,
but would fit, is moved to its middle, with all that it has called in its process.

Source: Jaeger, `adjuster/clockskew.go`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["Row", "Waterfall", "waterfall"]

_NONE: Final[tuple[SpanRecord, ...]] = ()

# Seconds since 1970 as a float have a resolution of 0.2 µs: a span may seem to begin before its parent.
_TOLERANCE: Final = 1e-6


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A span in its place.

    Attributes:
        span: the span.
        depth: number of its ancestors that are known.
        children: number of its children.
        below: number of all its descendants.
        offset_s: start on the corrected time axis, in seconds since the start of the trace.
        shift_s: seconds by which it was moved, because its clock differs from that of its caller; 0 for most spans.
        self_s: duration in seconds without the time in which a child was running.
        is_orphan: whether it has a parent that is not known here.
    """

    span: SpanRecord
    depth: int
    children: int
    below: int
    offset_s: float
    shift_s: float
    self_s: float
    is_orphan: bool


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """The known spans of a trace.

    Attributes:
        started_at: start of the first span, in seconds since 1970.
        duration_s: seconds from there to the end of the last one.
        rows: all spans; each parent precedes its children, which are ordered by their starts.
    """

    started_at: float
    duration_s: float
    rows: Sequence[Row]

    @property
    def services(self) -> list[str]:
        """Names of the programs that recorded spans, in the order of their first ones."""
        return list(dict.fromkeys(each.span.service for each in self.rows if each.span.service))

    @property
    def failed(self) -> int:
        """Number of spans that have failed."""
        return sum(each.span.is_failed for each in self.rows)


def waterfall(spans: Iterable[SpanRecord]) -> Waterfall:
    """Return the tree of spans. A span that is there twice counts once.

    Raises:
        ValueError: there are no spans.
    """
    known = {each.span_id: each for each in spans}
    found = sorted(known.values(), key=lambda each: each.started_at)
    if not found:
        raise ValueError("waterfall: there are no spans")
    children: dict[str, list[SpanRecord]] = {}
    roots: list[SpanRecord] = []
    for each in found:
        if each.parent_id in known:
            children.setdefault(each.parent_id, []).append(each)
        else:
            roots.append(each)
    ordered = _ordered(roots, found, children)
    shifts = _shifts(ordered, known)
    starts = {each.span_id: each.started_at + shifts.get(each.span_id, 0.0) for each in found}
    if shifts:
        for siblings in (roots, found, *children.values()):
            siblings.sort(key=lambda each: starts[each.span_id])
        ordered = _ordered(roots, found, children)
    began = min(starts.values())
    ended = max(starts[each.span_id] + each.duration_s for each in found)
    below = [0] * len(ordered)
    # Descendants follow their ancestor: add each to its parent, from the last one on.
    places = {span.span_id: at for at, (span, _) in enumerate(ordered)}
    for at in range(len(ordered) - 1, -1, -1):
        span, depth = ordered[at]
        if depth:
            below[places[span.parent_id]] += below[at] + 1
    rows = [
        Row(
            span=span,
            depth=depth,
            children=len(children.get(span.span_id, _NONE)),
            below=below[at],
            offset_s=starts[span.span_id] - began,
            shift_s=shifts.get(span.span_id, 0.0),
            self_s=_self_time(span, children.get(span.span_id, _NONE), starts),
            is_orphan=bool(span.parent_id) and not depth,
        )
        for at, (span, depth) in enumerate(ordered)
    ]
    return Waterfall(started_at=began, duration_s=ended - began, rows=rows)


def _shifts(ordered: Sequence[tuple[SpanRecord, int]], known: Mapping[str, SpanRecord]) -> dict[str, float]:
    """Return by how many seconds to move spans so that their clocks agree with those of their callers."""
    found: dict[str, float] = {}
    for span, depth in ordered:
        if depth and (shift := _shift(span, known[span.parent_id], found)):
            found[span.span_id] = shift
    return found


def _shift(span: SpanRecord, caller: SpanRecord, shifts: Mapping[str, float]) -> float:
    moved = shifts.get(caller.span_id, 0.0)
    if span.service == caller.service:
        return moved
    began, ended = caller.started_at + moved, caller.started_at + moved + caller.duration_s
    start, room = span.started_at, caller.duration_s - span.duration_s
    is_within = began <= start + _TOLERANCE and start + span.duration_s <= ended + _TOLERANCE
    if is_within or span.kind != "server" or caller.kind != "client" or room < 0:
        return 0.0
    return began + room / 2 - start


def _ordered(
    roots: Sequence[SpanRecord], found: Sequence[SpanRecord], children: dict[str, list[SpanRecord]]
) -> list[tuple[SpanRecord, int]]:
    """Return all spans with their depths, without recursion: a chain may be long, and ids from outside a circle."""
    ordered: list[tuple[SpanRecord, int]] = []
    seen: set[str] = set()
    for root in (*roots, *found):  # the second part finds the spans of circles
        waiting = [(root, 0)]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            ordered.append((span, depth))
            waiting += [(each, depth + 1) for each in reversed(children.get(span.span_id, _NONE))]
    return ordered


def _self_time(span: SpanRecord, children: Sequence[SpanRecord], starts: Mapping[str, float]) -> float:
    """Return the time in which no child was running. The children are ordered by their starts."""
    until = starts[span.span_id]
    end = until + span.duration_s
    covered = 0.0
    for each in children:
        start = starts[each.span_id]
        began, ended = max(start, until), min(start + each.duration_s, end)
        if ended > began:
            covered += ended - began
            until = ended
    return max(span.duration_s - covered, 0.0)
