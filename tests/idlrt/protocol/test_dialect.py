"""Telling what a client speaks from its first bytes."""

from __future__ import annotations

import pytest
from hand_written import GET, SERVICE, User, dialects, requests
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.plugins import UnknownPlugin
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed
from idlrt.protocol.thrift.header_framing import HeaderFramed
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.requests import ThriftRequest
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization.binary import BinarySerialization


@pytest.mark.parametrize("name", dialects())
def test_each_dialect_is_told_from_the_first_bytes(name: str) -> None:
    spoken = dialects()[name]
    data = requests((GET, (7,)), how=spoken)
    told = [detector().detect(data[:count]) for count in range(len(data))]

    known = told[-1]
    assert known is not None
    # What is in a header is told by each frame.
    has_header = spoken.framing.has_metadata
    assert known.framing.name == ("header" if has_header else spoken.framing.name)
    assert known.envelope.name == ("binary" if has_header else spoken.envelope.name)
    head = MessageType.CALL, "", 0
    assert has_header or known.envelope.pack_head(*head) == spoken.envelope.pack_head(*head)
    # Six bytes are enough, and no answer is ever taken back.
    assert all(each in (None, known) for each in told)
    assert told[6] is known


@pytest.mark.parametrize("name", dialects())
def test_an_answer_goes_out_the_way_the_question_came_in(name: str) -> None:
    spoken: Dialect = dialects()[name]
    server = ServerConnection(detector(), SERVICE.methods)
    (call,) = server.receive_data(requests((GET, (7,)), how=spoken))
    assert isinstance(call, ThriftRequest)
    answer = server.respond(call, User(id=7))

    frame_buffer = spoken.framing.frame_buffer(spoken.envelope)
    frame_buffer.add(answer)
    frame = frame_buffer.next()
    assert frame is not None
    message, told, _, _ = spoken.framing.frame_decoder(spoken)(frame)
    assert (told.framing.name, told.envelope.name) == (spoken.framing.name, spoken.envelope.name)
    head, _ = spoken.envelope.unpack_head(message)
    assert (head.name, head.sequence_id) == ("get", call.id)
    assert message.startswith(b"\x80\x01") == name.endswith("binary")


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x22\x01\x04ping",  # a version of compact that is none
        b"\x81\x01\x00\x01",
        b"\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x05\x82\x20",
        b"\x00\x00\x00\x05\x83\x21",
        b"\x00\x00\x00\x05\xff",
        b"\x00\x00\x00\x05\x7f",
    ],
)
def test_what_is_no_dialect_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"its first bytes? "):
        detector().detect(data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_http_and_tls_break_the_stream(data: bytes) -> None:
    events = ServerConnection(detector(), SERVICE.methods).receive_data(data)

    assert [type(event).__name__ for event in events] == ["ConnectionBroken"]


@pytest.mark.parametrize("data", [b"", b"\x82", b"\0", b"\0\0\0\x09", b"\0\0\0\x09\x82", b"\0\0\0\x09\x0f", b"\x0f"])
def test_nothing_is_told_too_early(data: bytes) -> None:
    assert detector().detect(data) is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80", "unframed binary"),
        (b"\x82\x21", "unframed compact"),
        (b"\x82\x81", "unframed compact"),
        (b"\0\0\0\x09\x80", "framed binary"),
        (b"\0\0\0\x09\x82\x41", "framed compact"),
        (b"\0\0\0\x09\x0f\xff", "header binary"),
        (b"\x0f\xff\0\0\x80", "framed binary"),  # the length only looks like the mark of a header
        (b"\0\0\0\x09\x0f\xfe", "framed binary"),  # old; its head will be refused
        (b"\0\0\0\x04\0", "framed binary"),
        (b"\0\0\0\x04ping", "unframed binary"),
        (b"[", "unframed json"),
        (b"[1,2", "unframed json"),
        (b"\0\0\0\x09[", "framed json"),
    ],
)
def test_what_first_bytes_say(data: bytes, told: str) -> None:
    assert repr(detector().detect(data)) == told


@given(
    st.one_of(st.binary(max_size=8), st.binary(max_size=3).map(lambda tail: b"\0\0\0\x09\x0f"[: 5 - len(tail)] + tail))
)
def test_more_bytes_never_change_what_was_told(data: bytes) -> None:
    told: Dialect | str | None = None
    for count in range(len(data) + 1):
        try:
            now: Dialect | str | None = detector().detect(data[:count])
        except RemoteProtocolError:
            now = "refused"
        assert told is None or now is told or now == told
        told = now
    assert told is not None or len(data) < 6


def test_a_framing_refuses_a_protocol_that_it_cannot_carry() -> None:
    class Strange(BinarySerialization):
        name = "strange"

    strange = BinaryEnvelope(Strange())

    assert Dialect(strange, Framed()).envelope.name == "strange"
    with pytest.raises(
        ConfigurationError, match=r"'header' does not support serialization 'strange'.* binary, compact, json"
    ):
        Dialect(strange, HeaderFramed())


def test_dialects_are_shared() -> None:
    assert dialect("framed") is dialect()
    assert dialect("framed").envelope is dialect("unframed").envelope


def test_an_unknown_framing_is_named() -> None:
    with pytest.raises(UnknownPlugin, match="framd"):
        dialect("framd")
