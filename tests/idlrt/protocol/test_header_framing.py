"""THeader: what is in a frame, how an answer looks, and what harm a header can do."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hand_written import GET, JOIN, PROTOCOLS, SERVICE, User, requests
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.events import ConnectionBroken
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.framing import BadFrame, Dialect
from idlrt.protocol.thrift.header_framing import HeaderFramed, HeaderZlibFramed
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector
from idlrt.protocol.thrift.typed_metadata import ATTEMPT, CALLER, CLIENT_TIMEOUT, TAG, TRACE
from idlrt.serialization import Limits

HEADER = dialect("header")
CALL = b"\x80\x01\x00\x01\0\0\0\x03get\0\0\0\x07\x0a\0\x01\0\0\0\0\0\0\0\x05\0"


def frame(
    header: bytes = b"\0\0", message: bytes = CALL, *, number: int = 7, flags: int = 0, words: int | None = None
) -> bytes:
    """A frame as its bytes stand on the wire; the header is padded."""
    header += bytes(-len(header) % 4)
    fixed = struct.pack(">HHiH", 0x0FFF, flags, number, len(header) // 4 if words is None else words)
    whole = fixed + header + message
    return struct.pack(">I", len(whole)) + whole


def pairs(info: int, **values: str) -> bytes:
    out = bytes((info, len(values)))
    for key, value in values.items():
        out += bytes((len(key),)) + key.encode() + bytes((len(value.encode()),)) + value.encode()
    return out


def server(limits: Limits | None = None) -> ServerConnection:
    return ServerConnection(detector(limits) if limits else detector(), SERVICE.methods)


def received(data: bytes, limits: Limits | None = None) -> ThriftRequest:
    (event,) = server(limits).receive_data(data)
    assert isinstance(event, ThriftRequest)
    return event


def refusal(data: bytes, limits: Limits | None = None) -> ApplicationError:
    found = received(data, limits).refusal
    assert found is not None
    return found


def test_the_bytes_are_those_of_the_specification() -> None:
    message = b"\x80\x01\x00\x01\0\0\0\x04ping\0\0\0\x01\0"
    packed = HEADER.pack(MessageType.CALL, "ping", 1, b"\0", {"foo": "bar"})

    expected = "0fff 0000 00000001 0003 00 00 01 01 03666f6f 03626172"
    assert packed == struct.pack(">I", 22 + len(message)) + bytes.fromhex(expected) + message


def test_a_header_is_padded_to_words() -> None:
    for count in range(9):
        packed = HEADER.pack(MessageType.CALL, "ping", 1, b"\0", {"k": "v" * count})
        (words,) = struct.unpack_from(">H", packed, 12)
        assert packed[14 + words * 4 :].startswith(b"\x80\x01\x00\x01")


def test_compressed_messages_are_unpacked_and_answered_compressed() -> None:
    for framing in ("header", "header_zlib"):
        for protocol in PROTOCOLS:
            how = dialect(framing, protocol)
            client, end = ClientConnection(how), server()
            _, data = client.request(JOIN, (["ab" * 500] * 3, "-"), {"a": "b"})
            assert (len(data) < 200) == (framing == "header_zlib")
            (call,) = end.receive_data(data)
            assert isinstance(call, ThriftRequest)
            assert (call.dialect.framing.name, call.dialect.envelope.name) == (framing, protocol)
            assert call.metadata == {"a": "b"}
            assert end.arguments(call)[0] == (["ab" * 500] * 3, "-")
            (reply,) = client.receive_data(end.respond(call, "x" * 1000, {"c": "d"}))
            assert isinstance(reply, ThriftResponse)
            assert reply.metadata == {"c": "d"}
            assert reply.result() == "x" * 1000


def test_each_frame_says_how_its_answer_looks() -> None:
    end = server()
    spoken = [dialect("header", "compact"), dialect("header_zlib"), HEADER, dialect("header_zlib", "compact")]
    stream = b"".join(requests((GET, (1,)), how=how) for how in spoken)
    calls = [event for event in end.receive_data(stream) if isinstance(event, ThriftRequest)]

    assert [(repr(call.dialect), call.dialect.envelope) for call in calls] == [
        (repr(how), how.envelope) for how in spoken
    ]
    for call, how in zip(calls, spoken, strict=True):
        client = ClientConnection(how)
        client.request(GET, (1,))
        (reply,) = client.receive_data(end.respond(call, User(id=3)))
        assert isinstance(reply, ThriftResponse)
        assert reply.result() == User(id=3)


def test_flags_come_back() -> None:
    call = received(frame(flags=0x8001))
    answer = server().respond(call, User(id=1))

    assert answer[4:8] == b"\x0f\xff\x80\x01"
    assert call.dialect is received(frame(flags=0x8001)).dialect


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_of_one_protocol_reads_answers_in_another(protocol: str) -> None:
    client = ClientConnection(HEADER)
    number, _ = client.request(GET, (1,))
    how = dialect("header_zlib", protocol)
    other = ThriftRequest(number, "get", GET, dialect=how, message=b"", start=0)
    (reply,) = client.receive_data(server().respond(other, User(id=9)))

    assert isinstance(reply, ThriftResponse)
    assert reply.result() == User(id=9)


def test_the_number_in_the_header_counts() -> None:
    assert received(frame(number=12345)).id == 12345
    assert received(frame(number=-5)).id == -5
    assert received(frame(number=0)).id == 7  # none was given: it is the message's


def test_what_is_kept_for_all_messages() -> None:
    end = server()
    stream = [
        frame(b"\0\0" + pairs(2, zone="eu", tenant="1")),
        frame(b"\0\0" + pairs(1, x="y", tenant="2")),
        frame(b"\0\0" + pairs(1, x="z") + pairs(2, zone="us")),
        frame(),
    ]
    calls = [event for event in end.receive_data(b"".join(stream)) if isinstance(event, ThriftRequest)]

    assert [dict(call.metadata) for call in calls] == [
        {"zone": "eu", "tenant": "1"},
        {"zone": "eu", "tenant": "2", "x": "y"},
        {"zone": "us", "tenant": "1", "x": "z"},
        {"zone": "us", "tenant": "1"},
    ]
    assert received(frame()).metadata == {}


@pytest.mark.parametrize("rest", [b"", b"\x03whatever", b"\x7f\x01\x01", b"\0\0\0\0\0\0\0\0"])
def test_infos_that_are_unknown_end_the_header(rest: bytes) -> None:
    assert received(frame(b"\0\0" + pairs(1, a="b") + rest + bytes(4))).metadata == {"a": "b"}


def test_padding_of_a_word_more_than_needed_is_skipped() -> None:
    assert received(frame(b"\0\0" + pairs(1, a="b") + bytes(8))).key == "get"


def test_an_unknown_transform_costs_one_call() -> None:
    end = server()
    bad, good = end.receive_data(frame(b"\0\x01\x03", b"anything", number=77) + frame())
    assert isinstance(bad, ThriftRequest)
    assert isinstance(good, ThriftRequest)

    assert bad.refusal is not None
    assert bad.refusal.code is ApplicationCode.INVALID_TRANSFORM
    assert "unknown transform id 3 (known: 1 zlib)" in bad.refusal.message
    assert end.arguments(good)[0] == (5,)
    client = ClientConnection(HEADER, first_sequence_id=77)
    client.request(GET, (1,))
    (reply,) = client.receive_data(end.refuse(bad, bad.refusal))
    assert isinstance(reply, ThriftResponse)
    with pytest.raises(ApplicationError, match="unknown transform id 3"):
        reply.result()


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (frame(b"\x05\0"), ApplicationCode.INVALID_PROTOCOL, "id 5 .known: 0 binary, 1 json, 2 compact."),
        (frame(b"\xff\xff\xff\xff\x0f\0"), ApplicationCode.INVALID_PROTOCOL, "unknown serialization id 4294967295"),
        (frame(b"\0\x02\x01\x01"), ApplicationCode.INVALID_TRANSFORM, "2 transforms, at most 1"),
        (frame(b"\xff\xff\xff\xff\x1f\0"), ApplicationCode.PROTOCOL_ERROR, "more than 32 bits"),
        (frame(b"\xff\xff\xff\xff\xff\xff\x01\0"), ApplicationCode.PROTOCOL_ERROR, "more than 32 bits"),
        (frame(b"\x80\x80\x80\x80"), ApplicationCode.PROTOCOL_ERROR, "ends within the varint at offset 10"),
        (frame(b""), ApplicationCode.PROTOCOL_ERROR, "ends within the varint"),
        (frame(words=100), ApplicationCode.PROTOCOL_ERROR, "header ends at offset 410, but the frame at offset 41"),
        (
            frame(b"\0\0\x01\x7f"),
            ApplicationCode.PROTOCOL_ERROR,
            "unexpected end of header: 127 pairs of metadata at offset 13, have 0",
        ),
        (frame(b"\0\0\x01\x01\x09a"), ApplicationCode.PROTOCOL_ERROR, "metadata key at offset 15 needs 9 bytes"),
        (frame(b"\0\0\x01\x01\x01a\x09b"), ApplicationCode.PROTOCOL_ERROR, "value of 'a' at offset 17 needs 9 bytes"),
        (frame(b"\0\0\x01\x01\x01\xff\x01b"), ApplicationCode.PROTOCOL_ERROR, "key at offset 15 is not valid UTF-8"),
        (frame(b"\0\x01\x01", b"no zlib"), ApplicationCode.PROTOCOL_ERROR, "cannot decompress zlib data"),
        (frame(b"\0\x01\x01", zlib.compress(CALL)[:-1]), ApplicationCode.PROTOCOL_ERROR, "incomplete zlib data"),
        (frame(b"\0\x01\x01", zlib.compress(CALL) + b"xy"), ApplicationCode.PROTOCOL_ERROR, "2 trailing bytes after"),
    ],
)
def test_what_is_wrong_inside_a_frame_costs_one_call(data: bytes, code: ApplicationCode, said: str) -> None:
    end = server()
    bad, good = end.receive_data(data + frame()) if data[4:6] == b"\x0f\xff" else (None, None)
    assert isinstance(bad, ThriftRequest)
    assert isinstance(good, ThriftRequest)
    assert good.refusal is None
    assert bad.refusal is not None
    assert bad.refusal.code is code
    assert bad.id == 7
    with pytest.raises(ApplicationError, match=said):
        raise bad.refusal


def test_a_header_that_came_before_is_checked_again() -> None:
    good = frame(b"\x02\x01\x01", zlib.compress(bytes.fromhex("82210703676574160a00")))
    spoiled = frame(b"\x02\x01\x01", b"no zlib")
    cut = frame(b"\x02\x01\x01", b"", words=9)
    calls = [event for event in server().receive_data(good + spoiled + cut + good) if isinstance(event, ThriftRequest)]

    assert ["cannot decompress" in (call.refusal.message if call.refusal else "") for call in calls] == [0, 1, 0, 0]
    assert ["ends at offset" in (call.refusal.message if call.refusal else "") for call in calls] == [0, 0, 1, 0]
    assert [repr(call.dialect) for call in calls] == [
        "header_zlib compact",
        "header compact",
        "header binary",
        "header_zlib compact",
    ]


def test_metadata_of_a_call_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        received(frame(b"\0\0" + pairs(1, a="b"))).metadata["a"] = "c"  # type: ignore[index]


def test_a_refusal_is_in_the_protocol_of_its_question() -> None:
    call = received(frame(b"\x02\x01\x09"))

    assert repr(call.dialect) == "header compact"


@pytest.mark.parametrize("data", [struct.pack(">I", 9) + b"\x0f\xff" + bytes(7), struct.pack(">I", 20) + bytes(20)])
def test_a_frame_without_a_header_breaks_the_stream(data: bytes) -> None:
    end = server()
    events = end.receive_data(frame() + data)

    assert [type(event) for event in events] == [ThriftRequest, ConnectionBroken]


def test_an_answer_that_cannot_be_opened_costs_one_call() -> None:
    client, end = ClientConnection(HEADER), server()
    first, _ = client.request(GET, (1,))
    second, data = client.request(GET, (2,))
    (call,) = end.receive_data(data)
    assert isinstance(call, ThriftRequest)
    bad, good = client.receive_data(frame(b"\0\x01\x05", number=first) + end.respond(call, User(id=2)))
    assert isinstance(bad, ThriftResponse)
    assert isinstance(good, ThriftResponse)

    with pytest.raises(RemoteProtocolError, match="unknown transform id 5"):
        bad.result()
    assert good.result() == User(id=2)
    assert good.id == second


def test_an_undecodable_response_to_an_unknown_call_breaks_the_connection() -> None:
    client = ClientConnection(HEADER)
    number, _ = client.request(GET, (1,))
    client.cancel(number)

    assert client.receive_data(frame(b"\0\x01\x05", number=number)) == []
    (event,) = client.receive_data(frame(b"\0\x01\x05", number=99))
    assert isinstance(event, ConnectionBroken)


# Limits.


def test_limits_are_named() -> None:
    small = Limits(max_frame=200, max_message=100, max_string=10, max_container=2)
    long = CALL + bytes(100)
    with pytest.raises(ApplicationError, match="message has 127 bytes: the limit is max_message=100"):
        raise refusal(frame(message=long), small)
    with pytest.raises(ApplicationError, match="the decompressed message exceeds max_message=100"):
        raise refusal(frame(b"\0\x01\x01", zlib.compress(long)), small)
    with pytest.raises(ApplicationError, match="3 pairs of metadata at offset 13: the limit is max_container=2"):
        raise refusal(frame(b"\0\0" + pairs(1, a="", b="", c="")), small)
    with pytest.raises(ApplicationError, match=r"metadata value of 'a' at offset \d+ has 11 bytes.* max_string=10"):
        raise refusal(frame(b"\0\0" + pairs(1, a="x" * 11)), small)
    (event,) = server(small).receive_data(frame(bytes(2), CALL + bytes(200)))
    assert isinstance(event, ConnectionBroken)
    assert "max_frame=200" in str(event.error)


def test_a_compressed_message_may_be_larger_than_a_frame() -> None:
    roomy = Limits(max_frame=1000, max_message=100_000)
    how = dialect("header_zlib", "binary", roomy)
    data = requests((JOIN, (["x" * 50_000], "")), how=how)
    call = received(data, roomy)

    assert len(data) < 1000
    assert server(roomy).arguments(call)[0] == (["x" * 50_000], "")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"a": 1}, "value of 'a' must be a str, got int"),
        ({b"a": "b"}, "key must be a str, got bytes"),
        ({"a": "\udc80"}, "value of 'a' cannot be encoded as UTF-8"),
        ({"a": "x" * 101}, "value of 'a' has 101 bytes: the limit is max_string=100"),
        ({"x" * 101: "a"}, "key has 101 bytes: the limit is max_string=100"),
        ({str(number): "" for number in range(9)}, "9 pairs of metadata: the limit is max_container=8"),
    ],
)
def test_metadata_that_cannot_be_sent_is_named(metadata: Any, said: str) -> None:
    client = ClientConnection(dialect("header", "binary", Limits(max_string=100, max_container=8)))

    with pytest.raises(LocalProtocolError, match=said):
        client.request(GET, (1,), metadata)
    assert client.in_flight == 0


def test_a_header_has_an_end() -> None:
    with pytest.raises(LocalProtocolError, match="header of 300007 bytes: the limit is 262140 bytes"):
        HEADER.pack(MessageType.CALL, "get", 1, b"\0", {"a": "x" * 299_998})


@pytest.mark.parametrize("framing", [HeaderFramed, HeaderZlibFramed])
def test_messages_and_frames_over_the_limit_are_not_sent(framing: type[HeaderFramed]) -> None:
    how = Dialect(HEADER.envelope, framing(Limits(max_frame=50, max_message=40)))
    with pytest.raises(LocalProtocolError, match="message of 45 bytes: the limit is max_message=40"):
        how.pack(MessageType.CALL, "ping", 1, bytes(29))
    with pytest.raises(LocalProtocolError, match=r"frame of \d+ bytes: the limit is max_frame=50"):
        how.pack(MessageType.CALL, "ping", 1, b"\0", {"a": "x" * 40})


def test_kept_metadata_does_not_grow_without_end() -> None:
    end = server()
    found: list[ThriftRequest] = []
    for number in range(300):
        (event,) = end.receive_data(frame(b"\0\0" + pairs(2, **{f"k{number}": "x" * 120}) * 9 + bytes(8)))
        assert isinstance(event, ThriftRequest)
        found.append(event)
    assert all(event.refusal is None for event in found)

    for number in range(3000):
        (event,) = end.receive_data(frame(b"\0\0" + pairs(2, **{f"n{number}": "x" * 120})))
        assert isinstance(event, ThriftRequest)
        found.append(event)
    assert found[-1].refusal is not None
    assert "persistent metadata has" in found[-1].refusal.message
    (event,) = end.receive_data(frame())
    assert isinstance(event, ThriftRequest)
    assert event.refusal is None


@pytest.mark.slow
def test_a_bomb_is_not_unpacked() -> None:
    limits = Limits(max_message=1_000_000)
    bomb = frame(b"\0\x01\x01", zlib.compress(bytes(200_000_000), 9))
    end = server(limits)
    end.receive_data(frame())
    tracemalloc.start()
    try:
        (event,) = end.receive_data(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(event, ThriftRequest)
    assert event.refusal is not None
    assert "max_message=1000000" in event.refusal.message
    # The limit twice (zlib joins its pieces), and the frame.
    assert peak < 2_500_000 + len(bomb) * 2


def test_a_count_without_pairs_allocates_nothing() -> None:
    data = frame(b"\0\0\x01\xff\xff\xff\x03" + bytes(8))
    tracemalloc.start()
    try:
        assert "unexpected end of header" in refusal(data).message
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


# Hypothesis draws names from the sources, too, and these are not metadata but values of requests.
names = text.filter(lambda name: name not in (ATTEMPT, CALLER, CLIENT_TIMEOUT, TAG, TRACE))


@given(st.dictionaries(names, text, max_size=5), st.sampled_from(["header", "header_zlib"]))
def test_any_text_travels(metadata: dict[str, str], framing: str) -> None:
    call = received(dialect(framing).pack(MessageType.CALL, "get", 3, CALL[-12:], metadata))

    assert call.metadata == metadata
    assert call.id == 3


@given(st.binary(max_size=60), st.integers(0, 0xFFFF))
def test_any_header_is_opened_or_refused(data: bytes, words: int) -> None:
    open = HEADER.framing.frame_decoder(HEADER)
    for announced in (len(data) // 4, words):
        whole = struct.pack(">HHiH", 0x0FFF, 0, 7, announced) + data
        with contextlib.suppress(BadFrame):
            message, how, _, number = open(whole)
            assert number == 7
            assert how.framing.name in ("header", "header_zlib")
            assert len(message) <= 16_384_000
