"""Interface of the programs of a chain over HTTP, ours and those of others: each calls the next one.

`GET /visits/PLACE` answers with a list of JSON objects, one for each program: its own first, then those behind it.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, Protocol

from eventually import TIMEOUT

from idlrt import spec as rpc
from idlrt.client import AsyncClient, Client
from idlrt.core import Handlers, bind

__all__ = ["AsyncVisitsClient", "Hop", "VisitsClient", "ask_hops", "visits"]


class Hop(rpc.Struct, kw_only=True):
    """A program that a request came through.

    Attributes:
        service: its name.
        trace_id: id of the trace in its words; empty for none.
        headers: headers with trace context, as they arrived, by names in lower case.
        carried: tags and baggage, as it reads them.
    """

    service: str
    trace_id: str
    headers: dict[str, str]
    carried: dict[str, str]

    __thrift_fields__ = (
        rpc.required(1, "service", rpc.STRING),
        rpc.required(2, "trace_id", rpc.STRING),
        rpc.required(3, "headers", rpc.map_of(rpc.STRING, rpc.STRING)),
        rpc.required(4, "carried", rpc.map_of(rpc.STRING, rpc.STRING)),
    )


class Visits(Protocol):
    def visit(self, place: str) -> list[Hop]: ...


VISIT: Final = rpc.method(
    Visits.visit,
    rpc.required(1, "place", rpc.STRING),
    result=rpc.list_of(rpc.struct(Hop)),
    annotations={"http.get": "/visits/{place}"},
    policy={"timeout": f"{TIMEOUT:g}"},
)
SERVICE: Final = rpc.service("Visits", VISIT)


class VisitsClient(Client):
    __thrift_service__ = SERVICE

    def visit(self, place: str) -> list[Hop]:
        return self._call(VISIT, place)


class AsyncVisitsClient(AsyncClient):
    __thrift_service__ = SERVICE

    async def visit(self, place: str) -> list[Hop]:
        return await self._call(VISIT, place)


def visits(handler: object) -> Handlers:
    return bind(SERVICE, handler)


def ask_hops(url: str, place: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the hops of a request of a client without tracing, by service: a `Hop`, as JSON.

    Args:
        url: URL of the first program.
        place: name of the place.
        headers: headers of the request.
    """
    request = urllib.request.Request(f"{url}/visits/{place}", headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return {each["service"]: each for each in json.load(response)}
