"""Traces that still receive spans. Memory is bounded by the numbers of traces and spans."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from idlrt.collector.traces.query import Reason
from idlrt.observe.tracing.span import Kind
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["OpenTrace", "OpenTraces", "SpanKey", "key_of"]

SpanKey = tuple[str, Kind]
"""Identity of a span in its trace. Zipkin gives both sides of a call the same id."""


def key_of(span: SpanRecord) -> SpanKey:
    """Return the identity of a span in its trace."""
    return span.span_id, span.kind


class OpenTrace:
    """A trace that is not written yet.

    Attributes:
        id: its id.
        spans: its spans by their identities.
        began: when it got its first span, in seconds since 1970.
        last: when it got its last one.
        segment: segment of the journal with its first span.
        kept: why tail sampling keeps it, and its adjusted count, if it could not be written yet.
    """

    __slots__ = ("began", "id", "kept", "last", "segment", "spans")

    def __init__(self, id: str, at: float, segment: int) -> None:
        self.id = id
        self.spans: dict[SpanKey, SpanRecord] = {}
        self.began = self.last = at
        self.segment = segment
        self.kept: tuple[Reason, float] | None = None


class OpenTraces:
    """Open traces by their ids, those that have been quiet for longest first. One thread changes it, all may read it.

    Args:
        max_spans: maximum number of spans of one trace.
        open_s: time in seconds after which a trace is written although it still receives spans.

    Attributes:
        spans: number of spans.
        duplicates: number of spans that were there already.
        over_limit: number of spans that were dropped because their trace has too many.
    """

    def __init__(self, max_spans: int, open_s: float) -> None:
        self._max_spans = max_spans
        self._open_s = open_s
        # No trace began before.
        self._next_overdue = math.inf
        self._lock = threading.Lock()
        self._traces: OrderedDict[str, OpenTrace] = OrderedDict()
        self._segments: dict[int, int] = {}
        self.spans = self.duplicates = self.over_limit = 0

    def __len__(self) -> int:
        return len(self._traces)

    def add(self, spans: Iterable[SpanRecord], at: float, segment: int) -> int:
        """Add spans, and return the number of those that are new.

        Args:
            at: time, in seconds since 1970.
            segment: segment of the journal that they are in.
        """
        added = 0
        with self._lock:
            traces = self._traces
            for each in spans:
                trace = traces.get(each.trace_id)
                if trace is None:
                    trace = traces[each.trace_id] = OpenTrace(each.trace_id, at, segment)
                    self._next_overdue = min(self._next_overdue, at)
                    self._segments[segment] = self._segments.get(segment, 0) + 1
                elif trace.last != at:
                    trace.last = at
                    traces.move_to_end(each.trace_id)
                key = each.span_id, each.kind
                if key in trace.spans:
                    self.duplicates += 1
                elif len(trace.spans) >= self._max_spans:
                    self.over_limit += 1
                else:
                    trace.spans[key] = each
                    added += 1
            self.spans += added
        return added

    def quiet(self, now: float, quiet_s: float) -> list[OpenTrace]:
        """Return traces without spans for `quiet_s` seconds, and those that have been open for too long.

        The clock may jump: times in the future count as quiet.
        """
        found: dict[str, OpenTrace] = {}
        for each in self._traces.values():
            if 0 <= now - each.last < quiet_s:
                break  # those behind got their last span later
            found[each.id] = each
        if self._next_overdue <= now - self._open_s:
            ages = [each.began for each in self._traces.values()]
            found |= {each.id: each for each in self._traces.values() if now - each.began >= self._open_s}
            self._next_overdue = min((each for each in ages if now - each < self._open_s), default=math.inf)
        return list(found.values())

    def oldest(self, number: int) -> list[OpenTrace]:
        """Return traces that have been quiet for longest."""
        return [each for each, _ in zip(self._traces.values(), range(number), strict=False)]

    def of_segment(self, segment: int) -> list[OpenTrace]:
        """Return the traces with spans in a segment of the journal or an older one."""
        return [each for each in self._traces.values() if each.segment <= segment]

    def remove(self, traces: Sequence[OpenTrace]) -> None:
        """Remove traces."""
        with self._lock:
            for each in traces:
                del self._traces[each.id]
                self.spans -= len(each.spans)
                self._segments[each.segment] -= 1
                if not self._segments[each.segment]:
                    del self._segments[each.segment]

    def oldest_segment(self) -> int | None:
        """Return the oldest segment of the journal that has spans of these traces; `None` without traces."""
        return min(self._segments, default=None)

    def get(self, trace_id: str) -> list[SpanRecord]:
        """Return the spans of a trace; none if it is not open."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else list(trace.spans.values())

    def latest(self, number: int) -> list[tuple[str, list[SpanRecord]]]:
        """Return ids and spans of the traces that got a span last, the latest first."""
        with self._lock:
            traces = [each for each, _ in zip(reversed(self._traces.values()), range(number), strict=False)]
            return [(each.id, list(each.spans.values())) for each in traces]

    def calls(self) -> Iterator[tuple[str, str]]:
        """Yield the services and operations of all spans."""
        with self._lock:
            found = {(span.service, span.name) for each in self._traces.values() for span in each.spans.values()}
        yield from found
