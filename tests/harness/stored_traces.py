"""Spans and stores for tests of the trace store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from idlrt.collector.traces import TraceStore
from idlrt.observe.tracing.span import Attribute
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["NOW", "Clock", "id_of", "search_range", "span", "store_in", "write_all"]

NOW = 1_760_000_400.0
"""Start of the virtual time, at the start of an hour."""


class Clock:
    """Virtual clock.

    Attributes:
        time: seconds since 1970.
    """

    def __init__(self, time: float = NOW) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


def id_of(number: int) -> str:
    """Return the id of a trace."""
    return f"{number:032x}"


def span(
    trace: int | str,
    number: int = 1,
    parent: int = 0,
    *,
    began: float = 0.0,
    duration: float = 0.1,
    attributes: Mapping[str, Attribute] | None = None,
    **changes: Any,
) -> SpanRecord:
    """Return a span that starts `began` seconds after `NOW`."""
    return SpanRecord(
        **{
            "trace_id": trace if isinstance(trace, str) else id_of(trace),
            "span_id": f"{number:016x}",
            "parent_id": f"{parent:016x}" if parent else "",
            "service": "shop",
            "name": "Shop.find",
            "kind": "server",
            "started_at": NOW + began,
            "duration_s": duration,
            "attributes": attributes or {},
            **changes,
        }
    )


def store_in(folder: Path, clock: Clock | None = None, **changes: Any) -> TraceStore:
    """Return a store in virtual time."""
    return TraceStore(folder, now=clock or Clock(), **changes)


def write_all(store: TraceStore, clock: Clock, spans: Sequence[SpanRecord] = ()) -> None:
    """Put spans, and let time pass until all traces are written."""
    store.put(spans)
    store.commit()
    clock.time += 11.0
    store.maintain()


def search_range() -> dict[str, Any]:
    """Return a time range of 7 days around the virtual time."""
    return {"start": NOW - 86400.0, "end": NOW + 6 * 86400.0}
