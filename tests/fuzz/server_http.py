"""Sends bytes to a server that speaks HTTP. Nothing is raised, and what is told does not depend on the cuts.

That also compares the two ways to read a request: plain ones that arrive as a whole, and all others. The first byte of
an input says how it comes: 1, that limits are small; 2, byte by byte; else in two pieces, of which the second byte says
the size of the first.

python tests/fuzz/server_http.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from guidance import fuzz, guided

with guided(__name__):
    from idlrt import spec as rpc
    from idlrt.core import bind, serve
    from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
    from idlrt.protocol import ConnectionBroken, RequestReceived, ServerEvent
    from idlrt.protocol.events import DataToSend, EndOfRequests
    from idlrt.protocol.http import HttpProtocol
    from idlrt.protocol.http.calls import HttpCall
    from idlrt.protocol.http.options import Cors, Http
    from idlrt.protocol.http.server import ServerConnection
    from idlrt.serialization import Limits

IS_LIMITED, IS_BYTEWISE = 1, 2
LIMITS = Limits()
SMALL = Limits(max_message=40, max_string=8, max_container=3, max_depth=2, max_decoded=4000)
SMALL_HTTP = Http(max_line=60, max_head=200, max_headers=4, max_requests=3)
RESPONSE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [A-Z][ -~]*\r\n((?:[a-z0-9._-]+: [^\r\n\0]*\r\n)*)\r\n", re.DOTALL)
DATE = re.compile(rb"date: [^\r]*\r\n")


class Node(rpc.Struct, kw_only=True):
    """A recursive struct."""

    name: str | None = None
    children: list[Any] | None = None
    counts: dict[int, float] | None = None

    __thrift_fields__ = (
        rpc.optional(1, "name", rpc.STRING),
        rpc.optional(2, "children", rpc.list_of(rpc.struct(lambda: Node))),
        rpc.optional(3, "counts", rpc.map_of(rpc.I64, rpc.DOUBLE)),
    )


class Nodes:
    """Methods of the service."""

    def look(self, id: int, flags: set[int], tag: str, session: str) -> str:
        """Takes nothing from a body."""
        raise NotImplementedError

    def put(self, name: str, node: Node) -> Node:
        """Takes a body of JSON."""
        raise NotImplementedError

    def form(self, name: str, data: bytes) -> bytes:
        """Takes a form."""
        raise NotImplementedError

    def raw(self, data: bytes) -> bytes:
        """Takes bytes."""
        raise NotImplementedError

    def drop(self, name: str) -> None:
        """Answers nothing."""


SERVED = serve(
    bind(
        rpc.service(
            "Nodes",
            rpc.method(
                Nodes.look,
                rpc.required(1, "id", rpc.I64),
                rpc.optional(2, "flags", rpc.set_of(rpc.I16)),
                rpc.optional(3, "tag", rpc.STRING, annotations={"http.header": "X-Tag"}),
                rpc.optional(4, "session", rpc.STRING, annotations={"http.cookie": "sid"}),
                result=rpc.STRING,
                annotations={"http.get": "/n/{id}"},
            ),
            rpc.method(
                Nodes.put,
                rpc.required(1, "name", rpc.STRING),
                rpc.required(2, "node", rpc.struct(Node), annotations={"http.body": ""}),
                result=rpc.struct(Node),
                annotations={"http.put": ("/n/{name=**}", "/n/{name}:put")},
            ),
            rpc.method(
                Nodes.form,
                rpc.required(1, "name", rpc.STRING, annotations={"http.form": ""}),
                rpc.optional(2, "data", rpc.BINARY, annotations={"http.form": ""}),
                result=rpc.BINARY,
                annotations={"http.post": "/f"},
            ),
            rpc.method(
                Nodes.raw,
                rpc.required(1, "data", rpc.BINARY, annotations={"http.raw_body": ""}),
                result=rpc.BINARY,
                annotations={"http.post": "/r"},
            ),
            rpc.method(Nodes.drop, rpc.required(1, "name", rpc.STRING), result=rpc.VOID, oneway=True),
        ),
        Nodes(),
    )
)
CORS = Cors(origins=("https://a.example",), credentials=True)
PROTOCOL, SMALL_PROTOCOL = HttpProtocol(Http(cors=CORS)), HttpProtocol(SMALL_HTTP)


def check(data: bytes) -> bool:
    """Whether a request could be read.

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
    told = _serve(bool(how & IS_LIMITED), [data])
    assert told == _serve(bool(how & IS_LIMITED), pieces), "what is told depends on how the bytes came"
    return any(each[0] == "call" for each in told)


