"""THeader: the short way and the step by step way have the same bytes, events and errors, with both backends."""

from __future__ import annotations

from typing import Any

import pytest
from hand_written import GET, JOIN, POKE, SERVICE, NotFound, User
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core.metadata import NO_METADATA
from idlrt.errors import ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.events import NO_CONTEXT, ConnectionBroken, PongReceived, RequestContext
from idlrt.protocol.thrift.connection import PING, ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope, CompactEnvelope, Envelope, JsonEnvelope
from idlrt.protocol.thrift.framing import Dialect, FramePrefix
from idlrt.protocol.thrift.header_framing import HeaderFramed, HeaderZlibFramed
from idlrt.protocol.thrift.message import method_codec
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.request_readers import HeaderRequestReader, PlainRequestReader, RequestReader, request_reader
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector
from idlrt.protocol.thrift.typed_metadata import request_metadata
from idlrt.serialization import BinarySerialization, CompactSerialization, JsonSerialization, Limits
from idlrt.serialization._backend import native
from idlrt.serialization.base import DEFAULT_LIMITS, Backend
from idlrt.serialization.options import with_options

BACKENDS: tuple[Backend, ...] = ("pure",) if native is None else ("native", "pure")
ANY_ORDER = 1


def made(protocol: str, backend: Backend, limits: Limits = DEFAULT_LIMITS, framing: Any = HeaderFramed) -> Dialect:
    envelope: Envelope
    match protocol:
        case "binary":
            envelope = BinaryEnvelope(BinarySerialization(limits, backend=backend))
        case "compact":
            envelope = CompactEnvelope(CompactSerialization(limits, backend=backend))
        case _:
            envelope = JsonEnvelope(JsonSerialization(limits, backend=backend))
    return Dialect(envelope, framing(limits, flags=ANY_ORDER))


DIALECTS = [made(protocol, backend) for backend in BACKENDS for protocol in ("binary", "compact", "json")]
IDS = [f"{protocol}-{backend}" for backend in BACKENDS for protocol in ("binary", "compact", "json")]
each_dialect = pytest.mark.parametrize("how", DIALECTS, ids=IDS)


def step_by_step(
    how: Dialect, kind: MessageType, name: str, number: int, body: bytes, context: RequestContext = NO_CONTEXT
) -> bytes:
    metadata = request_metadata(NO_METADATA, context)
    return how.pack(kind, name, number, body + how.envelope.tail, metadata)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["%d", "100%", "x" * 130])
contexts = st.builds(
    RequestContext,
    timeout=st.none() | st.floats(-1.0, 1e7) | st.sampled_from([0.0, 0.0091, 0.0099, 0.01, 0.999, 5.0, 4.9991]),
    attempt=st.integers(0, 3),
    tag=texts,
    caller=texts,
    trace=texts,
)


@given(st.sampled_from(DIALECTS), st.lists(contexts, min_size=1, max_size=8), st.sampled_from(["", "Users"]))
def test_requests_have_the_same_bytes_as_step_by_step(how: Dialect, each: list[RequestContext], service: str) -> None:
    client = ClientConnection(how, service)
    arguments = method_codec(GET, how.envelope).arguments.encode((7,))
    name = f"{service}:get" if service else "get"
    for number, context in enumerate([*each, *each], start=1):
        expected = step_by_step(how, MessageType.CALL, name, number, arguments, context)
        assert client.request(GET, (7,), NO_METADATA, context) == (number, expected)


@each_dialect
def test_timeouts_of_all_widths_have_the_same_bytes_as_step_by_step(how: Dialect) -> None:
    client = ClientConnection(how)
    body = method_codec(GET, how.envelope).arguments.encode((7,))
    widths = [0.0, 0.009, 0.01, 0.099, 0.1, 0.999, 1.0, 9.9991, 10.0, 99.0, 100.0, 1e6]
    for number, timeout in enumerate([*widths, *reversed(widths), -1.0], start=1):
        context = RequestContext(timeout=timeout, caller="billing")
        expected = step_by_step(how, MessageType.CALL, "get", number, body, context)
        assert client.request(GET, (7,), NO_METADATA, context)[1] == expected


