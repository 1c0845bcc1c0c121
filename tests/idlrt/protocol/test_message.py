"""Arguments, results and refusals."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hand_written import GET, JOIN, PING, NotFound, User

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.thrift.envelope import BinaryEnvelope, CompactEnvelope, JsonEnvelope
from idlrt.protocol.thrift.framing import NO_METADATA, Dialect, Framed, Unframed
from idlrt.protocol.thrift.message import MethodCodec, decode_refusal, encode_refusal, method_codec
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import DEFAULT_LIMITS, BinarySerialization, CompactSerialization, JsonSerialization, Limits
from idlrt.serialization._backend import native
from idlrt.serialization.base import Backend
from idlrt.spec import DeclaredError

ENVELOPE = BinaryEnvelope(BinarySerialization())

BACKENDS: tuple[Backend, ...] = ("pure",) if native is None else ("native", "pure")
PROTOCOLS = (BinarySerialization, CompactSerialization, JsonSerialization)
ENVELOPES = {"binary": BinaryEnvelope, "compact": CompactEnvelope, "json": JsonEnvelope}


class Made(NamedTuple):
    """Parts of a dialect."""

    protocol: type[BinarySerialization | CompactSerialization | JsonSerialization]
    framing: type[Framed | Unframed]
    backend: Backend

    def dialect(self, limits: Limits = DEFAULT_LIMITS) -> Dialect:
        values = self.protocol(limits, backend=self.backend)
        return Dialect(ENVELOPES[values.name](values), self.framing(limits))

    def __str__(self) -> str:
        return f"{self.framing.name} {self.protocol.name} {self.backend}"


# Whole messages in one go where there is a native backend, and step by step.
MADE = [
    Made(protocol, framing, backend) for backend in BACKENDS for protocol in PROTOCOLS for framing in (Framed, Unframed)
]
each_dialect = pytest.mark.parametrize("dialect", [each.dialect() for each in MADE], ids=list(map(str, MADE)))


def codec_of(method, dialect: Dialect) -> MethodCodec:
    return MethodCodec(method, dialect.envelope)


def body_of(dialect: Dialect, data: bytes | None) -> tuple[bytes, int]:
    """The message in the bytes of one, and where its body starts."""
    assert data is not None
    frame_buffer = dialect.framing.frame_buffer(dialect.envelope)
    frame_buffer.add(data)
    message = frame_buffer.next()
    assert message is not None
    assert frame_buffer.is_empty
    return message, dialect.envelope.unpack_head(message)[1]


def test_binary_and_compact_in_frames_are_fused_with_the_native_backend() -> None:
    fused = {str(each) for each in MADE if each.dialect().is_fused}

    assert fused == (set() if native is None else {"framed binary native", "framed compact native"})


class Subclass(NotFound):
    id: int

    __thrift_fields__ = NotFound.__thrift_fields__


class Stranger(DeclaredError):
    __thrift_fields__ = ()


@each_dialect
@pytest.mark.parametrize("number", [1, 127, 128, 2**31 - 1])
def test_a_call_goes_and_comes(dialect: Dialect, number: int) -> None:
    codec = codec_of(JOIN, dialect)
    data = codec.pack_call(dialect, "Strings:join", number, (["a", "b"], "+"), NO_METADATA)
    message, start = body_of(dialect, data)
    head, _ = dialect.envelope.unpack_head(message)

    assert (head.kind, head.name, head.sequence_id) == (MessageType.CALL, "Strings:join", number)
    assert codec.decode_arguments(message, start) == (["a", "b"], "+")


@each_dialect
def test_messages_are_the_same_in_one_go_and_step_by_step(dialect: Dialect) -> None:
    envelope = dialect.envelope
    body = envelope.serialization.record(JOIN.arguments).encode((["a"], "")) + envelope.tail
    steps = dialect.pack(MessageType.CALL, "join", 300, body)

    assert codec_of(JOIN, dialect).pack_call(dialect, "join", 300, (["a"], ""), NO_METADATA) == steps


def test_an_argument_that_is_absent_has_its_default() -> None:
    codec = MethodCodec(JOIN, ENVELOPE)
    only_words = b"\x0f\x00\x01\x0b\x00\x00\x00\x00\x00"

    assert codec.decode_arguments(only_words, 0) == ([], "-")


@each_dialect
def test_an_argument_that_does_not_fit_is_named(dialect: Dialect) -> None:
    with pytest.raises(LocalProtocolError, match=r"UserService\.get: id must be i64, got str 'seven'"):
        codec_of(GET, dialect).pack_call(dialect, "get", 1, ("seven",), NO_METADATA)
    with pytest.raises(LocalProtocolError, match="expected 1 value, got 2"):
        codec_of(GET, dialect).pack_call(dialect, "get", 1, (1, 2), NO_METADATA)


@each_dialect
def test_bytes_after_the_message_are_refused(dialect: Dialect) -> None:
    codec = codec_of(GET, dialect)
    message, start = body_of(dialect, codec.pack_call(dialect, "get", 1, (1,), NO_METADATA))

    with pytest.raises(RemoteProtocolError, match=r"UserService\.get: 2 trailing bytes at offset"):
        codec.decode_arguments(message + b"xx", start)


@pytest.mark.parametrize("made", MADE, ids=str)
def test_a_message_over_a_limit_is_not_sent(made: Made) -> None:
    limits = [Limits(max_message=40), Limits(max_frame=40)][: 1 + (made.framing is Framed)]
    for limited in limits:
        small = made.dialect(limited)
        with pytest.raises(LocalProtocolError, match=r"the limit is max_(message|frame)=40"):
            codec_of(JOIN, small).pack_call(small, "join", 1, (["x" * 40], ""), NO_METADATA)


@each_dialect
def test_a_result_goes_and_comes(dialect: Dialect) -> None:
    codec = codec_of(GET, dialect)
    message, start = body_of(dialect, codec.pack_result(dialect, 7, User(id=1), NO_METADATA))
    head, _ = dialect.envelope.unpack_head(message)

    assert (head.kind, head.name, head.sequence_id) == (MessageType.REPLY, "get", 7)
    assert codec.decode_result(message, start) == User(id=1)


@each_dialect
def test_a_method_without_result_answers_an_empty_struct(dialect: Dialect) -> None:
    codec = codec_of(PING, dialect)
    message, start = body_of(dialect, codec.pack_result(dialect, 7, "ignored", NO_METADATA))

    assert message[start:] == {"json": b"{}]"}.get(dialect.envelope.name, b"\0")
    assert codec.decode_result(message, start) is None


@each_dialect
def test_a_declared_exception_is_raised_as_its_class(dialect: Dialect) -> None:
    codec = codec_of(GET, dialect)
    message, start = body_of(dialect, codec.pack_exception(dialect, 7, NotFound(id=3), NO_METADATA))

    with pytest.raises(NotFound) as caught:
        codec.decode_result(message, start)
    assert caught.value == NotFound(id=3)


@each_dialect
def test_a_subclass_of_a_declared_exception_counts_as_it(dialect: Dialect) -> None:
    codec = codec_of(GET, dialect)

    assert codec.pack_exception(dialect, 7, Subclass(id=3), NO_METADATA) == codec.pack_exception(
        dialect, 7, NotFound(id=3), NO_METADATA
    )


@each_dialect
def test_an_exception_that_the_method_does_not_declare_is_not_encoded(dialect: Dialect) -> None:
    assert codec_of(GET, dialect).pack_exception(dialect, 7, Stranger(), NO_METADATA) is None
    assert codec_of(PING, dialect).pack_exception(dialect, 7, NotFound(id=1), NO_METADATA) is None


@each_dialect
def test_a_missing_result_is_an_application_error_on_both_sides(dialect: Dialect) -> None:
    codec = codec_of(GET, dialect)

    with pytest.raises(ApplicationError, match="returned None") as ours:
        codec.pack_result(dialect, 7, None, NO_METADATA)
    empty = {"json": b"{}]"}.get(dialect.envelope.name, b"\0")
    with pytest.raises(ApplicationError, match=r"UserService\.get: missing result") as theirs:
        codec.decode_result(empty, 0)
    assert ours.value.code == theirs.value.code == ApplicationCode.MISSING_RESULT


def test_codecs_are_kept_by_envelope() -> None:
    other = BinaryEnvelope(BinarySerialization())

    assert method_codec(GET, ENVELOPE) is method_codec(GET, ENVELOPE)
    assert method_codec(GET, ENVELOPE) is not method_codec(GET, other)


@pytest.mark.parametrize("code", [ApplicationCode.UNKNOWN_METHOD, 4711])
def test_a_refusal_goes_and_comes(code: int) -> None:
    error = decode_refusal(ENVELOPE, encode_refusal(ENVELOPE, ApplicationError("no", code)), 0)

    assert (error.message, error.code) == ("no", code)


def test_a_refusal_has_the_bytes_of_thrift() -> None:
    body = encode_refusal(ENVELOPE, ApplicationError("no", ApplicationCode.INTERNAL_ERROR))

    assert body == b"\x0b\x00\x01\x00\x00\x00\x02no\x08\x00\x02\x00\x00\x00\x06\x00"


def test_an_empty_refusal_is_an_unknown_error() -> None:
    error = decode_refusal(ENVELOPE, b"\0", 0)

    assert (error.message, error.code) == ("", ApplicationCode.UNKNOWN)


def test_a_refusal_with_text_that_is_no_unicode_can_be_sent() -> None:
    body = encode_refusal(ENVELOPE, ApplicationError("odd \udc80", ApplicationCode.UNKNOWN))

    assert decode_refusal(ENVELOPE, body, 0).message == "odd \\udc80"
