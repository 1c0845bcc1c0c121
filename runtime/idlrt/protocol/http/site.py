"""Routes and pages of a server, and rules for all requests over HTTP. Its connections share it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import msgspec

from idlrt.core.metadata import AMBIENT
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.binding import RequestBinding
from idlrt.protocol.http.compression import zipped
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.pages import PAGE, PAGES, InlineRoute, StaticPage
from idlrt.protocol.http.results import ResultWriter
from idlrt.protocol.http.router import Found, Router
from idlrt.protocol.http.routes import ANY_VERB, Route, service_routes
from idlrt.protocol.http.templates import parse_template
from idlrt.serialization import Limits
from idlrt.spec import Method

if TYPE_CHECKING:
    from idlrt.core import Served

__all__ = ["Endpoint", "Site"]

_LOOPBACK_HOSTS: Final = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
_METADATA: Final = tuple(sorted(name.encode() for name in AMBIENT if name != "traceparent"))


class Endpoint(msgspec.Struct, frozen=True, eq=False):
    """Target of a route.

    Attributes:
        name: route for messages: `GET /users/{id} of UserService.get`.
        key: name in the method table of the server.
        method: method that is called.
        binding: reads arguments; `None` for computed pages, which take the request itself.
        writer: encodes responses.
        inline: route that the connection responds to itself; `None` for calls.
    """

    name: str
    key: str
    method: Method[..., Any]
    binding: RequestBinding | None
    writer: ResultWriter
    inline: InlineRoute | None = None

    def __str__(self) -> str:
        return self.name


class Site:
    """Routes and rules of one server.

    Args:
        served: services of the server.
        limits: limits of the server.
        options: HTTP options of the server.
        pages: static pages by path.
        is_loopback: whether the server listens on a loopback address, where requests must name it.
        routes: routes that connections respond to themselves.

    Raises:
        ConfigurationError: two routes match the same requests, an annotation is invalid, or a route uses the path of
            the pages.

    Attributes:
        options: HTTP options.
        limits: limits.
        hosts: hosts that requests may name; empty for any.
        metadata: names of headers that become metadata.
        pages: static pages by path.
    """

    def __init__(
        self,
        served: Served,
        limits: Limits,
        options: Http,
        pages: Mapping[bytes, StaticPage] = {},
        *,
        is_loopback: bool = False,
        routes: Sequence[InlineRoute] = (),
    ) -> None:
        self.options = options
        self.limits = limits
        self.pages = pages
        self.metadata = frozenset((*(each.encode() for each in options.metadata), *_METADATA))
        hosts = frozenset(each.encode() for each in options.hosts)
        self.hosts = hosts or (_LOOPBACK_HOSTS if is_loopback else frozenset())
        self._router: Router[Endpoint] = Router()
        self._zipped: dict[bytes, bytes] = {}
        self._date_at = 0
        self._date = b""
        for handlers in served.services:
            if handlers.service is PAGES:
                self._add_pages(limits)
                continue
            for route in service_routes(handlers.service, options.prefix):
                self._add(route)
        for inline in routes:
            self._add_inline(inline)

    def _add_inline(self, route: InlineRoute) -> None:
        endpoint = Endpoint(f"route {route.path}", "", PAGE, None, ResultWriter(PAGE, self.limits, self.options), route)
        for verb in route.verbs:
            self._router.add(verb, parse_template(route.path), endpoint)

    def _add(self, route: Route) -> None:
        name = f"{route} of {route.method.full_name}"
        reserved = self.options.pages
        if f"{route.template}/".startswith(f"{reserved}/"):
            raise ConfigurationError(f"{name}: paths below {reserved} are reserved; use Http(pages=...) to move them")
        endpoint = Endpoint(
            name,
            route.key,
            route.method,
            RequestBinding(route, self.limits, self.options),
            ResultWriter(route.method, self.limits, self.options),
        )
        self._router.add(route.verb, route.template, endpoint)

    def _add_pages(self, limits: Limits) -> None:
        endpoint = Endpoint("page", f"{PAGES.name}:{PAGE.name}", PAGE, None, ResultWriter(PAGE, limits, self.options))
        for path in ("/", "/{path=**}"):
            self._router.add(ANY_VERB, parse_template(path), endpoint)

    def find(self, verb: bytes, path: bytes) -> Found[Endpoint] | None:
        """Return the endpoint of a request, with the raw values of path variables; `None` if there is none."""
        found = self._router.find(verb, path)
        if found is None and verb == b"HEAD":
            return self._router.find(b"GET", path)
        return found

    def verbs(self, path: bytes) -> list[str]:
        """Return the verbs that a path supports; empty for an unknown path."""
        verbs = ["GET"] if path in self.pages else self._router.verbs(path)
        if verbs:
            if "GET" in verbs and "HEAD" not in verbs:
                verbs.append("HEAD")
            if "OPTIONS" not in verbs:
                verbs.append("OPTIONS")
        return verbs

    def is_host(self, host: bytes) -> bool:
        """Whether requests may name this host (the value of `Host`)."""
        if not self.hosts:
            return True
        name = host.lower()
        if name[-1:] != b"]":
            name, colon, port = name.rpartition(b":") if b":" in name else (name, b"", b"")
            if colon and not port.isdigit():
                return False
        return name in self.hosts

    def zipped_page(self, path: bytes) -> bytes:
        """Return the compressed body of a static page."""
        found = self._zipped.get(path)
        if found is None:
            found = self._zipped[path] = zipped(self.pages[path].body)
        return found

    def date_line(self) -> bytes:
        """Return the header line with the current date, which is computed once per second."""
        now = int(time.time())
        if now != self._date_at:
            self._date = f"date: {formatdate(now, usegmt=True)}\r\n".encode()
            self._date_at = now
        return self._date
