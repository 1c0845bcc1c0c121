"""HTTP on the port of a server: whether it is on, and with which options and pages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from idlrt.core import Served
from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.pages import StaticPage
from idlrt.protocol.http.plugin import HttpProtocol
from idlrt.protocol.http.routes import has_routes
from idlrt.server.access import is_token_check
from idlrt.server.settings import Settings

__all__ = ["http_protocol"]

_NO_PAGES: Final[Mapping[bytes, StaticPage]] = {}


def http_protocol(served: Served, settings: Settings, address: Address) -> HttpProtocol | None:
    """Return HTTP with the options of a server; `None` if it is off.

    Raises:
        ConfigurationError: a route is invalid, or a package is missing or too old.
    """
    wanted, names = settings.http, settings.protocols
    if wanted is None:
        is_on = "http" in names if names is not None else any(has_routes(each.service) for each in served.services)
    else:
        is_on = wanted is not False
        if names is not None and is_on != ("http" in names):
            raise ConfigurationError(f"http={wanted!r} contradicts protocols={list(names)!r}")
    if not is_on:
        return None
    if find_spec("httptools") is None:
        what = "HTTP needs the package httptools: pip install 'idlc[http]'; or turn HTTP off with http=False"
        raise ConfigurationError(what)
    from idlrt.protocol.http.probe import check_parser

    check_parser()
    options = wanted if isinstance(wanted, Http) else Http()
    protocol = HttpProtocol(
        options,
        _pages(served, settings, options),
        is_loopback=address.is_loopback,
        routes=(options.beacon.route(),) if options.beacon is not None else (),
    )
    protocol.site(served, settings.reading)  # checks the routes
    return protocol


def _pages(served: Served, settings: Settings, options: Http) -> Mapping[bytes, StaticPage]:
    """Return the pages of the OpenAPI document, by path."""
    if not options.openapi:
        return _NO_PAGES
    from idlrt.openapi import OpenApiOptions, openapi_json, static_pages

    described = OpenApiOptions(
        title=options.title,
        version=options.version,
        prefix=options.prefix,
        i64_as_text=options.i64_as_text,
        enums_as_numbers=options.enums_as_numbers,
        require_token=any(map(is_token_check, settings.filters)),
    )
    document = openapi_json([each.service for each in served.services], described)
    return {path.encode(): page for path, page in static_pages(document, options.pages).items()}
