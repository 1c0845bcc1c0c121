"""HTML pages of the admin port: its site, and the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from idlrt.observe.tracing.switch import TRACING
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import PageEntry
from idlrt.web import Column, Link, NavItem, Site, Table

__all__ = ["ADMIN_SITE", "html_index"]


def _has_spans() -> bool:
    return TRACING.store is not None


ADMIN_SITE: Final = Site(
    "Admin port",
    (
        NavItem("/", "Pages"),
        NavItem("/status", "Status"),
        NavItem("/rpcz", "Traces", _has_spans),
        NavItem("/livez?verbose", "Live"),
        NavItem("/readyz?verbose", "Ready"),
    ),
    "idlrt.server.admin",
)
"""Templates and navigation of all admin ports."""

_COLUMNS: Final = (
    Column(key="page", title="Page", is_sortable=False),
    Column(key="verb", title="Method", is_sortable=False),
    Column(key="title", title="Shows", is_sortable=False),
)


def html_index(request: HttpRequest, pages: Sequence[PageEntry]) -> HttpResponse:
    """Return the index of pages. Only those that are read with GET are links."""
    rows = [
        {
            "page": Link(each.path, each.path.removeprefix("/") or "./") if each.verb == "GET" else each.path,
            "verb": each.verb,
            "title": each.title,
        }
        for each in pages
    ]
    table = Table(id="pages", caption="Pages", columns=_COLUMNS, rows=rows, parameter="")
    return ADMIN_SITE.page(request, "index.html", title="Admin pages", table=table)
