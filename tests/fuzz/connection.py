"""Throws mutated bytes at a server's connection and at a client's for a while.

    python tests/fuzz/connection.py [seconds] [seed]

Whatever comes in, a session answers, refuses or closes; it never raises, never keeps more than its limits
allow, and never waits for ever. The bytes of the first finding are printed, and the exit code is 1.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import random
import struct
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol

if __name__ == "__main__":
    root = Path(__file__).parents[2]
    sys.path[:0] = [str(root / "runtime")]

from idlrt import spec as rpc
from idlrt.core import Peer, bind, serve
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed, Unframed
from idlrt.protocol.thrift.message import encode_refusal
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization import BinarySerialization, Limits
from idlrt.server.context import ServerContext
from idlrt.server.method_table import method_table
from idlrt.server.session import Session

LIMITS = Limits(max_frame=4096, max_message=4096, max_string=1024, max_container=256, max_depth=8)
HIGH_WATER = 10_000


class Node(rpc.Struct, kw_only=True):
    id: int
    names: list[str] | None = None
    scores: dict[str, float] | None = None
    flags: set[int] | None = None
    data: bytes | None = None
    children: list[Node] | None = None

    __thrift_fields__ = (
        rpc.required(1, "id", rpc.I64),
        rpc.optional(2, "names", rpc.list_of(rpc.STRING)),
        rpc.optional(3, "scores", rpc.map_of(rpc.STRING, rpc.DOUBLE)),
        rpc.optional(4, "flags", rpc.set_of(rpc.I16)),
        rpc.optional(5, "data", rpc.BINARY),
        rpc.optional(6, "children", rpc.list_of(rpc.struct(lambda: Node))),
    )


class Nodes(Protocol):
    def echo(self, node: Node) -> Node: ...

    def poke(self, id: int) -> None: ...


ECHO = rpc.method(Nodes.echo, rpc.required(1, "node", rpc.struct(Node)), result=rpc.struct(Node))
POKE = rpc.method(Nodes.poke, rpc.required(1, "id", rpc.I64), result=rpc.VOID, oneway=True)
SERVICE = rpc.service("Nodes", ECHO, POKE)


class Handler:
    def echo(self, node: Node) -> Node:
        return node

    def poke(self, id: int) -> None:
        if id % 2:
            raise ValueError("odd")


class Transport:
    """Takes what a session sends, and never reads it."""

    def __init__(self) -> None:
        self.peer = Peer(address="fuzz")
        self.pending = 0
        self.is_reading = True
        self.is_closed = False

    def send(self, data: bytes) -> None:
        self.pending += len(data)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self, *, discard: bool = False) -> None:
        self.is_closed = True


def _never(*_: Any) -> None:
    raise AssertionError("no handler is async")


SERVED = serve(bind(SERVICE, Handler()))
SERVER_CONTEXT = ServerContext(
    served=SERVED,
    methods=method_table(SERVED),
    context=contextvars.copy_context(),
    call_soon=_never,
    run_async=_never,
    max_in_flight=16,
    high_water=HIGH_WATER,
)


def seeds() -> list[tuple[Dialect, bytes]]:
    """Good conversations in every dialect."""
    old = BinaryEnvelope(BinarySerialization(LIMITS), is_strict=False)
    spoken = [
        dialect(framing, protocol, LIMITS)
        for framing in ("framed", "unframed", "header", "header_zlib")
        for protocol in ("binary", "compact", "json")
    ]
    spoken += [Dialect(old, Framed(LIMITS)), Dialect(old, Unframed(LIMITS))]
    leaf = Node(id=2, names=["a", "bc"], scores={"x": 1.5}, flags={1, -2}, data=b"\0\xff")
    calls: list[tuple[rpc.Method[..., Any], tuple[Any, ...]]] = [
        (ECHO, (Node(id=1, children=[leaf, Node(id=3)]),)),
        (POKE, (7,)),
        (ECHO, (leaf,)),
    ]
    found: list[tuple[Dialect, bytes]] = []
    for how in spoken:
        client = ClientConnection(how)
        metadata = {"tenant": "7", "trace": "00-ab-cd-01"}
        data = b"".join(client.request(method, arguments, metadata)[1] for method, arguments in calls)
        if how.framing.has_metadata:
            data += KEPT
        found.append((how, data))
    return found


# Metadata for all messages of the connection, which our clients never send, before a call of nothing.
KEPT = bytes.fromhex(
    "00000027 0fff 0000 00000009 0003 00 00 02 01 04 7a6f6e65 02 6575 80010001 00000004 6e6f7065 00000009 00"
)


INTERESTING = [0, 1, 2, 7, 8, 15, 16, 0x7F, 0x80, 0x82, 0xFE, 0xFF]
LENGTHS = [0, 1, 255, 4096, 4097, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x80010001]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Some bytes of `data` changed, cut out, doubled or put in."""
    out = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(out):
                out[at] = rng.choice(INTERESTING)
            case 2:
                out[at : at + 4] = struct.pack(">I", rng.choice(LENGTHS))
            case 3:
                del out[at : at + rng.randrange(1, 30)]
            case 4:
                out[at:at] = out[at : at + rng.randrange(1, 60)]
            case _:
                out[at:at] = rng.randbytes(rng.randrange(1, 12))
    return bytes(out)


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    """`data` cut anywhere."""
    if rng.random() < 0.3:
        return [data]
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def throw_at_server(data: bytes, rng: random.Random) -> None:
    """One connection's life."""
    transport = Transport()
    session = Session(transport, ServerConnection(detector(LIMITS), SERVED.methods), SERVER_CONTEXT, lambda _: None)
    for piece in pieces(data, rng):
        if transport.is_closed:
            break
        session.data_received(piece)
        assert transport.pending < HIGH_WATER + LIMITS.max_message + 100, "more is pending than allowed"
        while not transport.is_reading and not transport.is_closed:
            transport.pending = 0
            session.drained()
    if not transport.is_closed:
        session.eof_received()
        while not transport.is_closed:
            assert not transport.is_reading, "an ended connection stays open"
            transport.pending = 0
            session.drained()


