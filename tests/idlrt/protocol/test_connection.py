"""Both ends of a connection: bytes in, events out."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hand_written import GET, JOIN, POKE, SERVICE, NotFound, User, dialects, requests
from hypothesis import given, settings
from hypothesis import strategies as st

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.base import ServerEvent
from idlrt.protocol.events import ConnectionBroken
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization import BinarySerialization, Limits
from idlrt.spec import DeclaredError, Method

FRAMED = dialect("framed")
CALLS: tuple[tuple[Method[..., Any], tuple[object, ...]], ...] = (
    (GET, (1,)),
    (JOIN, (["a", "b"], "+")),
    (POKE, (3,)),
    (GET, (4,)),
)


def server_events(*pieces: bytes) -> list[ServerEvent]:
    server = ServerConnection(detector(), SERVICE.methods)
    return [event for piece in pieces for event in server.receive_data(piece)]


def shown(events: list[ServerEvent]) -> list[object]:
    calls = [event for event in events if isinstance(event, ThriftRequest)]
    assert calls == events
    return [
        (
            call.is_oneway,
            call.refusal,
            call.key,
            call.id,
            call.method,
            call.dialect,
            dict(call.metadata),
            call.message[call.start :],
        )
        for call in calls
    ]


def bytewise(stream: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in stream]


def message(kind: MessageType, name: str, number: int, body: bytes = b"\0", how: Dialect = FRAMED) -> bytes:
    return how.pack(kind, name, number, body)


class Pair:
    """A client and the server that it speaks to."""

    def __init__(self, how: Dialect = FRAMED) -> None:
        self.client = ClientConnection(how)
        self.server = ServerConnection(detector(), SERVICE.methods)

    def call(self, method: Method[..., Any] = GET, arguments: tuple[object, ...] = (1,)) -> ThriftRequest:
        _, data = self.client.request(method, arguments)
        (event,) = self.server.receive_data(data)
        assert isinstance(event, ThriftRequest)
        return event

    def answer(self, data: bytes) -> object:
        (event,) = self.client.receive_data(data)
        assert isinstance(event, ThriftResponse)
        return event.result()


@pytest.mark.parametrize("name", dialects())
def test_calls_cut_at_every_position_give_the_same_events(name: str) -> None:
    client = ClientConnection(dialects()[name])
    stream = b"".join(client.request(*call, {"number": str(number), "ä": ""})[1] for number, call in enumerate(CALLS))
    server = ServerConnection(detector(), SERVICE.methods)
    calls = server.receive_data(stream)
    whole = shown(calls)

    assert [server.arguments(call)[0] for call in calls if isinstance(call, ThriftRequest)] == [
        call[1] for call in CALLS
    ]
    for cut in range(len(stream)):
        assert shown(server_events(stream[:cut], stream[cut:])) == whole
    assert shown(server_events(*bytewise(stream))) == whole


@pytest.mark.parametrize("name", dialects())
def test_answers_cut_at_every_position_give_the_same_events(name: str) -> None:
    pair = Pair(dialects()[name])
    server = pair.server
    refusal = ApplicationError("not today", ApplicationCode.INTERNAL_ERROR)
    answers = server.respond(pair.call(), User(id=0), {"load": "1"}) + server.refuse(pair.call(), refusal)
    answers += server.respond_error(pair.call(), NotFound(id=3)) or b""
    metadata = {"load": "1"} if dialects()[name].framing.has_metadata else {}

    for pieces in [bytewise(answers), *([answers[:cut], answers[cut:]] for cut in range(len(answers)))]:
        client = ClientConnection(dialects()[name])
        for _ in range(3):
            client.request(GET, (1,))
        first, second, third = [event for piece in pieces for event in client.receive_data(piece)]
        assert isinstance(first, ThriftResponse)
        assert isinstance(second, ThriftResponse)
        assert isinstance(third, ThriftResponse)
        assert (first.result(), first.metadata) == (User(id=0), metadata)
        with pytest.raises(ApplicationError, match="not today"):
            second.result()
        with pytest.raises(NotFound) as thrown:
            third.result()
        assert thrown.value == NotFound(id=3)


def test_faults_cut_at_every_position_give_the_same_events() -> None:
    good = requests((GET, (1,)), how=dialect("header"))
    bad = bytes.fromhex("00000012 0fff 0000 00000007 0001 00 01 05 00 00000000")
    stream = good + bad + good

    def told(*pieces: bytes) -> list[tuple[int, str]]:
        calls = [event for event in server_events(*pieces) if isinstance(event, ThriftRequest)]
        return [(call.id, call.refusal.message if call.refusal else "") for call in calls]

    whole = told(stream)
    assert [number for number, _ in whole] == [1, 7, 1]
    for cut in range(len(stream)):
        assert told(stream[:cut], stream[cut:]) == whole
    assert told(*bytewise(stream)) == whole


def test_a_call_is_answered() -> None:
    pair = Pair()
    call = pair.call(JOIN, (["a", "b"], "+"))

    assert (call.is_oneway, call.key, call.refusal) == (False, "join", None)
    assert pair.server.arguments(call)[0] == (["a", "b"], "+")
    assert pair.answer(pair.server.respond(call, "a+b")) == "a+b"
    assert pair.client.in_flight == 0


def test_a_refusal_is_raised() -> None:
    pair = Pair()
    refusal = pair.server.refuse(pair.call(), ApplicationError("not today", ApplicationCode.INTERNAL_ERROR))

    with pytest.raises(ApplicationError, match="not today") as caught:
        pair.answer(refusal)
    assert caught.value.code is ApplicationCode.INTERNAL_ERROR


def test_a_oneway_call_waits_for_nothing() -> None:
    pair = Pair()
    call = pair.call(POKE, (1,))

    assert call.is_oneway
    assert pair.client.in_flight == 0


def test_answers_may_come_in_any_order() -> None:
    pair = Pair()
    first, second = pair.call(), pair.call()
    data = pair.server.respond(second, User(id=2)) + pair.server.respond(first, User(id=1))
    events = [event for event in pair.client.receive_data(data) if isinstance(event, ThriftResponse)]

    assert [event.id for event in events] == [second.id, first.id]


def test_a_body_that_cannot_be_read_costs_one_call() -> None:
    server = ServerConnection(detector(), SERVICE.methods)
    bad, good = server.receive_data(message(MessageType.CALL, "get", 1, b"\x0a\x00\x01\x00") + requests((GET, (5,))))
    assert isinstance(bad, ThriftRequest)
    assert isinstance(good, ThriftRequest)

    with pytest.raises(RemoteProtocolError):
        server.arguments(bad)
    assert server.arguments(good)[0] == (5,)


def test_an_answer_that_cannot_be_read_costs_one_call() -> None:
    pair = Pair()
    first, second = pair.call(), pair.call()
    spoiled = message(MessageType.REPLY, "get", first.id, b"\x0c\x00\x00")
    data = spoiled + pair.server.respond(second, User(id=2))
    bad, good = pair.client.receive_data(data)
    assert isinstance(bad, ThriftResponse)
    assert isinstance(good, ThriftResponse)

    with pytest.raises(RemoteProtocolError):
        bad.result()
    assert good.result() == User(id=2)


def test_the_end_between_messages_is_no_error() -> None:
    server = ServerConnection(detector(), SERVICE.methods)
    assert server.receive_eof() == []

    server = ServerConnection(detector(), SERVICE.methods)
    server.receive_data(requests((GET, (1,))))
    assert server.receive_eof() == []


@pytest.mark.parametrize("name", dialects())
def test_the_end_within_a_message_breaks_the_stream(name: str) -> None:
    stream = requests((GET, (1,)), how=dialects()[name])
    for cut in range(1, len(stream)):
        server = ServerConnection(detector(), SERVICE.methods)
        assert server.receive_data(stream[:cut]) == []
        assert [type(event) for event in server.receive_eof()] == [ConnectionBroken]
        assert server.receive_eof() == []


def test_the_end_within_an_answer_breaks_the_stream() -> None:
    pair = Pair()
    answer = pair.server.respond(pair.call(), User(id=1))

    assert pair.client.receive_data(answer[:-1]) == []
    assert [type(event) for event in pair.client.receive_eof()] == [ConnectionBroken]


def test_what_came_before_garbage_is_still_good() -> None:
    events = server_events(requests((GET, (1,))) + b"\xff" * 100 + requests((GET, (2,))))

    assert [type(event) for event in events] == [ThriftRequest, ConnectionBroken]


def test_nothing_is_heard_after_the_stream_broke() -> None:
    server = ServerConnection(detector(), SERVICE.methods)
    server.receive_data(b"\xff" * 10)

    assert server.is_broken
    assert server.receive_data(requests((GET, (1,)))) == []


def test_a_kind_that_does_not_exist_breaks_the_stream() -> None:
    data = bytearray(requests((GET, (1,))))
    data[7] = 9
    (event,) = server_events(bytes(data))

    assert isinstance(event, ConnectionBroken)


def test_a_kind_that_only_servers_send_is_passed_on_for_a_refusal() -> None:
    (event,) = server_events(message(MessageType.REPLY, "get", 1))

    assert isinstance(event, ThriftRequest)
    assert event.refusal is not None
    assert event.refusal.code is ApplicationCode.INVALID_MESSAGE_TYPE
    assert event.refusal.message == "the client sent 'get' as a message of type REPLY, expected CALL or ONEWAY"


@pytest.mark.parametrize("kind", [MessageType.CALL, MessageType.ONEWAY])
def test_a_server_that_calls_breaks_the_stream(kind: MessageType) -> None:
    client = ClientConnection(FRAMED)
    client.request(GET, (1,))
    (event,) = client.receive_data(message(kind, "get", 1))

    assert isinstance(event, ConnectionBroken)
    assert "expected REPLY or EXCEPTION" in str(event.error)


@pytest.mark.parametrize("number", [0, -1, 2, 77])
def test_an_answer_to_a_call_that_was_not_made_breaks_the_stream(number: int) -> None:
    client = ClientConnection(FRAMED)
    client.request(GET, (1,))
    (event,) = client.receive_data(message(MessageType.REPLY, "get", number))

    assert isinstance(event, ConnectionBroken)
    assert f"call {number}" in str(event.error)


def test_an_answer_to_a_forgotten_call_is_dropped() -> None:
    pair = Pair()
    late, other = pair.call(), pair.call()
    pair.client.cancel(late.id)
    assert (pair.client.in_flight, pair.client.cancelled) == (1, 1)

    data = pair.server.respond(late, User(id=1)) + pair.server.respond(other, User(id=2))
    (event,) = pair.client.receive_data(data)

    assert isinstance(event, ThriftResponse)
    assert event.id == other.id
    assert pair.client.cancelled == 0


def test_a_refused_oneway_call_is_no_harm() -> None:
    pair = Pair()
    call = pair.call(POKE, (1,))

    assert pair.client.receive_data(pair.server.refuse(call, ApplicationError("unknown", 1))) == []


def test_numbers_of_calls_stay_positive() -> None:
    client = ClientConnection(FRAMED, first_sequence_id=0x7FFFFFFE)

    assert [client.request(GET, (1,))[0] for _ in range(4)] == [0x7FFFFFFE, 0x7FFFFFFF, 1, 2]


def test_numbers_in_use_are_skipped_after_the_highest_one() -> None:
    pair = Pair()
    pair.client = ClientConnection(FRAMED, max_sequence_id=5)
    calls = [pair.call() for _ in range(5)]
    assert [call.id for call in calls] == [1, 2, 3, 4, 5]
    pair.client.cancel(2)
    pair.answer(pair.server.respond(calls[2], User(id=1)))

    # 1 is in flight, and the reply to 2 may still come.
    assert pair.call().id == 3


def test_a_call_that_cannot_be_written_leaves_no_trace() -> None:
    client = ClientConnection(FRAMED)

    with pytest.raises(LocalProtocolError):
        client.request(GET, ("one",))
    assert client.in_flight == 0


def test_a_result_that_cannot_be_written_can_still_be_refused() -> None:
    pair = Pair()
    call = pair.call()

    with pytest.raises(LocalProtocolError):
        pair.server.respond(call, User(id="x"))  # type: ignore[arg-type]
    with pytest.raises(ApplicationError):
        pair.answer(pair.server.refuse(call, ApplicationError("broken")))


def test_a_refusal_over_the_limit_becomes_a_brief_one() -> None:
    limits = Limits(max_message=200)
    server = ServerConnection(detector(limits), SERVICE.methods)
    (call,) = server.receive_data(requests((GET, (1,))))
    assert isinstance(call, ThriftRequest)
    answer = server.refuse(call, ApplicationError("x" * 1000, ApplicationCode.INTERNAL_ERROR))

    client = ClientConnection(Dialect(BinaryEnvelope(BinarySerialization(limits)), Framed(limits)))
    client.request(GET, (1,))
    (reply,) = client.receive_data(answer)
    assert isinstance(reply, ThriftResponse)
    with pytest.raises(ApplicationError, match="the error message cannot be encoded") as caught:
        reply.result()
    assert caught.value.code is ApplicationCode.INTERNAL_ERROR


def read_all(server: ServerConnection, events: list[ServerEvent]) -> None:
    for event in events:
        if isinstance(event, ThriftRequest) and event.method is not None:
            with contextlib.suppress(RemoteProtocolError):
                server.arguments(event)


@settings(max_examples=400)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_a_server_reads_any_bytes_without_failing(pieces: list[bytes]) -> None:
    server = ServerConnection(detector(Limits(max_message=1000)), SERVICE.methods)
    for piece in pieces:
        read_all(server, server.receive_data(piece))
    server.receive_eof()


@settings(max_examples=400)
@given(st.sampled_from(sorted(dialects())), st.data())
def test_a_server_reads_flipped_bits_without_failing(name: str, data: st.DataObject) -> None:
    stream = bytearray(requests(*CALLS, how=dialects()[name]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(stream)))
    server = ServerConnection(detector(), SERVICE.methods)
    read_all(server, server.receive_data(bytes(stream[:cut])))
    read_all(server, server.receive_data(bytes(stream[cut:])))


@settings(max_examples=300)
@given(st.sampled_from(sorted(dialects())), st.data())
def test_a_client_reads_flipped_bits_without_failing(name: str, data: st.DataObject) -> None:
    pair = Pair(dialects()[name])
    stream = bytearray(b"".join(pair.server.respond(pair.call(), User(id=1, name="x")) for _ in range(3)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] ^= 1 << data.draw(st.integers(0, 7))
    for event in pair.client.receive_data(bytes(stream)):
        if isinstance(event, ThriftResponse):
            with contextlib.suppress(RemoteProtocolError, ApplicationError, DeclaredError):
                event.result()
