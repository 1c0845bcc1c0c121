"""Traces in logs: fields of records, and a formatter for JSON lines.

Field names are those of the log data model of OpenTelemetry (`trace_id`, `span_id`, `trace_flags`), and those of its
instrumentation of `logging` (`otelTraceID`, `otelSpanID`), so that both kinds of collectors find them.

Source: https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import msgspec

from idlrt.core import current_call
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.trace import current_trace

__all__ = ["JsonFormatter", "TraceFilter"]

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_ADDED: Final = ("trace_id", "span_id", "trace_flags", "service", "method", "caller", "tags")


class TraceFilter(logging.Filter):
    """Filter for handlers that adds the trace and the call of a record; it drops nothing.

    Records get `trace_id`, `span_id`, `trace_flags`, `service`, `method`, `caller` and `tags`, empty outside of calls,
    and `otelTraceID`, `otelSpanID`, `otelTraceSampled`. They are set where the record is made, so add the filter to
    handlers that run on the thread of the call, not behind a queue.

    Args:
        service: name of this program. Default: that of tracing.
    """

    def __init__(self, service: str = "") -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, and keep the record."""
        fields: dict[str, Any] = record.__dict__
        trace, call, tracer = current_trace(), current_call(), TRACING.tracer
        if "trace_id" not in fields:  # those of the access log have it, and so has one that another handler has seen
            context = trace.context if trace is not None else None
            fields["trace_id"] = context.trace_id if context is not None else ""
            fields["span_id"] = context.span_id if context is not None else ""
            fields["trace_flags"] = "01" if context is not None and context.is_sampled else "00"
        fields["otelTraceID"] = fields["trace_id"] or "0"
        fields["otelSpanID"] = fields.setdefault("span_id", "") or "0"
        fields["otelTraceSampled"] = fields.setdefault("trace_flags", "00") == "01"
        fields["service"] = self._service or (tracer.service if tracer is not None else "")
        # Records of the runtime about a call have these fields already.
        fields.setdefault("method", call.method.full_name if call is not None else "")
        fields.setdefault("caller", call.context.caller if call is not None else "")
        fields["tags"] = {**trace.tags, **trace.once} if trace is not None else {}
        return True


class JsonFormatter(logging.Formatter):
    """Formatter for JSON lines: time, level, logger, message, fields of the trace, and the fields in `extra`.

    Use it with `TraceFilter` on the same handler; without it, it adds the fields of the trace itself.
    """

    def __init__(self, service: str = "") -> None:
        super().__init__()
        self._filter = TraceFilter(service)

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON."""
        if "otelTraceID" not in record.__dict__:
            self._filter.filter(record)
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        values: dict[str, Any] = record.__dict__
        found |= {name: values[name] for name in _ADDED if values.get(name)}
        found |= {
            name: value
            for name, value in values.items()
            if name not in _STANDARD and name not in found and name not in _ADDED and not name.startswith(("otel", "_"))
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(found, enc_hook=str).decode()
