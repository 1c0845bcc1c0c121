"""The pages that all servers have."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

from idlrt.core import Status
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.switch import TRACING
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.checks import Check, FunctionCheck, PlainCheck
from idlrt.server.admin.health import HealthPage
from idlrt.server.admin.html_pages import html_index
from idlrt.server.admin.metrics_pages import add_metrics_pages
from idlrt.server.admin.pages import AdminPages, text_page, wanted_format
from idlrt.server.admin.rpcz import rpcz
from idlrt.server.admin.status import status_of, status_text
from idlrt.server.admin.status_page import StatusPage
from idlrt.server.admin.view import ServerView
from idlrt.server.registration_health import registration_failure
from idlrt.web import ASSETS_PATH, asset_page

__all__ = ["server_pages"]

_RPCZ: Final = "recent, slow and failed calls with their traces (?format=json, html)"
_JSON: Final = "application/json"


def server_pages(view: ServerView) -> AdminPages:
    """Return the pages of a server. Others may be added to them."""
    pages = AdminPages()
    pages.add("/", partial(_index, pages), "this index")
    pages.add("/livez", HealthPage("livez", _live_checks(view)), "whether the server runs", takes_name=True)
    pages.add("/readyz", HealthPage("readyz", _ready_checks(view)), "whether it can serve calls", takes_name=True)
    started = HealthPage("startupz", [_PING, PlainCheck("started", partial(_why_not_started, view))])
    pages.add("/startupz", started, "whether it has started", takes_name=True)
    html_status = StatusPage(view, pages)
    pages.add("/status", partial(_status, view, html_status), "state and configuration (?format=json, text, html)")
    if view.monitor is not None:
        add_metrics_pages(pages, view.monitor)
    pages.add("/rpcz", rpcz, _RPCZ, takes_name=True, is_listed=TRACING.store is not None)
    for path, status, title in (
        ("/disable", Status.DISABLED, "take the server out of rotation in its registry"),
        ("/enable", Status.UP, "put it into rotation"),
    ):
        pages.add(path, partial(_switch, view, status), title, verb="POST")
    pages.add(ASSETS_PATH, asset_page, "files of the pages for browsers", takes_name=True, is_listed=False)
    return pages


_PING: Final = PlainCheck("ping")


def _live_checks(view: ServerView) -> list[Check]:
    return [_PING, *view.loop_checks]


def _ready_checks(view: ServerView) -> list[Check]:
    checks: list[Check] = [*_live_checks(view), PlainCheck("serving", partial(_why_not_serving, view))]
    checks += view.ready_checks
    if view.registrar is not None:
        checks.append(PlainCheck("registered", partial(registration_failure, view.registrar)))
    checks += [FunctionCheck(name, function) for name, function in view.settings.health.items()]
    return checks


def _why_not_started(view: ServerView) -> str:
    return "" if view.started_at() else "starting"


def _why_not_serving(view: ServerView) -> str:
    return "draining" if view.is_stopping() else _why_not_started(view)


def _index(pages: AdminPages, request: HttpRequest) -> HttpResponse:
    if wanted_format(request) == "html":
        return html_index(request, pages.entries)
    width = max(len(each.path) for each in pages.entries)
    lines = [f"{each.verb:<4} {each.path:<{width}}  {each.title}" for each in pages.entries]
    return text_page(200, "\n".join(lines))


async def _status(view: ServerView, html_status: StatusPage, request: HttpRequest) -> HttpResponse:
    match wanted_format(request):
        case "json":
            body = json.dumps(status_of(view), ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace")
            return HttpResponse(content_type=_JSON, body=body + b"\n")
        case "html":
            return await html_status(request)
        case "text":
            return text_page(200, status_text(status_of(view)))
        case _:
            return text_page(400, "format: must be json, text or html")


def _switch(view: ServerView, status: Status, request: HttpRequest) -> HttpResponse:
    try:
        view.switch(status)
    except ConfigurationError as error:
        return text_page(409, str(error))
    body = json.dumps({"status": str(status)}).encode()
    return HttpResponse(content_type=_JSON, body=body + b"\n")
