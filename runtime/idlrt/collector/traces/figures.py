"""Limits of a trace store, and its figures."""

from __future__ import annotations

import msgspec

__all__ = ["TraceFigures", "TraceLimits"]


class TraceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of memory and of the journal.

    Attributes:
        open_traces: maximum number of traces that are not written yet; above it, the oldest ones are written early.
        open_spans: maximum number of their spans; likewise.
        spans: maximum number of spans of a trace; further ones are dropped.
        open_s: time in seconds after which a trace is written although it still receives spans.
        journal_bytes: size of the journal in bytes above which the oldest traces are written early.
    """

    open_traces: int = 50_000
    open_spans: int = 100_000
    spans: int = 10_000
    open_s: float = 600.0
    journal_bytes: int = 256 << 20


class TraceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a trace store since its start.

    Attributes:
        spans: number of spans that were put, duplicates and rejected ones not counted.
        duplicates: number of spans that were there already.
        rejected: number of spans with implausible ids or times, or values that cannot be encoded.
        over_limit: number of spans that were dropped because their trace has too many.
        not_indexed: number of operations and tags that cannot be searched for, because a trace has too many.
        traces: number of traces that were written.
        merged: number of times that spans were merged into a written trace.
        early: number of traces that were written early because of a limit.
        late_dropped: number of spans of traces that tail sampling had dropped before.
        files_dropped: number of files that were dropped because of their age or size.
        open_traces: number of traces that are not written yet.
        open_spans: number of their spans.
        bytes: size of all files of traces.
        journal_bytes: size of the journal.
    """

    spans: int
    duplicates: int
    rejected: int
    over_limit: int
    not_indexed: int
    traces: int
    merged: int
    early: int
    late_dropped: int
    files_dropped: int
    open_traces: int
    open_spans: int
    bytes: int
    journal_bytes: int