def _serve(is_limited: bool, pieces: list[bytes]) -> list[tuple[Any, ...]]:
    protocol, limits = (SMALL_PROTOCOL, SMALL) if is_limited else (PROTOCOL, LIMITS)
    server = protocol.server(SERVED, limits)
    assert isinstance(server, ServerConnection)
    told: list[tuple[Any, ...]] = []
    for piece in pieces:
        if piece:
            told += [_told(server, event) for event in server.receive_data(piece)]
    assert not (server.is_broken and not server.is_between_messages)
    return [*told, *(_told(server, event) for event in server.receive_eof()), ("end", server.is_broken)]


def _told(server: ServerConnection, event: ServerEvent) -> tuple[Any, ...]:
    if isinstance(event, ConnectionBroken):
        return "broken", str(event.error), _checked(event.answer) if event.answer else b""
    if isinstance(event, DataToSend):
        return "data", event.data if event.data.startswith(b"HTTP/1.1 100 ") else _checked(event.data)
    if isinstance(event, EndOfRequests):
        return ("last",)
    assert isinstance(event, HttpCall)
    error = event.refusal or ApplicationError("no such method", ApplicationCode.UNKNOWN_METHOD)
    if event.refusal is None:
        try:
            values, decoded = server.arguments(event)
        except RemoteProtocolError as wrong:
            error = ApplicationError(str(wrong), ApplicationCode.PROTOCOL_ERROR)
        else:
            assert decoded >= 0
            return _call(server, event, values)
    assert len(str(error)) < 1000, "an error echoes the request"
    return "refused", event.id, event.key, str(error), _checked(server.refuse(event, error))


def _call(server: ServerConnection, event: RequestReceived, values: tuple[Any, ...]) -> tuple[Any, ...]:
    assert event.method is not None
    results = {"look": "x", "put": values[-1], "form": b"x", "raw": values[0], "drop": None}
    try:
        answer = server.respond(event, results[event.method.name], event.metadata)
    except LocalProtocolError as local:
        answer = server.refuse(event, ApplicationError(str(local), ApplicationCode.INTERNAL_ERROR))
    seen = event.key, dict(event.metadata), repr(event.context), tuple(map(repr, values))
    return "call", event.id, *seen, _checked(answer)


def _checked(answer: bytes) -> bytes:
    """An answer is one response; only that to HEAD may end before its body."""
    found = RESPONSE.match(answer)
    assert found is not None, answer[:200]
    body, lines = answer[found.end() :], found[2].split(b"\r\n")
    lengths = [int(line[16:]) for line in lines if line.startswith(b"content-length: ")]
    if found[1] == b"204":
        assert (lengths, body) == ([], b"")
    else:
        assert len(lengths) == 1
        assert body in (b"", answer[len(answer) - lengths[0] :])
    return DATE.sub(b"", answer)


def seeds() -> Iterator[bytes]:
    """Good requests, pipelined ones, and what is nearly so."""
    node = b'{"name":"a","children":[{"counts":{"1":0.5}}]}'
    host, json = b"Host: a\r\n", b"Content-Type: application/json\r\n"
    form = b"--XX\r\nContent-Disposition: form-data; name=%b\r\n\r\nx\r\n"
    requests = [
        b"GET /n/1 HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /n/1?flags=1&flags=2 HTTP/1.1\r\n" + host + b"X-Tag: a\r\nCookie: sid=1\r\nRpc-Timeout-Ms: 5\r\n\r\n",
        b"GET /n/2 HTTP/1.1\r\n" + host + b"Rpc-Metadata-A: b%20c\r\nAccept-Encoding: gzip\r\n\r\n",
        b"HEAD /n/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"OPTIONS /n/1 HTTP/1.1\r\n"
        + host
        + b"Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n\r\n",
        b"PUT /n/a%%2fb/c HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (host, json, len(node), node),
        b"PUT /n/a:put HTTP/1.1\r\n%b%bTransfer-Encoding: chunked\r\n\r\n" % (host, json)
        + b"%x;a=b\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(node), node),
        b"POST /r HTTP/1.1\r\n" + host + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /f HTTP/1.1\r\n"
        + host
        + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\nname=a&data=eA==",
        b"POST /f HTTP/1.1\r\n%bContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n%b--XX--"
        % (host, len(form % b"name") + 6, form % b"name"),
        b'POST /Nodes/drop HTTP/1.1\r\n%b%bContent-Length: 12\r\n\r\n{"name":"a"}' % (host, json),
        b"POST /r HTTP/1.1\r\n" + host + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
    ]
    for how in range(4):
        for request in requests:
            yield bytes([how, 20]) + request
        yield bytes([how, 50]) + b"".join(requests)
    for request in requests:
        yield bytes([0, 200]) + request.replace(b"\r\n", b"\n") + request
        yield bytes([0, 200]) + request + b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"


if __name__ == "__main__":
    fuzz(check, seeds)
