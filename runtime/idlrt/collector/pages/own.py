"""The page `/collector`: packets, lag, drops, storage and programs of the collector itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.period import view_state
from idlrt.collector.pages.programs_table import state_badge
from idlrt.collector.pages.view import Section, View, page, paged
from idlrt.observe.histogram import Histogram
from idlrt.observe.sources import PROCESS
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Column, Parameter, Table

__all__ = ["collector_page"]

_PROGRAMS: Final = (
    Column(key="service", title="Service"),
    Column(key="instance", title="Instance"),
    Column(key="host", title="Host"),
    Column(key="version", title="Version"),
    Column(key="state", title="State"),
    Column(key="transport", title="Transport"),
    Column(key="started", title="Started (UTC)"),
    Column(key="lag", title="Lag", unit="duration", help="time between its last snapshot and its arrival"),
    Column(key="age", title="Last report", unit="duration", help="time since its last packet has arrived"),
)
_COUNTERS: Final = (
    Column(key="metric", title="Counter", is_sortable=False),
    Column(key="labels", title="Labels", is_sortable=False),
    Column(key="value", title="Value", unit="number", is_sortable=False),
)
_REFRESH_S: Final = 5
_PREFIX: Final = "rpc_collector_"


def collector_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page."""
    state = view_state(request, Parameter("sort"), Parameter("filter"), Parameter("page"))
    now = time.time()
    store, writer = context.store, context.writer
    traces = context.traces.figures()
    wanted = state["filter"].casefold()
    programs = context.programs.all()
    rows: list[Mapping[str, Any]] = []
    for each in programs:
        if wanted not in f"{each.service} {each.instance}".casefold():
            continue
        started = datetime.fromtimestamp(each.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        rows.append(
            {
                **each.resource,
                "state": state_badge(each),
                "transport": each.transport,
                "started": started,
                "lag": max(each.seen_at - each.at, 0.0),
                "age": max(now - each.seen_at, 0.0),
            }
        )
    counters: list[Mapping[str, Any]] = []
    for series in sorted(PROCESS.read(), key=lambda each: each.metric.name):
        if not series.metric.name.startswith(_PREFIX):
            continue
        for labels, value in sorted(series.values.items()):
            if not isinstance(value, Histogram):
                named = ", ".join(f"{name} {text}" for name, text in zip(series.metric.labels, labels, strict=True))
                counters.append({"metric": series.metric.name, "labels": named, "value": value})
    lags = [each.seen_at - each.at for each in programs if each.state == "live"]
    view = View(
        title="Collector",
        tiles=[
            ("Programs", sum(each.state == "live" for each in programs), "number", None),
            ("Lost", sum(each.state == "lost" for each in programs), "number", None),
            ("Packets that wait", writer.waiting, "number", None),
            ("Packets missing", writer.missing, "number", "bad" if writer.missing else None),
            ("Largest lag", max(lags, default=None), "duration", None),
            ("Open series", store.open_series, "number", None),
            ("Values over the limit", store.overflowed, "number", "bad" if store.overflowed else None),
            ("Values not stored", store.skipped, "number", "bad" if store.skipped else None),
            ("File of metrics", store.used_bytes, "bytes", None),
            ("Spans", traces.spans, "number", None),
            ("Spans over limits", traces.over_limit, "number", "bad" if traces.over_limit else None),
            ("Spans rejected", traces.rejected, "number", "bad" if traces.rejected else None),
            ("Traces not complete", traces.open_traces, "number", None),
            ("Files of traces", traces.bytes, "bytes", None),
            ("Running for", now - context.started_at, "duration", None),
        ],
        sections=[
            paged(
                "Programs",
                Table(
                    id="programs",
                    caption="Programs that push",
                    columns=_PROGRAMS,
                    rows=rows,
                    sort=state["sort"],
                    empty="no program matches the filter" if programs else "no program has pushed in the last hour",
                ),
                state,
            ),
            Section(
                title="Counters",
                table=Table(
                    id="counters",
                    caption="Counters of the collector since its start",
                    columns=_COUNTERS,
                    rows=counters,
                    parameter="",
                    empty="nothing has arrived yet",
                ),
            ),
        ],
        filter="Filter programs",
    )
    return page(context, request, state, None, view, refresh_s=_REFRESH_S)
