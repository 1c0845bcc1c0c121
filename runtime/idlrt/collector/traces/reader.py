"""Reading of stored traces: searches, traces by their ids, and names. All threads may use it."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

import msgspec

from idlrt.collector.traces.digest import BUSINESS, Digest, digest_of, tag_value
from idlrt.collector.traces.hour_files import HourFiles
from idlrt.collector.traces.open_traces import OpenTraces, key_of
from idlrt.collector.traces.packing import pack_id, unpack
from idlrt.collector.traces.query import TraceQuery, TraceSummary, check_query, is_encodable
from idlrt.collector.traces.search import Bounds, search_file
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["TraceReader"]

_MICRO: Final = 1_000_000
_MAX_NAMES: Final = 10_000
# Open traces that a search looks at.
_MAX_OPEN: Final = 2_000


class TraceReader:
    """Reader of the traces of a store. See `TraceStore` for its methods.

    Args:
        files: its files.
        open: its open traces.
        indexed: names of indexed attributes.
    """

    def __init__(self, files: HourFiles, open: OpenTraces, indexed: Collection[str]) -> None:
        self._files = files
        self._open = open
        self._indexed = indexed

    def search(self, query: TraceQuery) -> list[TraceSummary]:
        """Return summaries of the written traces that match."""
        start, end = check_query(query)
        for name in query.tags:
            # Business tags have no dots in their names.
            if "." in name and not name.startswith(BUSINESS) and name not in self._indexed:
                raise ConfigurationError(
                    f"search for traces: attribute {name!r} is not indexed; add it to indexed_tags "
                    f"(indexed: {', '.join(sorted(self._indexed))})"
                )
        bounds = Bounds(math.floor(start * _MICRO), math.floor(end * _MICRO), round(max(query.min_s, 0.0) * _MICRO))
        if query.max_s is not None and math.isfinite(query.max_s):
            bounds = msgspec.structs.replace(bounds, max=round(query.max_s * _MICRO))
        found: dict[str, TraceSummary] = {}
        for file in self._files.within(bounds.start, bounds.end):
            oldest = min((each.started_at for each in found.values()), default=0.0)
            if query.order == "newest" and len(found) >= query.limit and (file.last or 0) < round(oldest * _MICRO):
                break  # all others are older
            with self._files.reader(file) as database:
                results = [] if database is None else search_file(database, file.base, query, bounds)
            for each in results:
                known = found.get(each.trace_id)
                if known is None or known.spans < each.spans:
                    found[each.trace_id] = each
            best = sorted(found.values(), key=_newest if query.order == "newest" else _slowest)[: query.limit]
            found = {each.trace_id: each for each in best}
            if query.order == "slowest" and len(best) == query.limit:
                bounds = msgspec.structs.replace(bounds, min=max(bounds.min, round(best[-1].matched_s * _MICRO)))
        return list(found.values())

    def search_open(self, query: TraceQuery) -> list[TraceSummary]:
        """Return summaries of the open traces that match."""
        start, end = check_query(query)
        found: list[TraceSummary] = []
        for trace_id, spans in self._open.latest(_MAX_OPEN):
            digest = digest_of(spans, self._indexed)
            matched = _matched(digest, query)
            if matched is None or not start * _MICRO <= digest.start < end * _MICRO:
                continue
            found.append(
                TraceSummary(
                    trace_id=trace_id,
                    started_at=digest.start / _MICRO,
                    duration_s=digest.duration / _MICRO,
                    service=digest.root[0],
                    operation=digest.root[1],
                    spans=digest.spans,
                    failed=digest.failed,
                    services=digest.services,
                    matched_s=matched / _MICRO,
                )
            )
        return sorted(found, key=_newest if query.order == "newest" else _slowest)[: query.limit]

    def trace(self, trace_id: str) -> list[SpanRecord]:
        """Return the spans of a trace."""
        if not is_encodable(trace_id):
            return []
        # Open traces first: a trace is removed from them after it is in a file.
        spans = {key_of(each): each for each in self._open.get(trace_id)}
        for file in self._files.newest_first():
            with self._files.reader(file) as database:
                if database is not None:
                    statement = "SELECT data FROM spans JOIN trace USING (no) WHERE id = ?"
                    row = database.execute(statement, (pack_id(trace_id),)).fetchone()
                    if row is not None:
                        spans |= {key_of(each): each for each in unpack(trace_id, row[0])}
        return sorted(spans.values(), key=lambda each: (each.started_at, each.span_id))

    def services(self) -> list[str]:
        """Return the names of the programs with spans."""
        found = {service for service, _ in self._open.calls()}
        for file in self._files.newest_first():
            with self._files.reader(file) as database:
                if database is not None:
                    rows = database.execute("SELECT DISTINCT service FROM operation LIMIT ?", (_MAX_NAMES,))
                    found.update(each for (each,) in rows if isinstance(each, str))
        return sorted(found)[:_MAX_NAMES]

    def operations(self, service: str) -> list[str]:
        """Return the names of the spans of a program."""
        if not is_encodable(service):
            return []
        found = {name for each, name in self._open.calls() if each == service}
        statement = "SELECT name FROM operation WHERE service = ? LIMIT ?"
        for file in self._files.newest_first():
            with self._files.reader(file) as database:
                if database is not None:
                    rows = database.execute(statement, (service, _MAX_NAMES))
                    found.update(each for (each,) in rows if isinstance(each, str))
        return sorted(found)[:_MAX_NAMES]


def _matched(digest: Digest, query: TraceQuery) -> int | None:
    """Return the duration of a trace that a query compares, in microseconds; `None` if the trace does not match."""
    for name, value in query.tags.items():
        if not {(name, tag_value(value)), (BUSINESS + name, tag_value(value))} & digest.tags:
            return None
    if query.service or query.operation:
        durations = [
            duration
            for (service, name), (duration, is_failed) in digest.calls.items()
            if query.service in ("", service) and query.operation in ("", name) and (is_failed or not query.is_failed)
        ]
    else:
        durations = [digest.duration] if digest.failed or not query.is_failed else []
    high = math.inf if query.max_s is None else query.max_s * _MICRO
    return max((each for each in durations if query.min_s * _MICRO <= each <= high), default=None)


def _newest(summary: TraceSummary) -> tuple[float, str]:
    return -summary.started_at, summary.trace_id


def _slowest(summary: TraceSummary) -> tuple[float, float]:
    return -summary.matched_s, -summary.started_at