@each_dialect
def test_oneway_requests_have_the_same_bytes_as_step_by_step(how: Dialect) -> None:
    client, context = ClientConnection(how), RequestContext(timeout=3.0)
    body = method_codec(POKE, how.envelope).arguments.encode((7,))

    expected = step_by_step(how, MessageType.ONEWAY, "poke", 1, body, context)
    assert client.request(POKE, (7,), NO_METADATA, context)[1] == expected
    assert client.in_flight == 0


@each_dialect
@pytest.mark.parametrize("number", [1, 0, -5, 300, 2**31 - 1])
def test_replies_have_the_same_bytes_as_step_by_step(how: Dialect, number: int) -> None:
    server = ServerConnection(detector(), SERVICE.methods)
    call = ThriftRequest(number, "get", GET, dialect=how, message=b"", start=0)
    body = b"\x0c\0\0\x0a\0\1" + bytes(7) + b"\x03\0\0"
    if how.envelope.name == "binary":
        assert server.respond(call, User(id=3)) == step_by_step(how, MessageType.REPLY, "get", number, body)
    result = method_codec(GET, how.envelope).pack_result(how, number, User(id=3), {"load": "1"})
    plain = server.respond(call, User(id=3))
    # The same message, behind other headers.
    assert result.endswith(plain[18:])
    assert plain[:18] == HEADERS[how.envelope.name](len(plain) - 4, number)


def _header(protocol: int) -> Any:
    def made(size: int, number: int) -> bytes:
        fixed = size.to_bytes(4) + b"\x0f\xff\0\1" + number.to_bytes(4, signed=True)
        return fixed + b"\0\1" + bytes((protocol, 0, 0, 0))

    return made


HEADERS = {"binary": _header(0), "json": _header(1), "compact": _header(2)}


def test_frames_with_transformed_messages_have_no_prefix() -> None:
    class Derived(HeaderFramed):
        def _transform(self, message: bytes) -> bytes:
            return message[::-1]

    assert made("binary", "pure", framing=HeaderZlibFramed).prefix is None
    assert made("binary", "pure", framing=Derived).prefix is None
    assert isinstance(made("binary", "pure").prefix, FramePrefix)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("protocol", ["binary", "compact", "json"])
@pytest.mark.parametrize("is_short", [True, False])
def test_requests_over_a_limit_are_refused_the_same_way(protocol: str, backend: Backend, is_short: bool) -> None:
    how = made(protocol, backend, Limits(max_message=100, max_frame=150))
    client = ClientConnection(how)
    metadata = NO_METADATA if is_short else {"a": "b"}
    with pytest.raises(LocalProtocolError, match=r"cannot send a message of \d+ bytes: the limit is max_message=100"):
        client.request(JOIN, (["x" * 110], "-"), metadata, RequestContext(timeout=5.0))
    context = RequestContext(timeout=5.0, caller="y" * 150)
    with pytest.raises(LocalProtocolError, match=r"cannot send a frame of \d+ bytes: the limit is max_frame=150"):
        client.request(JOIN, (["x"], "-"), metadata, context)
    assert client.in_flight == 0


