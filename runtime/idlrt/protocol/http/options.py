"""Options of HTTP on a server."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.protocol.http.pages import RouteOption
from idlrt.protocol.http.templates import parse_template

__all__ = ["PREFIX_KEY", "Cors", "Http"]

PREFIX_KEY: Final = "http.prefix"
"""Key in `Instance.metadata`: path in front of the routes of an instance, for example `/shop`."""

_ORIGIN: Final = re.compile(r"https?://[^/\s?#@]+")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
_LARGEST: Final = 1 << 30


class Cors(msgspec.Struct, frozen=True, kw_only=True):
    """Cross-origin requests that browsers may send (CORS).

    Source: https://fetch.spec.whatwg.org/#http-cors-protocol

    Attributes:
        origins: allowed origins, such as `https://app.example.com`; `*` allows all.
        headers: request headers that pages may set beyond those of the runtime (`Content-Type`, `Authorization`,
            `Rpc-Timeout-Ms`, W3C trace context, `Http(metadata=...)`), such as those of functions (`http.header`).
        exposed: response headers that pages may read beyond the safelisted ones, such as `ETag`.
        credentials: whether requests may carry cookies; not together with the origin `*`.
        max_age: seconds for which browsers may cache the answer to a preflight request.

    Raises:
        ConfigurationError: a value is invalid.
    """

    origins: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 600

    def __post_init__(self) -> None:
        _set_names(self, "origins", _ORIGIN, "an origin such as 'https://app.example.com', or '*'", also="*")
        _set_names(self, "headers", _TOKEN, "a header name")
        _set_names(self, "exposed", _TOKEN, "a header name")
        _check_number("Cors", "max_age", self.max_age, 0, 86_400 * 365)
        if not self.origins:
            raise ConfigurationError("Cors: origins: must have at least one origin")
        if self.credentials and "*" in self.origins:
            raise ConfigurationError("Cors: credentials: must be False if all origins ('*') are allowed; list them")


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """HTTP on the port of a server. Sizes are in bytes, times in seconds.

    Attributes:
        prefix: path in front of all routes, such as `/api`, but not of `pages`; empty for none.
        openapi: whether to serve the OpenAPI document and a page to read it and try calls.
        pages: path below which both are: `/_idl/openapi.json` and `/_idl/`. Routes cannot use it.
        title: title of the OpenAPI document; empty for the first sentence of the comment at the top of the IDL file, or
            else the names of the services.
        version: version of the API in the OpenAPI document.
        cors: cross-origin requests that browsers may send. `None`: none.
        hosts: names and addresses that the `Host` header may have, without port. Empty: any, but on a loopback
            address only loopback names, so that web pages cannot reach the server through a name of their own (DNS
            rebinding).
        metadata: request headers that handlers get as metadata, in addition to `authorization` and W3C trace context.
            Clients of this runtime send all their metadata, as `Rpc-Metadata-*`.
        gzip: smallest body of a response to compress for clients that accept it; 0 disables. Responses to requests
            with cookies are never compressed (BREACH).
        i64_as_text: write `i64` as text, for readers whose numbers are doubles (JavaScript).
        enums_as_numbers: write enums as numbers. Names and numbers are read.
        max_line: longest request line.
        max_head: largest request head.
        max_headers: highest number of headers.
        max_requests: requests after which a connection is closed; 0 for any number.
        head_timeout: time within which the head of a request must arrive.
        beacon: an `idlrt.observe.Beacon`: a route by which browsers and apps report figures of features. `None`: none.
        keep_alive: time after which a connection without requests is closed; longer than the usual 60 seconds of load
            balancers, so that they close first.

    Raises:
        ConfigurationError: a value is invalid.
    """

    prefix: str = ""
    openapi: bool = False
    pages: str = "/_idl"
    title: str = ""
    version: str = "0"
    cors: Cors | None = None
    hosts: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ("x-request-id",)
    gzip: int = 1024
    i64_as_text: bool = False
    enums_as_numbers: bool = False
    max_line: int = 8192
    max_head: int = 32_768
    max_headers: int = 100
    max_requests: int = 10_000
    head_timeout: float = 10.0
    keep_alive: float = 75.0
    beacon: RouteOption | None = None

    def __post_init__(self) -> None:
        _set_names(self, "hosts", _HOST, "a host name or address without port")
        _set_names(self, "metadata", _TOKEN, "a header name")
        for name in ("prefix", "pages"):
            path: object = getattr(self, name)
            if not isinstance(path, str):
                raise ConfigurationError(f"Http: {name}: must be a path, got {path!r}")
            path = path.rstrip("/")
            try:
                has_variables = bool(path and parse_template(path).variables)
            except ConfigurationError as error:
                raise ConfigurationError(f"Http: {name}: {error}") from None
            if has_variables:
                raise ConfigurationError(f"Http: {name}: must not have variables, got {path!r}")
            msgspec.structs.force_setattr(self, name, path)
        if not self.pages:
            raise ConfigurationError("Http: pages: must not be empty")
        for name in ("gzip", "max_requests"):
            _check_number("Http", name, getattr(self, name), 0, _LARGEST)
        for name in ("max_line", "max_head", "max_headers"):
            _check_number("Http", name, getattr(self, name), 1, _LARGEST)
        for name in ("head_timeout", "keep_alive"):
            _check_number("Http", name, getattr(self, name), 0, 1e6)
        if not isinstance(getattr(self, "cors"), Cors | None):  # noqa: B009  # type checkers know that it is one
            raise ConfigurationError(f"Http: cors: must be an `idlrt.Cors`, got {self.cors!r}")
        if self.beacon is not None and not callable(getattr(self.beacon, "route", None)):
            raise ConfigurationError(f"Http: beacon: must be an `idlrt.observe.Beacon`, got {self.beacon!r}")


def _set_names(of: Any, name: str, pattern: re.Pattern[str], what: str, also: str = "") -> None:
    """Check a list of names, and store it in lower case."""
    given: object = getattr(of, name)
    kind = type(of).__name__
    if isinstance(given, str) or not isinstance(given, list | tuple):
        raise ConfigurationError(f"{kind}: {name}: must be a list, got {given!r}")
    names: list[str] = []
    for each in given:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(each, str) or not (each == also or pattern.fullmatch(each)):
            raise ConfigurationError(f"{kind}: {name}: must be {what}, got {each!r}")
        names.append(each.lower())
    msgspec.structs.force_setattr(of, name, tuple(names))


def _check_number(kind: str, name: str, value: object, least: float, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"{kind}: {name}: must be between {least:g} and {most:g}, got {value!r}")
