"""HTTP as an `RpcProtocol` plugin: detection of its clients, and client options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from idlrt.protocol.base import ClientProtocol, Sniff
from idlrt.protocol.base import ServerConnection as ServerEnd
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.pages import InlineRoute, StaticPage
from idlrt.serialization.base import Limits

if TYPE_CHECKING:
    from idlrt.core import Instance, Served
    from idlrt.protocol.http.site import Site

__all__ = ["HttpProtocol"]

# The first bytes of requests, methods that are refused included.
_VERBS: Final = tuple(
    verb + b" " for verb in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE")
)
_LONGEST: Final = max(map(len, _VERBS))


class HttpProtocol:
    """HTTP/1.1; an `RpcProtocol`.

    Args:
        options: HTTP options of a server.
        pages: static pages by path.
        is_loopback: whether the server listens on a loopback address.
        routes: routes that connections respond to themselves.
    """

    name = "http"
    serializations: tuple[str, ...] = ("plain_json",)

    def __init__(
        self,
        options: Http | None = None,
        pages: Mapping[bytes, StaticPage] = {},
        *,
        is_loopback: bool = False,
        routes: Sequence[InlineRoute] = (),
    ) -> None:
        self.options: Final = options if options is not None else Http()
        self._pages = pages
        self._routes = routes
        self._is_loopback = is_loopback
        self._sites: dict[tuple[int, Limits], tuple[Served, Site]] = {}

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """Recognize the method of a request. No Thrift frame starts with these bytes: they exceed every limit."""
        if prefix.startswith(_VERBS):
            return Sniff.YES
        if len(prefix) < _LONGEST and any(verb.startswith(prefix) for verb in _VERBS):
            return Sniff.MORE
        return Sniff.NO

    def site(self, served: Served, limits: Limits) -> Site:
        """Return what a server with these services offers.

        Raises:
            ConfigurationError: a route is invalid, or `httptools` is not installed.
        """
        key = id(served), limits
        known = self._sites.get(key)
        if known is None:
            from idlrt.protocol.http.site import Site

            made = Site(served, limits, self.options, self._pages, is_loopback=self._is_loopback, routes=self._routes)
            known = self._sites[key] = served, made
        return known[1]

    def server(self, served: Served, limits: Limits) -> ServerEnd:
        from idlrt.protocol.http.server import ServerConnection

        return ServerConnection(self.site(served, limits))

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[ClientProtocol, ...]:
        from idlrt.protocol.http.client import http_clients

        return http_clients(options, limits, instance)
