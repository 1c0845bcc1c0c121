"""Traces of the collector: a store of traces in files of an hour, their search, and tail sampling.

A trace is one row once it is quiet. `TraceStore` puts, searches and reads; `TraceQuery` says what to search for;
`TailSampling` decides which traces are kept.
"""

from __future__ import annotations

from idlrt.collector.traces.failures import TraceStorageError
from idlrt.collector.traces.figures import TraceFigures, TraceLimits
from idlrt.collector.traces.query import TraceQuery, TraceSummary
from idlrt.collector.traces.store import TraceStore
from idlrt.collector.traces.tail_sampling import TailSampling

__all__ = [
    "TailSampling",
    "TraceFigures",
    "TraceLimits",
    "TraceQuery",
    "TraceStorageError",
    "TraceStore",
    "TraceSummary",
]