def throw_at_client(how: Dialect, data: bytes, rng: random.Random) -> None:
    """Answers to three calls."""
    client = ClientConnection(how)
    for _ in range(3):
        client.request(ECHO, (Node(id=1),))
    for piece in pieces(data, rng):
        for event in client.receive_data(piece):
            if isinstance(event, ThriftResponse):
                with contextlib.suppress(RemoteProtocolError, ApplicationError):
                    event.result()
    client.receive_eof()


def answers(how: Dialect, data: bytes) -> bytes:
    """Return the responses of a server to valid requests."""
    server = ServerConnection(detector(LIMITS), SERVED.methods)
    out: list[bytes] = []
    for event in server.receive_data(data):
        assert isinstance(event, ThriftRequest)
        assert event.refusal is None
        if event.method is ECHO:
            (node,), _ = server.arguments(event)
            out.append(server.respond(event, node, {"load": "3"}))
    refusal = encode_refusal(how.envelope, ApplicationError("no", ApplicationCode.INTERNAL_ERROR))
    out.append(how.pack(MessageType.EXCEPTION, "echo", 2, refusal))
    return b"".join(out)


def run(seconds: float = float("inf"), seed: int = 0, *, cases: int | None = None) -> int:
    """Fuzz until `seconds` have passed or `cases` conversations were held; return how many there were.

    Raises:
        Exception: what went wrong, with the bytes in a note.
    """
    rng = random.Random(seed)
    calls = seeds()
    replies = [(how, answers(how, data)) for how, data in calls]
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until and count != cases:
        _, data = rng.choice(calls)
        question = mutate(data * rng.choice([1, 1, 1, 30]), rng)
        reply_how, data = rng.choice(replies)
        answer = mutate(data, rng)
        for thrown, throw in ((question, throw_at_server), (answer, partial(throw_at_client, reply_how))):
            try:
                throw(thrown, rng)
            except Exception as error:
                error.add_note(f"seed {seed}, conversation {count}, bytes {thrown.hex()}")
                raise
        count += 1
    return count


if __name__ == "__main__":
    logging.getLogger("idlrt.server").setLevel(logging.CRITICAL)
    duration = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"fuzzing for {duration:g} s, seed {chosen}")
    print(f"{run(duration, chosen)} conversations, nothing found")
