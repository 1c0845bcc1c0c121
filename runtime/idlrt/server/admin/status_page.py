"""The page `/status` for browsers: state and registrations, live figures, configuration.

Figures are those of the pages `/figures` and `/history`, which are asked as a program would ask them. The page is
rendered as a whole; the script of the web kit requests it again every few seconds, and replaces its live parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from idlrt.errors import ApplicationError
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.figures_view import (
    PERIODS,
    PLOTS,
    bucket_table,
    caller_table,
    code_table,
    history_table,
    method_table,
    tiles,
)
from idlrt.server.admin.html_pages import ADMIN_SITE
from idlrt.server.admin.pages import AdminPages
from idlrt.server.admin.status import status_of
from idlrt.server.admin.view import ServerView
from idlrt.web import Badge, Parameter, ViewState
from idlrt.web.tables import Level

__all__ = ["StatusPage"]

_REFRESH_S: Final = 5
_PARAMETERS: Final = (
    Parameter("period", "60", tuple(value for value, _ in PERIODS)),
    Parameter("method"),
    Parameter("filter"),
    Parameter("sort"),
    Parameter("callers"),
)
# Values of the status that come first, in sections of their own, before the figures.
_REGISTRATION: Final = ("registry", "registrations")
_LEVELS: Final[Mapping[str, Level]] = {
    "serving": "good",
    "registered": "good",
    "draining": "warning",
    "starting": "warning",
    "pending": "warning",
    "blocked": "bad",
    "displaced": "bad",
    "lost": "bad",
    "refused": "bad",
    "stopped": "bad",
}


class StatusPage:
    """The page of one server.

    Args:
        view: the server.
        pages: pages of the port, among which `/figures` and `/history` are looked for.
    """

    def __init__(self, view: ServerView, pages: AdminPages) -> None:
        self._view = view
        self._pages = pages

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        state = ViewState(request, _PARAMETERS)
        status = cast("dict[str, Any]", _with_badges(status_of(self._view)))
        simple = {name: value for name, value in status.items() if not _is_nested(value)}
        sections = {name: value for name, value in status.items() if _is_nested(value)}
        return ADMIN_SITE.page(
            request,
            "status.html",
            title=f"{self._view.served}",
            state=state,
            simple=simple,
            registration={name: sections.pop(name) for name in _REGISTRATION if name in sections},
            sections=sections,
            periods=PERIODS,
            plots=PLOTS,
            refresh_s=_REFRESH_S,
            has_plots=self._view.monitor is not None,
            figures=await self._figures(state) if self._view.monitor is not None else None,
        )

    async def _figures(self, state: ViewState) -> Mapping[str, Any]:
        """Return the variables of the template for what was measured.

        Raises:
            ApplicationError: a page of figures fails.
        """
        period, chosen = state["period"], state["method"]
        methods = await self._read("/figures", period=period, by="method")
        callers = await self._read("/figures", period=period, by="caller")
        history = await self._read("/history", **({"method": chosen} if chosen else {}))
        shown = methods["total"]
        if chosen:
            shown = next((row for row in methods["rows"] if row["labels"].get("method") == chosen), None)
        return {
            "chosen": chosen,
            "tiles": tiles(shown) if shown is not None else None,
            "methods": method_table(methods["rows"], state),
            "callers": caller_table(callers["rows"], state),
            "buckets": bucket_table(shown) if shown is not None else None,
            "codes": code_table(shown) if shown is not None else None,
            "history": history_table(history),
        }

    async def _read(self, path: str, **query: str) -> dict[str, Any]:
        """Return the content of another page of the port."""
        response = await self._pages.page(HttpRequest(verb="GET", path=path, query=tuple(query.items())))
        if response.status != 200:
            raise ApplicationError(f"{path}: {response.body.decode(errors='replace').strip()}")
        found: dict[str, Any] = msgspec.json.decode(response.body)
        return found


def _is_nested(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, dict) for each in cast("list[object]", value))
    return isinstance(value, dict)


def _with_badges(value: object, name: str = "") -> object:
    """Return the status with states as badges."""
    if isinstance(value, dict):
        return {key: _with_badges(each, key) for key, each in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_with_badges(each) for each in cast("list[object]", value)]
    if name == "state" and isinstance(value, str) and value in _LEVELS:
        return Badge(value, _LEVELS[value])
    return value
