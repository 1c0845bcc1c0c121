"""Arguments, results and refusals."""

from __future__ import annotations

import pytest
from hand_written import GET, JOIN, PING, NotFound, User

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.spec import DeclaredError
from idlrt.wire import BinaryProtocol
from idlrt.wire.message import MethodCodec, decode_refusal, encode_refusal, method_codec

PROTOCOL = BinaryProtocol()


class Subclass(NotFound):
    id: int

    __thrift_fields__ = NotFound.__thrift_fields__


class Stranger(DeclaredError):
    __thrift_fields__ = ()


def test_arguments_go_and_come() -> None:
    codec = MethodCodec(JOIN, PROTOCOL)
    body = codec.encode_arguments((["a", "b"], "+"))

    assert codec.decode_arguments(b"head" + body, 4) == (["a", "b"], "+")


def test_an_argument_that_is_absent_has_its_default() -> None:
    codec = MethodCodec(JOIN, PROTOCOL)
    only_words = b"\x0f\x00\x01\x0b\x00\x00\x00\x00\x00"

    assert codec.decode_arguments(only_words, 0) == ([], "-")


def test_an_argument_that_does_not_fit_is_named() -> None:
    with pytest.raises(LocalProtocolError, match="id"):
        MethodCodec(GET, PROTOCOL).encode_arguments(("seven",))


def test_bytes_after_the_message_are_refused() -> None:
    codec = MethodCodec(GET, PROTOCOL)

    with pytest.raises(RemoteProtocolError, match=r"UserService\.get: 2 bytes follow"):
        codec.decode_arguments(codec.encode_arguments((1,)) + b"xx", 0)


def test_a_result_goes_and_comes() -> None:
    codec = MethodCodec(GET, PROTOCOL)

    assert codec.decode_result(codec.encode_result(User(id=1)), 0) == User(id=1)


def test_a_method_without_result_answers_an_empty_struct() -> None:
    codec = MethodCodec(PING, PROTOCOL)

    assert codec.encode_result("ignored") == b"\0"
    assert codec.decode_result(b"\0", 0) is None


def test_a_declared_exception_is_raised_as_its_class() -> None:
    codec = MethodCodec(GET, PROTOCOL)
    body = codec.encode_thrown(NotFound(id=3))
    assert body is not None

    with pytest.raises(NotFound) as caught:
        codec.decode_result(body, 0)
    assert caught.value == NotFound(id=3)


def test_a_subclass_of_a_declared_exception_counts_as_it() -> None:
    codec = MethodCodec(GET, PROTOCOL)

    assert codec.encode_thrown(Subclass(id=3)) == codec.encode_thrown(NotFound(id=3))


def test_an_exception_that_the_method_does_not_declare_is_not_encoded() -> None:
    assert MethodCodec(GET, PROTOCOL).encode_thrown(Stranger()) is None
    assert MethodCodec(PING, PROTOCOL).encode_thrown(NotFound(id=1)) is None


def test_a_missing_result_is_an_application_error_on_both_sides() -> None:
    codec = MethodCodec(GET, PROTOCOL)

    with pytest.raises(ApplicationError, match="returned None") as ours:
        codec.encode_result(None)
    with pytest.raises(ApplicationError, match=r"UserService\.get has no result") as theirs:
        codec.decode_result(b"\0", 0)
    assert ours.value.code == theirs.value.code == ApplicationCode.MISSING_RESULT


def test_codecs_are_kept_by_protocol() -> None:
    other = BinaryProtocol()

    assert method_codec(GET, PROTOCOL) is method_codec(GET, PROTOCOL)
    assert method_codec(GET, PROTOCOL) is not method_codec(GET, other)


@pytest.mark.parametrize("code", [ApplicationCode.UNKNOWN_METHOD, 4711])
def test_a_refusal_goes_and_comes(code: int) -> None:
    error = decode_refusal(PROTOCOL, encode_refusal(PROTOCOL, ApplicationError("no", code)), 0)

    assert (error.message, error.code) == ("no", code)


def test_a_refusal_has_the_bytes_of_thrift() -> None:
    body = encode_refusal(PROTOCOL, ApplicationError("no", ApplicationCode.INTERNAL_ERROR))

    assert body == b"\x0b\x00\x01\x00\x00\x00\x02no\x08\x00\x02\x00\x00\x00\x06\x00"


def test_an_empty_refusal_is_an_unknown_error() -> None:
    error = decode_refusal(PROTOCOL, b"\0", 0)

    assert (error.message, error.code) == ("", ApplicationCode.UNKNOWN)


def test_a_refusal_with_text_that_is_no_unicode_can_be_sent() -> None:
    body = encode_refusal(PROTOCOL, ApplicationError("odd \udc80", ApplicationCode.UNKNOWN))

    assert decode_refusal(PROTOCOL, body, 0).message == "odd \\udc80"
