"""Pages beside the routes of services: static ones, pages that are computed for each request, and inline routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from idlrt.spec import VOID, Method, Service, required

__all__ = ["PAGE", "PAGES", "HttpRequest", "HttpResponse", "InlineRoute", "RouteOption", "StaticPage"]


class StaticPage(msgspec.Struct, frozen=True):
    """A page that never changes.

    Attributes:
        content_type: type of the body.
        body: the body.
        headers: additional headers.
        status: status code.
    """

    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a computed page.

    Attributes:
        verb: HTTP method; HEAD arrives as GET.
        path: decoded path.
        query: parameters in their order; names may repeat.
        headers: headers by lower-case name.
        body: the body.
    """

    verb: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), default)


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Response with a computed page.

    Attributes:
        status: status code.
        content_type: type of the body.
        body: the body.
        headers: additional headers.
    """

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class InlineRoute(Protocol):
    """A route that a connection responds to itself. It is no call, so filters, guards and limits of calls do not apply,
    and it must return at once.
    """

    @property
    def path(self) -> str:
        """Path, without variables."""
        ...

    @property
    def verbs(self) -> tuple[str, ...]:
        """HTTP methods."""
        ...

    @property
    def max_bytes(self) -> int:
        """Largest body of a request."""
        ...

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request. It must not raise."""
        ...


class RouteOption(Protocol):
    """An option of a server that adds a route."""

    def route(self) -> InlineRoute:
        """Return the route of one server."""
        ...


PAGE: Final[Method[..., Any]] = Method("page", required(1, "request", VOID), result=VOID)
"""Method of computed pages: takes an `HttpRequest` and returns an `HttpResponse`, without any serialization."""

PAGES: Final = Service("Pages", PAGE)
"""Service with the method `PAGE`. A page is a call, so filters, guards, limits and timeouts apply to it."""
