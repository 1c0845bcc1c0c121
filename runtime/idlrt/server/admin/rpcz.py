"""The pages `/rpcz` and `/rpcz/TRACE_ID`: recent, slow and failed calls, and the spans of one trace in this process.

`?format=json` has what `idlrt trace` reads. Pages run on another thread, because large traces take longer than health
checks should wait.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.search_fields import parse_seconds, parse_tags
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.span_pages import SpanPage, encode_page, record_of
from idlrt.observe.tracing.store import SpanStore
from idlrt.observe.tracing.switch import TRACING
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import text_page, wanted_format
from idlrt.server.admin.rpcz_view import PARAMETERS, trace_page, traces_page
from idlrt.web import ViewState

__all__ = ["rpcz"]

_PATH: Final = "/rpcz"
_JSON: Final = "application/json"
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_ORDERS: Final = ("recent", "slow", "failed")
_LIMIT: Final = 100
_MAX_LIMIT: Final = 1000
_KNOWN: Final = ("format", "limit", *(each.name for each in PARAMETERS))


async def rpcz(request: HttpRequest) -> HttpResponse:
    """Return the response to a request."""
    store, tracer = TRACING.store, TRACING.tracer
    if store is None or tracer is None:
        return text_page(404, "tracing is off; call idlrt.observe.trace() before the server is created")
    try:
        return await asyncio.to_thread(_response, store, tracer.service, request)
    except ConfigurationError as error:
        return text_page(400, str(error))


def _response(store: SpanStore, service: str, request: HttpRequest) -> HttpResponse:
    wanted = wanted_format(request)
    if wanted not in ("json", "html"):
        if request.get("format"):
            raise ConfigurationError("format: must be json or html")
        wanted = "json"
    if request.path == _PATH:
        return _calls(store, service, request, is_html=wanted == "html")
    trace_id = request.path.removeprefix(f"{_PATH}/")
    if not _TRACE_ID.fullmatch(trace_id):
        raise ConfigurationError("the id of a trace has 32 lower-case hex digits")
    page = SpanPage(service=service, at=time.time(), spans=[record_of(each, service) for each in store.trace(trace_id)])
    return trace_page(request, trace_id, page) if wanted == "html" else _json(page)


def _calls(store: SpanStore, service: str, request: HttpRequest, *, is_html: bool) -> HttpResponse:
    state = ViewState(request, PARAMETERS)
    problem = ""
    found: list[FinishedSpan] = []
    try:
        found = _search(store, request)
    except ConfigurationError as error:
        if not is_html:
            raise
        problem = str(error)
    page = SpanPage(service=service, at=time.time(), spans=[record_of(each, service) for each in found])
    return traces_page(request, page, state, problem) if is_html else _json(page)


def _search(store: SpanStore, request: HttpRequest) -> list[FinishedSpan]:
    """Return the entry spans that a request asks for.

    Raises:
        ConfigurationError: a parameter is invalid.
    """
    given = dict(request.query)
    for name in given:
        if name not in _KNOWN:
            raise ConfigurationError(f"{name}: there is no such parameter (known: {', '.join(_KNOWN)})")
    order = given.get("order") or _ORDERS[0]
    if order not in _ORDERS:
        raise ConfigurationError(f"order: must be one of {', '.join(_ORDERS)}, got {order!r}")
    return store.entries(
        order,
        method=given.get("method", ""),
        tags=parse_tags("tag", " ".join(value for name, value in request.query if name == "tag")),
        status=given.get("status", ""),
        min_s=parse_seconds("min_s", given.get("min_s", "")),
        limit=_limit(given.get("limit", "")),
    )


def _limit(text: str) -> int:
    if not text:
        return _LIMIT
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MAX_LIMIT):
        raise ConfigurationError(f"limit: must be between 1 and {_MAX_LIMIT}, got {text!r}")
    return int(text)


def _json(page: SpanPage) -> HttpResponse:
    return HttpResponse(content_type=_JSON, body=encode_page(page) + b"\n")
