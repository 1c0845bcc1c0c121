"""Traces of the collector: what programs push, and what is asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from idlrt.collector.api import SpanBatch, TraceInfo, TraceSearch
from idlrt.collector.traces import TailSampling, TraceFigures, TraceQuery, TraceStorageError, TraceStore, TraceSummary
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["TraceKeeper"]

_log: Final = get_logger("idlrt.collector")

_MAINTAIN_S: Final = 1.0
_DEFAULT_LIMIT: Final = 20
_TRACE_ID_SIZE: Final = 32
_decoder: Final = msgspec.msgpack.Decoder(list[SpanRecord])
_encoder: Final = msgspec.msgpack.Encoder()


class TraceKeeper:
    """Stores spans, one batch at a time, and finds traces. Threads may share it.

    Args:
        folder: folder of the files.
        tail: which traces are kept; `None` for all.

    Raises:
        ConfigurationError: a file cannot be used.
    """

    def __init__(self, folder: Path, tail: TailSampling | None = None) -> None:
        self._store = TraceStore(folder, tail=tail)
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._maintain, name="idlrt traces", daemon=True)

    def start(self) -> None:
        """Begin to write traces that are complete."""
        self._thread.start()

    def put(self, batch: SpanBatch) -> None:
        """Store spans; they survive a restart once this returns.

        Raises:
            RemoteProtocolError: the batch cannot be read.
            ConfigurationError: a file is damaged.
            TraceStorageError: it cannot be written now.
        """
        try:
            spans = _decoder.decode(batch.spans)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RemoteProtocolError(f"cannot read the spans of {batch.service}: {error}") from None
        with self._lock:
            self._store.put(spans)
            self._store.commit()

    def _maintain(self) -> None:
        while not self._is_closed.wait(_MAINTAIN_S):
            try:
                with self._lock:
                    self._store.maintain()
            except TraceStorageError as error:
                _log.warning("cannot write traces: %s; retrying", error, extra={"kind": "traces"})
            except Exception:  # noqa: BLE001  # a fault of one trace must not end the thread
                _log.exception("cannot write traces; retrying", extra={"kind": "traces"})

    def search(self, search: TraceSearch) -> list[TraceInfo]:
        """Return the traces that are found.

        Raises:
            ConfigurationError: the search is invalid.
        """
        tags: Mapping[str, str] = search.tags or {}
        query = TraceQuery(
            start=search.start,
            end=search.end,
            service=search.service or "",
            operation=search.operation or "",
            tags=tags,
            min_s=search.min_duration or 0.0,
            is_failed=bool(search.failed),
            order="slowest" if search.slowest else "newest",
            limit=search.limit if search.limit is not None else _DEFAULT_LIMIT,
        )
        return [
            TraceInfo(
                trace_id=each.trace_id,
                started_at=each.started_at,
                duration=each.duration_s,
                service=each.service,
                operation=each.operation,
                spans=each.spans,
                failed=each.failed,
            )
            for each in self._store.search(query)
        ]

    def find(self, query: TraceQuery) -> list[TraceSummary]:
        """Return summaries of the traces that are complete and match.

        Raises:
            ConfigurationError: the query is invalid, or a file is damaged.
            TraceStorageError: a file cannot be read now.
        """
        return self._store.search(query)

    def find_open(self, query: TraceQuery) -> list[TraceSummary]:
        """Return summaries of traces that are not complete yet and match; see `TraceStore.search_open`.

        Raises:
            ConfigurationError: the query is invalid.
        """
        return self._store.search_open(query)

    def spans(self, trace_id: str) -> list[SpanRecord]:
        """Return the spans of a trace; none if it is unknown.

        Raises:
            ConfigurationError: a file is damaged.
            TraceStorageError: a file cannot be read now.
        """
        return self._store.trace(trace_id)

    def services(self) -> list[str]:
        """Return the names of the programs with spans."""
        return self._store.services()

    def operations(self, service: str) -> list[str]:
        """Return the names of the spans of a program."""
        return self._store.operations(service)

    def trace(self, trace_id: str) -> bytes:
        """Return the spans of a trace as `SpanBatch` has them.

        Raises:
            ConfigurationError: the id is invalid.
        """
        if len(trace_id) != _TRACE_ID_SIZE or not trace_id.isalnum():
            raise ConfigurationError(f"invalid trace id {trace_id!r}: expected {_TRACE_ID_SIZE} hex digits")
        return _encoder.encode(self._store.trace(trace_id))

    def figures(self) -> TraceFigures:
        """Return figures of the traces."""
        return self._store.figures()

    def close(self) -> None:
        """Write what can be written, and close the files."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._store.close()
