"""Pages of the admin port for programs: metrics, figures and their history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.observe.exposition import CONTENT_TYPE, OPENMETRICS_TYPE, exposition, wants_openmetrics
from idlrt.observe.figures import DIMENSIONS
from idlrt.observe.monitor import Monitor
from idlrt.observe.snapshot import encode_snapshot
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import AdminPages, text_page

__all__ = ["PERIODS", "add_metrics_pages"]

_JSON: Final = "application/json"

PERIODS: Final = (1, 10, 60, 300, 900)
"""Periods of figures, in seconds."""


def add_metrics_pages(pages: AdminPages, monitor: Monitor) -> None:
    """Add the pages of a server that measures."""
    pages.add("/metrics", partial(_in_thread, _metrics, monitor), "metrics for Prometheus")
    pages.add("/cells", partial(_in_thread, _cells, monitor), "metrics as JSON, with whole histograms")
    pages.add("/figures", partial(_in_thread, _figures, monitor), "figures of calls as JSON (?period=60&by=method)")
    pages.add("/history", partial(_in_thread, _history, monitor), "figures of the last 15 minutes as JSON")


async def _in_thread(
    page: Callable[[Monitor, HttpRequest], HttpResponse], monitor: Monitor, request: HttpRequest
) -> HttpResponse:
    """Run a page on another thread: with thousands of series it takes longer than health checks should wait."""
    try:
        return await asyncio.to_thread(page, monitor, request)
    except ConfigurationError as error:
        return text_page(400, str(error))


def _metrics(monitor: Monitor, request: HttpRequest) -> HttpResponse:
    is_openmetrics = wants_openmetrics(request.headers.get("accept", ""))
    text = exposition(monitor.families(), is_openmetrics=is_openmetrics)
    return HttpResponse(content_type=OPENMETRICS_TYPE if is_openmetrics else CONTENT_TYPE, body=text.encode())


def _cells(monitor: Monitor, request: HttpRequest) -> HttpResponse:
    return HttpResponse(content_type=_JSON, body=encode_snapshot(monitor.snapshot()) + b"\n")


def _figures(monitor: Monitor, request: HttpRequest) -> HttpResponse:
    given = _query(request, ("period", "side", "by", *DIMENSIONS))
    by = [each for each in given.pop("by", "method").split(",") if each]
    period, side = given.pop("period", "60"), given.pop("side", "server")
    known = *map(str, PERIODS), "all"
    if period not in known:
        raise ConfigurationError(f"period: must be one of {', '.join(known)}, got {period!r}")
    seconds = None if period == "all" else float(period)
    return _json(monitor.figures(seconds, side=side, by=by, where=given))


def _history(monitor: Monitor, request: HttpRequest) -> HttpResponse:
    given = _query(request, ("side", *DIMENSIONS))
    return _json(monitor.history(side=given.pop("side", "server"), where=given))


def _query(request: HttpRequest, known: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of a request.

    Raises:
        ConfigurationError: a parameter does not exist.
    """
    given = dict(request.query)
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{name}: there is no such parameter (known: {', '.join(known)})")
    return given


def _json(value: Any) -> HttpResponse:
    return HttpResponse(content_type=_JSON, body=msgspec.json.encode(value) + b"\n")
