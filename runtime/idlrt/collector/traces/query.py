"""Searches for traces, and their results: summaries, never whole traces.

A search needs a time range, because an unbounded one would read all files. Conditions on duration and failure apply to
the spans of the service or operation of the query; without either, to the trace as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["MAX_LIMIT", "MAX_RANGE_S", "Order", "Reason", "TraceQuery", "TraceSummary", "check_query", "is_encodable"]

MAX_LIMIT: Final = 1000
"""Maximum number of results of a search."""

MAX_RANGE_S: Final = 7 * 86400.0
"""Maximum time range of a search, in seconds."""

_MAX_TAGS: Final = 16

Order: TypeAlias = Literal["newest", "slowest"]
Reason: TypeAlias = Literal["all", "failed", "slow", "rare", "share"]
"""Why a trace was kept: `all` without tail sampling."""


class TraceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions of a search. All of them must hold.

    Attributes:
        start: start of the time range in which traces begin, in seconds since 1970; required.
        end: its end, exclusive; required, at most 7 days later.
        service: name of a program with a span in the trace; empty for any.
        operation: name of a span of that program; empty for any.
        tags: business tags (`user`, or `tag.user`) and indexed attributes (`error.type`) with their values as text; a
            trace has a tag if any of its spans has it.
        min_s: minimum duration in seconds: that of the longest span of one operation of the service, or of the trace.
        max_s: maximum duration; `None` for none.
        is_failed: whether a span of that operation, or of the trace, must have failed.
        order: `newest` by start, or `slowest` by the duration that `min_s` is compared with.
        limit: maximum number of results, between 1 and 1,000.
    """

    start: float | None = None
    end: float | None = None
    service: str = ""
    operation: str = ""
    tags: Mapping[str, str] = {}
    min_s: float = 0.0
    max_s: float | None = None
    is_failed: bool = False
    order: Order = "newest"
    limit: int = 20


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One result of a search.

    Attributes:
        trace_id: the trace.
        started_at: start of its first span, in seconds since 1970.
        duration_s: seconds from there to the end of its last span.
        service: program of its root.
        operation: name of its root.
        spans: number of spans.
        failed: number of spans that have failed.
        services: number of programs.
        matched_s: duration in seconds that the query compares and orders by: of the longest matching span of the
            service or operation of the query, else that of the trace.
        reason: why it was kept.
        adjusted_count: number of traces that it stands for, so that sums over kept traces estimate sums over all.
    """

    trace_id: str
    started_at: float
    duration_s: float
    service: str
    operation: str
    spans: int
    failed: int
    services: int
    matched_s: float
    reason: Reason = "all"
    adjusted_count: float = 1.0


def check_query(query: TraceQuery) -> tuple[float, float]:
    """Check a query and return its time range.

    Raises:
        ConfigurationError: the time range is missing or too long, or another value is out of range.
    """
    start, end = query.start, query.end
    if start is None or end is None:
        missing = "`start` and `end`" if start is None and end is None else "`start`" if start is None else "`end`"
        raise ConfigurationError(f"search for traces: no time range; add {missing}, in seconds since 1970")
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        raise ConfigurationError(f"search for traces: `start` must be before `end`, got {start!r} and {end!r}")
    if end - start > MAX_RANGE_S:
        raise ConfigurationError(
            f"search for traces: the time range must be at most {MAX_RANGE_S:.0f} s, got {end - start:.0f} s; "
            "search in several parts"
        )
    if not 1 <= query.limit <= MAX_LIMIT:
        raise ConfigurationError(f"search for traces: limit must be between 1 and {MAX_LIMIT}, got {query.limit!r}")
    if query.order not in ("newest", "slowest"):
        raise ConfigurationError(f"search for traces: order must be newest or slowest, got {query.order!r}")
    if len(query.tags) > _MAX_TAGS:
        raise ConfigurationError(f"search for traces: at most {_MAX_TAGS} tags, got {len(query.tags)}")
    if not math.isfinite(query.min_s) or (query.max_s is not None and not query.max_s >= 0):
        raise ConfigurationError(
            f"search for traces: durations must be numbers, got min_s={query.min_s!r}, max_s={query.max_s!r}"
        )
    if not all(is_encodable(each) for each in (query.service, query.operation, *query.tags, *query.tags.values())):
        raise ConfigurationError("search for traces: a name or value has a lone surrogate; it is no valid text")
    return start, end


def is_encodable(text: str) -> bool:
    """Return whether text can be stored: lone surrogates cannot."""
    return text.isascii() or text == text.encode("utf-8", "ignore").decode()
