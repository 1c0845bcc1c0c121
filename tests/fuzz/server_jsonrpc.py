"""Sends bytes to a server that speaks JSON-RPC. Nothing is raised, and what is told does not depend on the cuts.

The first byte of an input says how it comes: 1, that limits are small; 2, byte by byte; else in two pieces, of which
the second byte says the size of the first.

python tests/fuzz/server_jsonrpc.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from guidance import fuzz, guided

with guided(__name__):
    from idlrt import spec as rpc
    from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
    from idlrt.protocol import ConnectionBroken, PingReceived, RequestReceived, ServerEvent
    from idlrt.protocol.jsonrpc.server import ServerConnection
    from idlrt.serialization import Limits

IS_LIMITED, IS_BYTEWISE = 1, 2
LIMITS = Limits()
SMALL = Limits(max_message=200, max_string=8, max_container=3, max_depth=2, max_decoded=4000)


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

    def look(self, node: Node, data: bytes, flags: set[int]) -> Node:
        """Takes much."""
        raise NotImplementedError

    def drop(self, name: str) -> None:
        """Answers nothing."""


LOOK = rpc.method(
    Nodes.look,
    rpc.required(1, "node", rpc.struct(Node)),
    rpc.optional(2, "data", rpc.BINARY),
    rpc.optional(3, "flags", rpc.set_of(rpc.I16)),
    result=rpc.struct(Node),
)
DROP = rpc.method(Nodes.drop, rpc.required(1, "name", rpc.STRING), result=rpc.VOID, oneway=True)
rpc.service("Nodes", LOOK, DROP)
METHODS: Mapping[str, rpc.Method[..., Any]] = {"look": LOOK, "drop": DROP, "Nodes:look": LOOK, "Nodes:drop": DROP}


def check(data: bytes) -> bool:
    """Whether a request could be read.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    if len(data) < 2:
        return False
    how, at, data = data[0], data[1], data[2:]
    limits = SMALL if how & IS_LIMITED else LIMITS
    pieces = [data[:at], data[at:]]
    if how & IS_BYTEWISE:
        pieces = [data[index : index + 1] for index in range(len(data))]
    told = _serve(limits, [data])
    assert told == _serve(limits, pieces), "what is told depends on how the bytes came"
    return any(isinstance(each, tuple) and isinstance(each[-1], tuple) for each in told)


def _serve(limits: Limits, pieces: list[bytes]) -> list[Any]:
    server = ServerConnection(METHODS, limits)
    events = [event for piece in pieces for event in server.receive_data(piece)]
    told = [_told(server, event) for event in events]
    return [*told, *(_told(server, event) for event in server.receive_eof()), server.is_broken]


def _told(server: ServerConnection, event: ServerEvent) -> Any:
    if isinstance(event, ConnectionBroken):
        return str(event.error), _checked(event.answer)
    if isinstance(event, PingReceived):
        return _checked(server.pong(event))
    assert isinstance(event, RequestReceived)
    arguments: Any = None
    error = event.refusal or ApplicationError("no such method", ApplicationCode.UNKNOWN_METHOD)
    if event.method is not None and event.refusal is None:
        try:
            values, decoded = server.arguments(event)
            assert decoded >= 0
            arguments = tuple(map(repr, values))
            if event.method is LOOK:
                return event.id, _checked(server.respond(event, values[0])), arguments
        except RemoteProtocolError as wrong:
            arguments, error = str(wrong), ApplicationError(str(wrong), ApplicationCode.PROTOCOL_ERROR)
        except LocalProtocolError as local:
            error = ApplicationError(str(local), ApplicationCode.INTERNAL_ERROR)
    return event.id, event.key, event.is_oneway, dict(event.metadata), _checked(server.refuse(event, error)), arguments


def _checked(answer: bytes) -> bytes:
    """An answer is nothing, or a line of JSON."""
    if answer:
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1
        msgspec.json.decode(answer, type=msgspec.Raw)
    return answer


def seeds() -> Iterator[bytes]:
    """Good requests, batches, and what is nearly so."""
    node = '{"name":"a","children":[{"counts":{"1":0.5}}]}'
    requests = [
        f'{{"jsonrpc":"2.0","method":"look","params":{{"node":{node},"data":"eA==","flags":[1,2]}},"id":1}}',
        f'{{"jsonrpc":"2.0","method":"Nodes.look","params":[{node}],"id":"x","meta":{{"timeout":1.5}}}}',
        '{"jsonrpc":"2.0","method":"drop","params":["a"]}',
        '{"jsonrpc":"2.0","method":"drop","params":["a"],"id":1.50,"meta":{"metadata":{"a":"b"}}}',
        '{"jsonrpc":"2.0","method":"rpc.ping","id":null}',
    ]
    for how in range(4):
        for request in requests:
            yield bytes([how, 20]) + request.encode() + b"\n"
        yield bytes([how, 50]) + f"[{', '.join(requests)}]\r\n\n[]\n".encode()


if __name__ == "__main__":
    fuzz(check, seeds)
