"""Trace store: the spans of many programs as traces that can be searched, in files of an hour.

Spans are put into open traces and a journal. A trace that has been quiet for some seconds is sampled and written as one
row; spans that come later are merged into it. Memory and disk space are bounded; what exceeds a limit is counted.

One thread puts, commits and maintains. All threads may search and read.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from idlrt.collector.traces.digest import DEFAULT_TAGS, digest_of, is_storable
from idlrt.collector.traces.failures import writing
from idlrt.collector.traces.figures import TraceFigures, TraceLimits
from idlrt.collector.traces.hour_files import HourFile, HourFiles
from idlrt.collector.traces.journal import Journal
from idlrt.collector.traces.open_traces import OpenTrace, OpenTraces
from idlrt.collector.traces.packing import unpack_id
from idlrt.collector.traces.query import Reason, TraceQuery, TraceSummary
from idlrt.collector.traces.reader import TraceReader
from idlrt.collector.traces.rows import KeptTrace, RowWriter
from idlrt.collector.traces.tail_sampling import TailSampling
from idlrt.collector.traces.written import Written
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["TraceStore"]

_ENCODER: Final = msgspec.msgpack.Encoder()
# The journal is deleted in parts of this size.
_SEGMENTS: Final = 8
# Part of the open traces that is written early when there are too many.
_EARLY: Final = 16


class TraceStore:
    """Store of traces in a folder.

    Args:
        folder: the folder; it is created if it does not exist. One store uses it at a time.
        keep_hours: age in hours at which traces are dropped.
        max_bytes: size in bytes at which the oldest traces are dropped.
        indexed_tags: names of attributes that can be searched for, besides business tags; `None` for a list of usual
            ones.
        quiet_s: seconds without spans after which a trace is written.
        tail: tail sampling; `None` to keep all traces.
        limits: limits of memory and of the journal.
        now: clock, in seconds since 1970.

    Raises:
        ConfigurationError: a value is out of range, another process uses the folder, or a file is damaged.
        TraceStorageError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_hours: int = 72,
        max_bytes: int = 4 << 30,
        indexed_tags: Collection[str] | None = None,
        quiet_s: float = 10.0,
        tail: TailSampling | None = None,
        limits: TraceLimits = TraceLimits(),  # noqa: B008  # frozen
        now: Callable[[], float] = time.time,
    ) -> None:
        if keep_hours < 1 or max_bytes < 1 or not quiet_s >= 0:
            raise ConfigurationError(
                "trace store: keep_hours and max_bytes must be at least 1 and quiet_s at least 0, got "
                f"{keep_hours!r}, {max_bytes!r} and {quiet_s!r}"
            )
        self.folder = folder
        self._max_bytes = max_bytes
        self._indexed = DEFAULT_TAGS if indexed_tags is None else frozenset(indexed_tags)
        self._quiet_s = quiet_s
        self._tail = tail
        self._limits = limits
        self._now = now
        self._spans = self._rejected = self._early = self._late_dropped = 0
        self._lock = _lock(folder)
        try:
            self._open = OpenTraces(limits.spans, limits.open_s)
            self._files = HourFiles(folder, keep_hours, max_bytes)
            self._journal = Journal(folder, max(min(limits.journal_bytes, max_bytes) // _SEGMENTS, 1))
            self._written: Written[HourFile] = Written()
            self._rows = RowWriter(self._files, self._written, self._indexed, limits.spans)
            self._reader = TraceReader(self._files, self._open, self._indexed)
            self._load()
        except BaseException:
            os.close(self._lock)
            raise

    def _load(self) -> None:
        """Read the ids of the last written traces, and the spans of the journal."""
        left = Written.MAX
        for file in self._files.newest_first():
            with self._files.reader(file) as database:
                if database is not None:
                    for (id,) in database.execute("SELECT id FROM trace ORDER BY no DESC LIMIT ?", (left,)):
                        self._written.add(unpack_id(id), file)
                        left -= 1
        now = self._now()
        for segment, spans in self._journal.load():
            self._open.add(spans, now, segment)
            self._write_excess()

    def put(self, spans: Iterable[SpanRecord]) -> None:
        """Add spans of any programs, in any order. Spans that are there already are ignored.

        Raises:
            TraceStorageError: memory is full, and its traces cannot be written.
        """
        self._write_excess()  # which fails while the disk is full: then nothing is added
        found = [each for each in spans if self._accepts(each)]
        if not found:
            return
        try:
            data = _ENCODER.encode(found)
        except (ValueError, OverflowError, TypeError):
            found = [each for each in found if self._encodes(each)]
            data = _ENCODER.encode(found)
        added = self._open.add(found, self._now(), self._journal.segment)
        if added:
            self._spans += added
            self._journal.append(data)
            self._write_excess()

    def _accepts(self, span: SpanRecord) -> bool:
        if is_storable(span):
            return True
        self._rejected += 1
        return False

    def _encodes(self, span: SpanRecord) -> bool:
        """Whether a span can be encoded: integers may have more than 64 bits, texts lone surrogates."""
        try:
            _ENCODER.encode(span)
        except (ValueError, OverflowError, TypeError):
            self._rejected += 1
            return False
        return True

    def _write_excess(self) -> None:
        """Write the oldest traces if there are too many."""
        limits = self._limits
        while len(self._open) > limits.open_traces or self._open.spans > limits.open_spans:
            self._write_early(self._open.oldest(len(self._open) // _EARLY + 1))

    def _write_early(self, traces: Sequence[OpenTrace]) -> None:
        self._write(traces)
        self._early += len(traces)

    def commit(self) -> None:
        """Write what was put before to disk. Acknowledge spans after this only.

        Raises:
            TraceStorageError: it cannot be written, such as because the disk is full. Nothing is lost: the next commit
                tries again.
        """
        self._journal.commit()
        while self._journal.size > self._limits.journal_bytes and self._journal.segments > 1:
            oldest = self._open.oldest_segment()
            if oldest is None or oldest == self._journal.segment:
                self._journal.release(oldest)
                break
            self._write_early(self._open.of_segment(oldest))

    def maintain(self) -> None:
        """Write the traces that are quiet, and drop files. Call it about once a second.

        Raises:
            TraceStorageError: they cannot be written. Nothing is lost: the next call tries again.
        """
        now = self._now()
        self._files.drop(now, self._journal.size)
        self._write(self._open.quiet(now, self._quiet_s))

    def _write(self, traces: Sequence[OpenTrace]) -> None:
        """Write traces, or drop them as tail sampling decides. All of them, or those of a file, are written at once."""
        changes: dict[HourFile, list[KeptTrace]] = {}
        finished: list[OpenTrace] = []
        if not traces:
            self._journal.release(self._open.oldest_segment())
            return
        now = self._now()
        current = self._files.current(now)
        for each in traces:
            file = self._written.get(each.id)
            if file is not None and not file.is_dropped:
                changes.setdefault(file, []).append((each, "all", 1.0))
                continue
            reason, weight = self._decide(each, now)
            if reason is None:
                finished.append(each)
                self._written.add(each.id, None)
            else:
                each.kept = reason, weight
                changes.setdefault(current, []).append((each, reason, weight))
        self._open.remove(finished)
        for file, kept in changes.items():
            self._rows.write(file, kept)
            written = [each for each, _, _ in kept]
            for each in written:
                self._written.add(each.id, file)
            self._open.remove(written)
        self._journal.release(self._open.oldest_segment())

    def _decide(self, trace: OpenTrace, now: float) -> tuple[Reason | None, float]:
        """Return why a trace is kept, `None` if it is not, and its adjusted count."""
        if self._tail is None:
            return "all", 1.0
        if trace.kept is not None:
            return trace.kept
        spans = list(trace.spans.values())
        if self._written.is_dropped(trace.id):
            # The trace was counted as dropped, so what is kept of it stands for nothing.
            if any(each.is_failed for each in spans):
                return "failed", 0.0
            self._late_dropped += len(spans)
            return None, 0.0
        decision = self._tail.decide(trace.id, digest_of(spans, self._indexed), now)
        return decision.reason, decision.adjusted_count

    def search(self, query: TraceQuery) -> list[TraceSummary]:
        """Return summaries of the written traces that match, in the order that the query asks for.

        Times are compared as microseconds. Traces are found after they were quiet for some seconds.

        Raises:
            ConfigurationError: the query has no time range or another invalid value, or a file is damaged.
            TraceStorageError: a file cannot be read now.
        """
        return self._reader.search(query)

    def search_open(self, query: TraceQuery) -> list[TraceSummary]:
        """Return summaries of the traces that are not written yet and match. Some of their spans may be missing.

        Only the 2,000 traces that got a span last are looked at.

        Raises:
            ConfigurationError: the query has no time range or another invalid value.
        """
        return self._reader.search_open(query)

    def trace(self, trace_id: str) -> list[SpanRecord]:
        """Return the spans of a trace that are known, in the order of their starts; none if it is unknown.

        Raises:
            ConfigurationError: a file is damaged.
            TraceStorageError: a file cannot be read now.
        """
        return self._reader.trace(trace_id)

    def services(self) -> list[str]:
        """Return the names of the programs with spans, at most 10,000."""
        return self._reader.services()

    def operations(self, service: str) -> list[str]:
        """Return the names of the spans of a program, at most 10,000."""
        return self._reader.operations(service)

    def figures(self) -> TraceFigures:
        """Return figures."""
        return TraceFigures(
            spans=self._spans,
            duplicates=self._rows.duplicates + self._open.duplicates,
            rejected=self._rejected,
            over_limit=self._rows.over_limit + self._open.over_limit,
            not_indexed=self._rows.not_indexed,
            traces=self._rows.traces,
            merged=self._rows.merged,
            early=self._early,
            late_dropped=self._late_dropped,
            files_dropped=self._files.dropped,
            open_traces=len(self._open),
            open_spans=self._open.spans,
            bytes=self._files.size(),
            journal_bytes=self._journal.size,
        )

    def close(self) -> None:
        """Commit, and close the files. Traces that are not quiet stay in the journal for the next start.

        Raises:
            TraceStorageError: the journal cannot be written.
        """
        if self._lock < 0:
            return
        try:
            self._journal.commit()
        finally:
            self._journal.close()
            self._files.close()
            os.close(self._lock)
            self._lock = -1


def _lock(folder: Path) -> int:
    """Create the folder and lock it: two stores would overwrite each other's journal."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise ConfigurationError(
            f"cannot store traces in {folder}: another process uses it; stop it, or choose another folder"
        ) from error
    return file
