"""Recent spans of this process: the last ones, the slowest and the failed ones, for the admin port and tests.

Memory is bounded by the number of spans. A trace whose spans have left the store is shown in part.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from idlrt.core.forks import forks
from idlrt.observe.tracing.span import FinishedSpan

__all__ = ["SpanStore"]

_ENTRY: Final = ("server", "consumer")
# Entry spans that are kept because they are slow, or failed, after they have left the ring.
_MAX_KEPT: Final = 100


class SpanStore:
    """Store of spans. Threads may share it.

    Args:
        max_spans: maximum number of recent spans.
    """

    def __init__(self, max_spans: int = 2000) -> None:
        self._max_spans = max_spans
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin without spans in a forked child."""
        self._lock = threading.Lock()
        self._recent: deque[FinishedSpan] = deque()
        # The same spans by trace.
        self._by_trace: dict[str, deque[FinishedSpan]] = {}
        self._failed: deque[FinishedSpan] = deque()
        # Slowest entry spans, as a heap by duration.
        self._slow: list[tuple[int, int, FinishedSpan]] = []
        self._order = itertools.count()
        # Spans of the traces of failed and slow calls, by trace and id, and the number of these calls in each.
        self._kept: dict[str, dict[str, FinishedSpan]] = {}
        self._calls: dict[str, int] = {}

    def put(self, span: FinishedSpan) -> None:
        """Add a span."""
        with self._lock:
            self._recent.append(span)
            self._by_trace.setdefault(span.trace_id, deque()).append(span)
            if len(self._recent) > self._max_spans:
                self._drop_oldest()
            if span.kind in _ENTRY or not span.parent_id:
                if span.status == "error":
                    self._failed.append(span)
                    self._keep(span.trace_id)
                    if len(self._failed) > _MAX_KEPT:
                        self._release(self._failed.popleft().trace_id)
                entry = (span.duration, next(self._order), span)
                if len(self._slow) < _MAX_KEPT:
                    heapq.heappush(self._slow, entry)
                    self._keep(span.trace_id)
                elif self._slow[0][0] < span.duration:
                    self._keep(span.trace_id)
                    self._release(heapq.heapreplace(self._slow, entry)[2].trace_id)

    def _keep(self, trace_id: str) -> None:
        """Keep the spans of a trace while one of its calls is. Its entry span ends last, so the others are there."""
        self._calls[trace_id] = self._calls.get(trace_id, 0) + 1
        kept = self._kept.setdefault(trace_id, {})
        kept.update((each.span_id, each) for each in self._by_trace.get(trace_id, ()))
        while len(kept) > self._max_spans:
            del kept[next(iter(kept))]

    def _release(self, trace_id: str) -> None:
        self._calls[trace_id] -= 1
        if not self._calls[trace_id]:
            del self._calls[trace_id], self._kept[trace_id]

    def _drop_oldest(self) -> None:
        trace_id = self._recent.popleft().trace_id
        spans = self._by_trace[trace_id]
        spans.popleft()
        if not spans:
            del self._by_trace[trace_id]

    def recent(self) -> list[FinishedSpan]:
        """Return the recent spans, the newest first."""
        with self._lock:
            return list(reversed(self._recent))

    def entries(
        self,
        order: str = "recent",
        *,
        method: str = "",
        tags: Mapping[str, str] | None = None,
        status: str = "",
        min_s: float = 0.0,
        limit: int = 100,
    ) -> list[FinishedSpan]:
        """Return entry spans: calls of servers, and roots.

        Args:
            order: `recent`, `slow` or `failed`.
            method: part of the name.
            tags: business tags and attributes that they must have.
            status: status code, or `error`.
            min_s: minimum duration in seconds.
            limit: maximum number.

        Raises:
            ValueError: the order does not exist.
        """
        with self._lock:
            if order == "recent":
                found = [each for each in reversed(self._recent) if each.kind in _ENTRY or not each.parent_id]
            elif order == "slow":
                found = [each for _, _, each in sorted(self._slow, key=lambda entry: -entry[0])]
            elif order == "failed":
                found = list(reversed(self._failed))
            else:
                raise ValueError(f"order: must be recent, slow or failed, got {order!r}")
        matches = _matcher(method, tags or {}, status, min_s)
        return list(itertools.islice(filter(matches, found), limit))

    def trace(self, trace_id: str) -> list[FinishedSpan]:
        """Return the spans of a trace that are known, in the order of their starts."""
        with self._lock:
            found = dict(self._kept.get(trace_id, {}))
            found |= {each.span_id: each for each in self._by_trace.get(trace_id, ())}
        return sorted(found.values(), key=lambda each: each.started_at)


def _matcher(method: str, tags: Mapping[str, str], status: str, min_s: float) -> Callable[[FinishedSpan], bool]:
    def matches(span: FinishedSpan) -> bool:
        if method and method.lower() not in span.name.lower():
            return False
        if span.duration < min_s * 1e9:
            return False
        attributes = span.attributes
        if status and status not in (span.status, attributes.get("rpc.response.status_code")):
            return False
        return all(
            value in (str(attributes.get(f"tag.{name}", "")), str(attributes.get(name, "")))
            for name, value in tags.items()
        )

    return matches
