"""Measuring: what calls cost and come to.

- `metric`: descriptions of metrics, and their values; `catalogue`: all of them.
- `histogram`: durations in log-linear buckets, which merge by addition.
- `cells`: histograms and counters of many series, recorded without locks; `arena`: their memory.
- `server_calls`: the calls of one server; `client_calls`: those of clients, and their attempts.
- `sources`: the objects of a process that measure, read together; `snapshot`: what they read at one time.
- `figures`: number, rate, latency and errors of calls in a period; `monitor`: the last 15 minutes of a process.
- `views`: metrics as exporters show them; `exposition`: text for Prometheus; `prometheus`: for `prometheus_client`;
  `otlp`: for OpenTelemetry.
- `tracing`: where the time of a call goes; `exemplars`: a recorded call for each bucket of durations.
- `features`: actions as users see them; `beacon`: a route by which browsers and apps report them.
- `resources`: databases, caches and other systems; `adapters` measures their clients.
- `process`, `host`, `gc_pauses`, `loop_lag`: base figures.
- `dashboards`: dashboards for Grafana, and rules for Prometheus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports

if TYPE_CHECKING:
    from idlrt.observe.adapters import async_httpx_transport, httpx_transport, instrument
    from idlrt.observe.beacon import Beacon
    from idlrt.observe.cells import Counts, Histograms
    from idlrt.observe.features import Feature, Step, current_feature, feature, step
    from idlrt.observe.figures import Figures, Report
    from idlrt.observe.histogram import Histogram
    from idlrt.observe.loop_lag import LoopWatch, watch_loop
    from idlrt.observe.metric import OTHER, Derived, Metric, Series
    from idlrt.observe.monitor import History, Monitor, process_monitor
    from idlrt.observe.otlp import OtlpExporter, export_otlp
    from idlrt.observe.process import watch_process
    from idlrt.observe.prometheus import PrometheusCollector
    from idlrt.observe.resources import Operation, resource
    from idlrt.observe.snapshot import Snapshot
    from idlrt.observe.sources import PROCESS, SERVERS, Source, Sources, enable, read_all
    from idlrt.observe.tracing.logs import JsonFormatter, TraceFilter
    from idlrt.observe.tracing.setup import ActiveTracing, trace
    from idlrt.observe.tracing.spans import CarryingExecutor, carry, put, put_once, span, tags, trace_headers, trace_id

__all__ = [
    "OTHER",
    "PROCESS",
    "SERVERS",
    "ActiveTracing",
    "Beacon",
    "CarryingExecutor",
    "Counts",
    "Derived",
    "Feature",
    "Figures",
    "Histogram",
    "Histograms",
    "History",
    "JsonFormatter",
    "LoopWatch",
    "Metric",
    "Monitor",
    "Operation",
    "OtlpExporter",
    "PrometheusCollector",
    "Report",
    "Series",
    "Snapshot",
    "Source",
    "Sources",
    "Step",
    "TraceFilter",
    "async_httpx_transport",
    "carry",
    "current_feature",
    "enable",
    "export_otlp",
    "feature",
    "httpx_transport",
    "instrument",
    "process_monitor",
    "put",
    "put_once",
    "read_all",
    "resource",
    "span",
    "step",
    "tags",
    "trace",
    "trace_headers",
    "trace_id",
    "watch_loop",
    "watch_process",
]


if not TYPE_CHECKING:
    # What a program does not use it does not import.
    __getattr__ = lazy_exports(
        __name__,
        {
            "idlrt.observe.adapters": ("async_httpx_transport", "httpx_transport", "instrument"),
            "idlrt.observe.beacon": ("Beacon",),
            "idlrt.observe.cells": ("Counts", "Histograms"),
            "idlrt.observe.features": ("Feature", "Step", "current_feature", "feature", "step"),
            "idlrt.observe.figures": ("Figures", "Report"),
            "idlrt.observe.histogram": ("Histogram",),
            "idlrt.observe.loop_lag": ("LoopWatch", "watch_loop"),
            "idlrt.observe.metric": ("OTHER", "Derived", "Metric", "Series"),
            "idlrt.observe.monitor": ("History", "Monitor", "process_monitor"),
            "idlrt.observe.otlp": ("OtlpExporter", "export_otlp"),
            "idlrt.observe.process": ("watch_process",),
            "idlrt.observe.prometheus": ("PrometheusCollector",),
            "idlrt.observe.resources": ("Operation", "resource"),
            "idlrt.observe.snapshot": ("Snapshot",),
            "idlrt.observe.sources": ("PROCESS", "SERVERS", "Source", "Sources", "enable", "read_all"),
            "idlrt.observe.tracing.logs": ("JsonFormatter", "TraceFilter"),
            "idlrt.observe.tracing.setup": ("ActiveTracing", "trace"),
            "idlrt.observe.tracing.spans": (
                "CarryingExecutor",
                "carry",
                "put",
                "put_once",
                "span",
                "tags",
                "trace_headers",
                "trace_id",
            ),
        },
    )
