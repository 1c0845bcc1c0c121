"""Spans as admin ports show them, made by hand."""

from __future__ import annotations

from typing import Any

from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["span"]


def span(id: str, parent: str = "", began: float = 0.0, duration: float = 1.0, **changes: Any) -> SpanRecord:
    """Return a span that begins `began` seconds after the first one; `changes` replace fields."""
    return SpanRecord(
        **{
            "trace_id": "t",
            "span_id": id,
            "parent_id": parent,
            "name": id,
            "kind": "internal",
            "started_at": 1000.0 + began,
            "duration_s": duration,
            **changes,
        }
    )
