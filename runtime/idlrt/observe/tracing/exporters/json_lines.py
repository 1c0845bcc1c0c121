"""Exporter to a file: a JSON object for each span, one a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from idlrt.observe.tracing.batches import ExportFailed
from idlrt.observe.tracing.exporters.json_text import encode
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.printable import plural

__all__ = ["JsonLinesExporter", "json_span"]


class JsonLinesExporter:
    """Appends spans to a file; a `SpanExporter`. Several processes may append to one file.

    Args:
        path: the file; created if necessary.
        service: name of this program.
    """

    name = "json"

    def __init__(self, path: str | Path, service: str) -> None:
        self._path = Path(path)
        self._service = service
        self._is_torn = False

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Append spans, in one write, so that lines of several processes do not mix.

        Raises:
            ExportFailed: the disk filled up after some of them.
            OSError: the file cannot be written.
        """
        # A line that was written in part is ended first.
        data = b"\n" * self._is_torn + b"".join(json_span(each, self._service) + b"\n" for each in spans)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
        if written < len(data):
            done = data.count(b"\n", 0, written) - self._is_torn if written else 0
            self._is_torn = data[written - 1 : written] != b"\n" if written else self._is_torn
            raise ExportFailed(f"cannot write {self._path}: wrote {written} of {plural(len(data), 'byte')}", done)
        self._is_torn = False

    def close(self) -> None:
        """Do nothing: the file is closed after each batch."""


def json_span(span: FinishedSpan, service: str) -> bytes:
    """Return a span as JSON: names of OpenTelemetry, times in nanoseconds."""
    return encode(
        {
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "parent_id": span.parent_id,
            "service": service,
            "name": span.name,
            "kind": span.kind,
            "start_ns": span.started_at,
            "duration_ns": span.duration,
            "status": span.status,
            "message": span.message,
            "attributes": dict(span.attributes),
            "events": [
                {"at_ns": span.started_at + each.at, "name": each.name, "attributes": dict(each.attributes)}
                for each in span.events
            ],
            "links": [msgspec.to_builtins(each) for each in span.links],
            "is_late": span.is_late,
        }
    )