@each_dialect
def test_what_is_wrong_is_told_in_the_same_order(how: Dialect) -> None:
    client = ClientConnection(how)
    bad = RequestContext(timeout=5.0, caller="\udc80")
    with pytest.raises(LocalProtocolError, match="must be"):
        client.request(GET, ("one",), NO_METADATA, bad)
    with pytest.raises(LocalProtocolError, match="value of 'rpc_caller' cannot be encoded as UTF-8"):
        client.request(GET, (1,), NO_METADATA, bad)
    assert client.in_flight == 0
    number, data = client.request(GET, (1,), NO_METADATA, RequestContext(timeout=5.0))
    body = method_codec(GET, how.envelope).arguments.encode((1,))
    assert data == step_by_step(how, MessageType.CALL, "get", number, body, RequestContext(timeout=5.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_text_that_is_not_unicode_is_written_where_it_was_read(backend: Backend) -> None:
    limits = with_options(Limits(), text_errors="surrogateescape")
    how = made("binary", backend, limits)
    context = RequestContext(timeout=5.0, caller="a\udcff")
    _, data = ClientConnection(how).request(GET, (1,), NO_METADATA, context)

    assert b"rpc_caller\x02a\xff" in data


# What is received.


def shown(events: list[Any]) -> list[Any]:
    found: list[Any] = []
    for event in events:
        if isinstance(event, ThriftResponse):
            try:
                outcome: Any = event.result()
            except (ApplicationError, NotFound, RemoteProtocolError) as error:
                outcome = repr(error)
            found.append((event.id, event.method.name, dict(event.metadata), event.is_draining, event.size, outcome))
        elif isinstance(event, ConnectionBroken):
            found.append(str(event.error))
        else:
            found.append(event)
    return found


def replies(how: Dialect, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Replies to calls 1 to 6: some with the header of the one before, some unusual."""
    server = ServerConnection(detector(limits), SERVICE.methods)

    def call(number: int) -> ThriftRequest:
        return ThriftRequest(number, "get", GET, dialect=how, message=b"", start=0)

    return b"".join(
        [
            server.respond(call(1), User(id=1)),
            server.respond(call(3), User(id=3, name="three")),
            server.respond_error(call(2), NotFound(id=2)) or b"",
            server.refuse(call(4), ApplicationError("not today")),
            server.respond(call(5), User(id=5), {"load": "1"}, True),
            server.respond(call(6), User(id=6), {"load": "1"}, True),
        ]
    )


def asked(how: Dialect, *pieces: bytes, has_ping: bool = False) -> list[Any]:
    client = ClientConnection(how)
    for _ in range(6):
        client.request(GET, (1,))
    if has_ping:
        client.ping()
    client.cancel(3)
    found = [each for piece in pieces for each in shown(client.receive_data(piece))]
    return [*found, (client.in_flight, client.cancelled, client.is_idle), *shown(client.receive_eof())]


@each_dialect
def test_responses_are_the_same_however_they_arrive(how: Dialect) -> None:
    stream = replies(how)
    whole = asked(how, stream)

    assert [each[0] for each in whole[:-1]] == [1, 2, 4, 5, 6]
    assert whole[-1] == (0, 0, True)
    assert asked(how, *(stream[at : at + 1] for at in range(len(stream)))) == whole
    assert all(asked(how, stream[:at], stream[at:]) == whole for at in range(len(stream)))


@each_dialect
def test_broken_responses_are_the_same_however_they_arrive(how: Dialect) -> None:
    stream = replies(how)
    for at in range(len(stream)):
        for byte in (0, 0x7F, 0xFF):
            bad = stream[:at] + bytes((byte,)) + stream[at + 1 :]
            assert asked(how, bad) == asked(how, *(bad[:2], bad[2:])), (at, byte)


@pytest.mark.parametrize("is_refused", [True, False])
def test_responses_while_a_ping_is_in_flight(is_refused: bool) -> None:
    how = dialect("header")
    server = ServerConnection(detector(), SERVICE.methods)
    ping = ThriftRequest(7, "idlrt_ping", PING, dialect=how, message=b"", start=0)
    answer = server.refuse(ping, ApplicationError("unknown")) if is_refused else server.respond(ping, None)
    stream = replies(how)
    first = 4 + int.from_bytes(stream[:4])  # the next frame has the same header
    events = asked(how, stream[:first] + answer + stream[first:], has_ping=True)

    assert isinstance(events.pop(1), PongReceived)
    assert events == asked(how, stream)


@pytest.mark.parametrize("limits", [Limits(max_string=2), Limits(max_message=40), Limits(max_frame=60, max_string=60)])
def test_limits_of_responses_are_the_same_however_they_arrive(limits: Limits) -> None:
    stream, how = replies(made("binary", "pure")), made("binary", "pure", limits)

    assert asked(how, stream) == asked(how, *(stream[at : at + 1] for at in range(len(stream))))


BINARY = b"\x80\1\0\1\0\0\0\3get\0\0\0\7\x0a\0\1\0\0\0\0\0\0\0\5\0"
COMPACT = bytes.fromhex("82210703676574160a00")
headers = st.sampled_from(
    [
        b"\0\0", b"\2\0", b"\0\0\1\1\1a\1b", b"\0\0\1\0", b"\0\0\1\2\1a\1b\1a\1c", b"\0\0\3", b"\0\1\1", b"\5\0",
        b"\0\0\1\1\x0eclient_timeout\0044999", b"\0\0\1\1\x0eclient_timeout\00449x9",
        b"\0\0\1\2\x0brpc_attempt\0012\7rpc_tag\5green", b"\0\0\2\1\4zone\2eu", b"\0\0\1\1\1a\1b\2\1\4zone\2us",
        b"\0\0\1\1\1a\1\xff", b"\0\0\1\1\x81\0a\1b", b"\0\0\1\x82", b"\0\0\1\1\1a\1b\0\x80\x80",
    ]
)  # fmt: skip


@given(st.lists(st.tuples(headers, st.integers(-1, 2), st.integers(0, 3)), max_size=6), st.data())
def test_requests_are_the_same_however_they_arrive(parts: list[tuple[bytes, int, int]], data: st.DataObject) -> None:
    stream = b""
    for header, number, flags in parts:
        padded = header + bytes(-len(header) % 4)
        message = COMPACT if header[0] == 2 else BINARY
        fixed = b"\x0f\xff" + flags.to_bytes(2) + number.to_bytes(4, signed=True) + (len(padded) // 4).to_bytes(2)
        stream += (len(fixed + padded + message)).to_bytes(4) + fixed + padded + message

    cut = data.draw(st.integers(0, len(stream)))
    expected = told(StepByStep(), stream)
    assert len(expected) == len(parts)
    for make in (python_reader, lambda: request_reader(HEADER, SERVICE.methods)):
        assert told(make(), stream) == expected
        assert told(make(), stream[:cut], stream[cut:]) == expected
        assert told(make(), *(stream[at : at + 1] for at in range(len(stream)))) == expected


HEADER = dialect("header")
FRAMING = HEADER.framing


def python_reader() -> HeaderRequestReader:
    assert isinstance(FRAMING, HeaderFramed)
    return HeaderRequestReader(HEADER, SERVICE.methods, FRAMING)


class StepByStep(PlainRequestReader):
    """A reader that knows no short headers with pairs, and no header that came before."""

    def __init__(self) -> None:
        super().__init__(HEADER, SERVICE.methods)
        assert isinstance(FRAMING, HeaderFramed)
        self.frame_decoder = FRAMING.header_frame_decoder()
        self.frame_decoder.accepts_short = False
        self._open = self.frame_decoder.open

    def read_frame(self, frame: bytes) -> ThriftRequest:
        self.frame_decoder.mark = b"no frame begins like this"
        return super().read_frame(frame)


def told(reader: RequestReader, *pieces: bytes) -> list[Any]:
    """Return the requests that the reader decodes, with their arguments."""
    events: list[Any] = []
    for piece in pieces:
        reader.receive(piece, events)
    assert reader.is_empty
    server = ServerConnection(detector(), SERVICE.methods)
    return [
        (
            event.id, event.key, event.method, event.is_oneway, event.is_unordered, dict(event.metadata), event.context,
            event.size, event.dialect, event.refusal and (str(event.refusal), event.refusal.code),
            None if event.refusal else server.arguments(event),
        )
        for event in events
    ]  # fmt: skip
