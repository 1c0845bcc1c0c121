"""All pages of the collector by path, as the handler of a server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Final, TypeAlias

from idlrt.collector.pages.alerts_page import alerts_page
from idlrt.collector.pages.call_tail import tail_page
from idlrt.collector.pages.calls import method_page, service_page
from idlrt.collector.pages.compare import compare_page
from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.governance import governance_page
from idlrt.collector.pages.graph import graph_page
from idlrt.collector.pages.hosts import host_page, hosts_page
from idlrt.collector.pages.overview import methods_page, overview_page
from idlrt.collector.pages.own import collector_page
from idlrt.collector.pages.subjects import features_page, resources_page
from idlrt.collector.pages.traces import traces_page
from idlrt.collector.store import StoreError
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import AdminPages, Page, text_page
from idlrt.web import ASSETS_PATH, asset_page

__all__ = ["collector_pages"]

_Blocking: TypeAlias = Callable[[PageContext, HttpRequest], HttpResponse]

_TRACES: Final = "/traces"
_PAGES: Final[tuple[tuple[str, _Blocking, str], ...]] = (
    ("/", overview_page, "services"),
    ("/service", service_page, "one service"),
    ("/methods", methods_page, "methods of all services"),
    ("/method", method_page, "one method"),
    ("/graph", graph_page, "which services call which"),
    ("/hosts", hosts_page, "hosts"),
    ("/host", host_page, "one host"),
    ("/resources", resources_page, "operations of databases, caches and other resources"),
    ("/features", features_page, "features as users see them"),
    ("/governance", governance_page, "breakers, ejections, retries and rejected calls"),
    ("/compare", compare_page, "comparison with earlier periods"),
    (_TRACES, traces_page, "search for traces, and the waterfall of one"),
    ("/calls", tail_page, "slow and failed calls of the last hour"),
    ("/alerts", alerts_page, "alerts, silences and changes of states"),
    ("/collector", collector_page, "load of the collector itself"),
)


def collector_pages(context: PageContext) -> AdminPages:
    """Return all pages."""
    pages = AdminPages()
    for path, function, title in _PAGES:
        pages.add(path, _in_thread(context, function), title, takes_name=path == _TRACES)
    pages.add(ASSETS_PATH, asset_page, "files of the pages for browsers", takes_name=True, is_listed=False)
    return pages


def _in_thread(context: PageContext, function: _Blocking) -> Page:
    """Return a page that runs on another thread: queries take longer than the event loop should wait."""

    async def respond(request: HttpRequest) -> HttpResponse:
        try:
            return await asyncio.to_thread(function, context, request)
        except ConfigurationError as error:
            return text_page(400, str(error))
        except (StoreError, sqlite3.Error) as error:
            return text_page(503, f"cannot read what was stored: {error}")

    return respond
