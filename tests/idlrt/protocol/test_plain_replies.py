"""Replies in plain frames: those that are read whole give the same events as those that are read step by step."""

from __future__ import annotations

from typing import Any

import pytest
from hand_written import GET, SERVICE, NotFound, User

from idlrt.errors import ApplicationError
from idlrt.protocol.events import ConnectionBroken, PongReceived
from idlrt.protocol.thrift.connection import PING, ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope, CompactEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization import BinarySerialization, CompactSerialization, Limits

FRAMED = dialect("framed")
DIALECTS = {
    "binary": FRAMED,
    "old binary": Dialect(BinaryEnvelope(BinarySerialization(), is_strict=False), Framed()),
    "compact": Dialect(CompactEnvelope(CompactSerialization()), Framed()),
    "pure binary": Dialect(BinaryEnvelope(BinarySerialization(backend="pure")), Framed()),
    "short names": Dialect(BinaryEnvelope(BinarySerialization(Limits(max_string=2))), Framed()),
}


def replies(how: Dialect) -> list[bytes]:
    """Frames that a server sends: replies and a refusal, to calls in flight, to a cancelled one and to none."""
    server = ServerConnection(detector(), SERVICE.methods)

    def call(number: int) -> ThriftRequest:
        return ThriftRequest(number, "get", GET, dialect=how, message=b"", start=0)

    return [
        server.respond(call(1), User(id=1)),
        server.respond(call(2), User(id=2, name="two")),
        server.respond(call(3), User(id=3)),
        server.respond(call(9), User(id=9)),
        server.respond_error(call(1), NotFound(id=1)) or b"",
        server.refuse(call(2), ApplicationError("not today")),
    ]


def shown(event: Any) -> object:
    if isinstance(event, ConnectionBroken):
        return str(event.error)
    if isinstance(event, PongReceived):
        return event
    assert isinstance(event, ThriftResponse)
    try:
        result = event.result()
    except Exception as error:  # noqa: BLE001  # compared
        result = type(error), str(error)
    return event.id, event.method, event.size, event.is_refusal, event.is_draining, dict(event.metadata), result


def events(how: Dialect, *pieces: bytes, has_ping: bool = False) -> list[object]:
    """Return the events of a client with three calls, of which it has cancelled the third, and perhaps a ping."""
    client = ClientConnection(how)
    for _ in range(3):
        client.request(GET, (1,))
    client.cancel(3)
    if has_ping:
        client.ping()
    found = [shown(event) for piece in pieces for event in client.receive_data(piece)]
    return [*found, (client.in_flight, client.cancelled, client.is_idle)]


@pytest.mark.parametrize("name", DIALECTS)
def test_whole_replies_give_the_same_events_as_those_in_pieces(name: str) -> None:
    how = DIALECTS[name]
    for frame in replies(how):
        assert events(how, frame) == events(how, frame[:2], frame[2:])


@pytest.mark.parametrize("name", DIALECTS)
def test_whole_replies_with_a_wrong_byte_give_the_same_events_as_those_in_pieces(name: str) -> None:
    how = DIALECTS[name]
    for frame in replies(how)[:2]:
        for at in range(len(frame)):
            for byte in (0, 3, 0x7F, 0xFF):
                bad = frame[:at] + bytes((byte,)) + frame[at + 1 :]
                assert events(how, bad) == events(how, bad[:2], bad[2:]), (at, byte)


@pytest.mark.parametrize("size", range(13))
def test_frames_too_short_for_a_reply_give_the_same_events_as_those_in_pieces(size: int) -> None:
    frame = size.to_bytes(4) + replies(FRAMED)[0][4 : 4 + size]
    assert events(FRAMED, frame) == events(FRAMED, frame[:2], frame[2:])


def test_the_reply_to_a_ping_is_not_that_to_a_call() -> None:
    server = ServerConnection(detector(), SERVICE.methods)
    answer = server.respond(ThriftRequest(4, "idlrt_ping", PING, dialect=FRAMED, message=b"", start=0), None)
    assert events(FRAMED, answer, has_ping=True)[0] == PongReceived(4)
