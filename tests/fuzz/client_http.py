"""Sends bytes to an HTTP client that waits for a response. Only errors of the runtime are raised, and what is told does
not depend on the cuts.

The first byte of an input says how it comes: 1, that limits are small; 2, byte by byte, else in two pieces; the rest
selects the method. The second byte says the size of the first piece.

python tests/fuzz/client_http.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

from guidance import fuzz, guided

with guided(__name__):
    from idlrt import spec as rpc
    from idlrt.errors import RpcError
    from idlrt.protocol import ConnectionBroken, PongReceived
    from idlrt.protocol.http.client import http_clients
    from idlrt.protocol.http.client_responses import CallResponse
    from idlrt.serialization import Limits
    from idlrt.spec import DeclaredError

IS_LIMITED, IS_BYTEWISE = 1, 2
SMALL = Limits(max_message=60, max_string=8, max_container=3, max_depth=2, max_decoded=4000)


class Node(rpc.Struct, kw_only=True):
    """A recursive struct with fields in all parts of a response."""

    name: str
    children: list[Any] | None = None
    counts: dict[int, float] | None = None
    tags: list[str] | None = None
    session: bytes | None = None
    status: int | None = None

    __thrift_fields__ = (
        rpc.required(1, "name", rpc.STRING),
        rpc.optional(2, "children", rpc.list_of(rpc.struct(lambda: Node))),
        rpc.optional(3, "counts", rpc.map_of(rpc.I64, rpc.DOUBLE)),
        rpc.optional(4, "tags", rpc.list_of(rpc.STRING), annotations={"http.header": "X-Tags"}),
        rpc.optional(5, "session", rpc.BINARY, annotations={"http.cookie": "sid"}),
        rpc.optional(6, "status", rpc.I16, annotations={"http.status": ""}),
    )


class Page(rpc.Struct, kw_only=True):
    """A result whose body is text."""

    text: str

    __thrift_fields__ = (rpc.required(1, "text", rpc.STRING, annotations={"http.raw_body": ""}),)


class Gone(DeclaredError):
    """An exception that methods declare."""

    id: int

    __thrift_fields__ = (rpc.required(1, "id", rpc.I64, annotations={"http.header": "X-Id"}),)


class Nodes:
    """Methods of the service."""

    def look(self) -> Node:
        """Has fields in all parts of a response."""
        raise NotImplementedError

    def page(self) -> Page:
        """Has a body that is no JSON."""
        raise NotImplementedError

    def check(self) -> int:
        """Has no body."""
        raise NotImplementedError

    def drop(self) -> None:
        """Has no result."""


THROWS = (rpc.optional(1, "gone", rpc.struct(Gone)),)
METHODS = (
    rpc.method(Nodes.look, result=rpc.struct(Node), throws=THROWS),
    rpc.method(Nodes.page, result=rpc.struct(Page), throws=THROWS),
    rpc.method(Nodes.check, result=rpc.I64, annotations={"http.head": "/c"}),
    rpc.method(Nodes.drop, result=rpc.VOID, oneway=True),
)
rpc.service("Nodes", *METHODS)
(CLIENT,), (SMALL_CLIENT,) = http_clients({}, Limits()), http_clients({}, SMALL)


def check(data: bytes) -> bool:
    """Whether a response could be read.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    if len(data) < 2:
        return False
    how, at, data = data[0], data[1], data[2:]
    pieces = [data[:at], data[at:]]
    if how & IS_BYTEWISE:
        pieces = [data[index : index + 1] for index in range(len(data))]
    told = _receive(how, [data])
    assert told == _receive(how, pieces), "what is told depends on how the bytes came"
    return any(each[0] == "result" for each in told)


def _receive(how: int, pieces: list[bytes]) -> list[tuple[Any, ...]]:
    connection = (SMALL_CLIENT if how & IS_LIMITED else CLIENT).connect()
    number = how >> 2
    if number % 5 == 4:
        connection.ping()
    else:
        connection.request(METHODS[number % 5], ())
    events = [event for piece in pieces for event in connection.receive_data(piece)]
    events += connection.receive_eof()
    assert [isinstance(event, ConnectionBroken) for event in events].count(True) <= 1
    assert not any(isinstance(event, ConnectionBroken) for event in events[:-1]), "an event follows the end"
    return [_told(event) for event in events]


def _told(event: object) -> tuple[Any, ...]:
    if isinstance(event, ConnectionBroken):
        assert len(str(event.error)) < 400, "an error echoes the response"
        return ("broken",)
    if isinstance(event, PongReceived):
        return "result", event.is_draining
    assert isinstance(event, CallResponse)
    seen = event.status, event.is_draining, dict(event.metadata)
    try:
        return "result", *seen, repr(event.result())
    except RpcError as error:
        return type(error).__name__, *seen, str(error)


def seeds() -> Iterator[bytes]:
    """Good responses, errors, and what is nearly so."""
    json, problem = b"Content-Type: application/json\r\n", b"Content-Type: application/problem+json\r\n"
    node = b'{"name":"a","children":[{"name":"b","counts":{"1":0.5}}]}'
    gone = b'{"type":"urn:idl:Gone","status":400,"fields":{}}'
    busy = b'{"type":"about:blank","detail":"no","code":"unavailable","rpc_code":11,"retry_after":0.5}'
    now, later = b"Tue, 01 Dec 2026 10:00:00 GMT", b"Tue, 01 Dec 2026 10:00:30 GMT"
    packed = gzip.compress(node, mtime=0)
    responses = [
        b"HTTP/1.1 200 OK\r\n%bX-Tags: a, b\r\nSet-Cookie: sid=eA; Path=/\r\nContent-Length: %d\r\n\r\n%b"
        % (json, len(node), node),
        b"HTTP/1.1 201 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\nA: b\r\n\r\n"
        % (json, len(node), node),
        b"HTTP/1.0 200 OK\r\n%bRpc-Metadata-A: b%%20c\r\n\r\n%b" % (json, node),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 400 Gone\r\n%bX-Id: 7\r\nContent-Length: %d\r\n\r\n%b" % (problem, len(gone), gone),
        b"HTTP/1.1 503 Busy\r\n%bRetry-After: 1\r\nContent-Length: %d\r\n\r\n%b" % (problem, len(busy), busy),
        b"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<p>gateway</p>",
        b"HTTP/1.1 200 OK\r\n%bContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (json, len(packed), packed),
        b"HTTP/1.1 429 Slow\r\nRetry-After: %b\r\nDate: %b\r\nContent-Length: 0\r\n\r\n" % (later, now),
    ]
    for number in range(5):
        for how in range(4):
            for response in responses:
                yield bytes([number << 2 | how, 20]) + response
        for response in responses:
            yield bytes([number << 2, 200]) + response + response


if __name__ == "__main__":
    fuzz(check, seeds)
