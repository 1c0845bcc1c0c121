"""Requests of calls over HTTP, as the connection passes them to a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from idlrt.protocol.events import RequestReceived
from idlrt.protocol.http.forms import parse_pairs
from idlrt.protocol.http.pages import HttpRequest
from idlrt.protocol.http.replies import Reply
from idlrt.protocol.http.site import Endpoint
from idlrt.protocol.http.templates import unquoted

__all__ = ["NO_HEADERS", "HttpCall", "page_request"]

NO_HEADERS: Final[Mapping[bytes, bytes]] = {}


class HttpCall(RequestReceived, frozen=True, gc=False, kw_only=True):
    """A request.

    Attributes:
        endpoint: endpoint; `None` for a request that is refused.
        reply: builds the response.
        values: raw values of the path's variables.
        query: raw query.
        headers: values by lower-case name.
        body: decoded body.
        status: status of the refusal; 0 if its code decides.
    """

    acknowledges_oneway: ClassVar[bool] = True

    endpoint: Endpoint | None
    reply: Reply
    values: tuple[bytes, ...] = ()
    query: bytes = b""
    headers: Mapping[bytes, bytes] = NO_HEADERS
    body: bytes = b""
    status: int = 0


def page_request(verb: bytes, path: bytes, query: bytes, headers: Mapping[bytes, bytes], body: bytes) -> HttpRequest:
    """Return the argument of a computed page.

    Raises:
        RemoteProtocolError: the path or the query is not valid UTF-8, or has too many parameters.
    """
    pairs = parse_pairs(query, "query")
    return HttpRequest(
        verb="GET" if verb == b"HEAD" else verb.decode(),
        path=unquoted(path, "path"),
        query=tuple((name, value) for name, found in pairs.items() for value in found),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()},
        body=body,
    )
