"""Requests of calls over HTTP, as the connection passes them to a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from idlrt.protocol.events import RequestReceived
from idlrt.protocol.http.replies import Reply
from idlrt.protocol.http.site import Endpoint

__all__ = ["HttpCall"]

_NOTHING: Final[Mapping[bytes, bytes]] = {}


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
    headers: Mapping[bytes, bytes] = _NOTHING
    body: bytes = b""
    status: int = 0
