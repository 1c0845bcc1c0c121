"""Tracing: where the time of a call goes, across services, threads and tasks.

- `context`: what travels with a call; `propagation`: its formats.
- `sampling`: which traces are recorded; `thresholds`: the arithmetic of consistent sampling.
- `store`: recent spans; `span_pages`: as admin ports show them; `waterfall`: the tree of a trace;
  `waterfall_view`: as pages show it.
- `logs`: traces in log records; `access_log`: a record for each recorded call.
"""

from __future__ import annotations

from idlrt.observe.tracing.context import Incoming, Outgoing, TraceContext, new_span_id, new_trace_id

__all__ = ["Incoming", "Outgoing", "TraceContext", "new_span_id", "new_trace_id"]
