"""Rows of traces: a trace becomes a row, or its spans are merged into the row that is there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

from idlrt.collector.traces.digest import digest_of
from idlrt.collector.traces.failures import reading, writing
from idlrt.collector.traces.hour_file import HourWriter, StoredTrace
from idlrt.collector.traces.hour_files import HourFile, HourFiles
from idlrt.collector.traces.open_traces import OpenTrace, SpanKey, key_of
from idlrt.collector.traces.packing import pack, unpack
from idlrt.collector.traces.query import Reason
from idlrt.collector.traces.written import Written
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["KeptTrace", "RowWriter"]

KeptTrace: TypeAlias = tuple[OpenTrace, Reason, float]
"""A trace, why it is kept, and its adjusted count."""


class RowWriter:
    """Writer of traces to files.

    Args:
        files: the files.
        written: traces that may have a row.
        indexed: names of indexed attributes.
        max_spans: maximum number of spans of a trace.

    Attributes:
        traces: number of rows that were added.
        merged: number of rows that got further spans.
        duplicates: number of spans that were in a row already.
        over_limit: number of spans that were dropped because their trace has too many.
        not_indexed: number of operations and tags that were not indexed because their trace has too many.
    """

    def __init__(self, files: HourFiles, written: Written[HourFile], indexed: Collection[str], max_spans: int) -> None:
        self._files = files
        self._written = written
        self._indexed = indexed
        self._max_spans = max_spans
        self.traces = self.merged = self.duplicates = self.over_limit = self.not_indexed = 0

    def write(self, file: HourFile, kept: Sequence[KeptTrace]) -> None:
        """Write traces to a file, all or none.

        Raises:
            TraceStorageError: they cannot be written.
            ConfigurationError: the file is damaged.
        """
        # In the order of their numbers, so that pages are filled.
        ordered = sorted(kept, key=lambda each: min(span.started_at for span in each[0].spans.values()))
        writer = self._files.writer(file)
        traces, merged, starts = 0, 0, list[int]()
        with writing(file.path):
            writer.begin()
            try:
                for trace, reason, weight in ordered:
                    before = writer.find(trace.id) if self._written.get(trace.id) is not None else None
                    start = self._write_row(writer, trace, before, reason, weight)
                    merged += before is not None
                    traces += before is None
                    if start is not None:
                        starts.append(start)
                if starts:
                    # Before the commit, so that readers do not miss a file.
                    file.include(min(starts))
                    file.include(max(starts))
                writer.commit()
            except BaseException:
                writer.rollback()
                raise
        self.traces += traces
        self.merged += merged

    def _write_row(
        self, writer: HourWriter, trace: OpenTrace, before: StoredTrace | None, reason: Reason, weight: float
    ) -> int | None:
        """Write a trace, and return its start in microseconds; `None` if nothing changes."""
        spans: dict[SpanKey, SpanRecord] = trace.spans
        if before is not None:
            with reading(writer.path):
                stored = unpack(trace.id, before.data)
            spans = {key_of(each): each for each in stored}
            for key, each in trace.spans.items():
                if key in spans:
                    self.duplicates += 1
                elif len(spans) >= self._max_spans:
                    self.over_limit += 1
                else:
                    spans[key] = each
            if len(spans) == len(stored):
                return None
            writer.remove(before.no, digest_of(stored, self._indexed))
            reason, weight = before.reason, before.weight
        ordered = sorted(spans.values(), key=lambda each: (each.started_at, each.span_id))
        digest = digest_of(ordered, self._indexed)
        self.not_indexed += digest.left_out
        writer.add(trace.id, digest, pack(ordered), reason, weight)
        return digest.start
