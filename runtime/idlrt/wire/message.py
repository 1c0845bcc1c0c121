"""The bodies of messages: arguments and result of one method in one wire protocol, and refusals.

What is written here has the protocol's `tail` behind it already: head and body together are the message.

A result travels as a struct in which exactly one field is set: `success` (field 0), or one of the declared
exceptions. A refusal is Thrift's TApplicationException, a struct of a message and a code. Codecs are made
on first use and kept in the `Method`, one for each instance of a protocol; making one twice at the same
time is harmless.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md
"""

from __future__ import annotations

import weakref
from typing import Any, Final

from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.spec import I32, STRING, DeclaredError, Field, Method, StructType, VoidType, optional
from idlrt.wire.protocol import RecordCodec, WireProtocol

__all__ = ["MethodCodec", "decode_refusal", "encode_refusal", "method_codec"]


class MethodCodec:
    """Reads and writes what belongs to one method."""

    __slots__ = ("_arguments", "_has_value", "_method", "_protocol", "_result", "_tail", "_width")

    def __init__(self, method: Method[..., Any], protocol: WireProtocol) -> None:
        self._method = method
        self._protocol = protocol
        self._tail: Final = protocol.tail
        self._arguments: Final = protocol.record(method.arguments, method.defaults, method.full_name)
        self._has_value: Final = not isinstance(method.result, VoidType)
        success = (Field(0, "success", method.result, is_required=False),) if self._has_value else ()
        fields = success + method.throws
        self._width: Final = len(fields)
        self._result: Final = protocol.record(fields, label=method.full_name)

    def encode_arguments(self, arguments: tuple[Any, ...]) -> bytes:
        """The body of a call.

        Raises:
            LocalProtocolError: a value does not fit its field.
        """
        return self._arguments.encode(arguments) + self._tail

    def decode_arguments(self, message: bytes, start: int) -> tuple[Any, ...]:
        """The arguments of a call whose body is `message[start:]`.

        Raises:
            RemoteProtocolError: they cannot be read, or bytes are left over.
        """
        arguments, end = self._arguments.decode(message, start)
        self._check_end(message, end)
        return arguments

    def encode_result(self, value: Any) -> bytes:
        """The body of a reply.

        Raises:
            ApplicationError: `value` is `None`, and the method has a result.
            LocalProtocolError: `value` does not fit the result's type.
        """
        if not self._has_value:
            return self._result.encode((None,) * self._width) + self._tail
        if value is None:
            raise _missing(self._method, "the handler returned None")
        return self._result.encode((value,) + (None,) * (self._width - 1)) + self._tail

    def encode_thrown(self, error: DeclaredError) -> bytes | None:
        """The body of a reply with an exception; `None` if the method does not declare it."""
        for position, field in enumerate(self._method.throws, int(self._has_value)):
            if isinstance(field.type, StructType) and isinstance(error, field.type.cls):
                values: list[Any] = [None] * self._width
                values[position] = error
                return self._result.encode(values) + self._tail
        return None

    def decode_result(self, message: bytes, start: int) -> Any:
        """The result in a reply whose body is `message[start:]`.

        Raises:
            DeclaredError: the one that the server threw.
            ApplicationError: nothing is set, and the method has a result.
            RemoteProtocolError: the reply cannot be read.
        """
        values, end = self._result.decode(message, start)
        self._check_end(message, end)
        if self._has_value and values[0] is not None:
            return values[0]
        for thrown in values[int(self._has_value) :]:
            if thrown is not None:
                raise thrown
        if self._has_value:
            raise _missing(self._method, "the server's reply is empty, as when a handler returns nothing")
        return None

    def _check_end(self, message: bytes, end: int) -> None:
        if self._tail:
            end = self._protocol.unpack_tail(message, end)
        if end != len(message):
            raise _left_over(self._method, end, message)


def method_codec(method: Method[..., Any], protocol: WireProtocol) -> MethodCodec:
    """The codec of `method`, made on first use."""
    found: MethodCodec | None = method.codecs.get(protocol)
    if found is not None:
        return found
    made: MethodCodec = method.codecs.setdefault(protocol, MethodCodec(method, protocol))
    return made


def _missing(method: Method[..., Any], cause: str) -> ApplicationError:
    what = f"{method.full_name} has no result, expected {method.result!r}: {cause}"
    return ApplicationError(what, ApplicationCode.MISSING_RESULT)


def _left_over(method: Method[..., Any], end: int, message: bytes) -> RemoteProtocolError:
    count = len(message) - end
    return RemoteProtocolError(f"cannot read {method.full_name}: {count} bytes follow the end of its message at {end}")


_REFUSAL: Final = (optional(1, "message", STRING), optional(2, "type", I32))


_refusal_codecs: Final[weakref.WeakKeyDictionary[WireProtocol, RecordCodec]] = weakref.WeakKeyDictionary()


def _refusal_codec(protocol: WireProtocol) -> RecordCodec:
    codec = _refusal_codecs.get(protocol)
    if codec is None:
        codec = _refusal_codecs[protocol] = protocol.record(_REFUSAL, ("", ApplicationCode.UNKNOWN.value), "refusal")
    return codec


def encode_refusal(protocol: WireProtocol, error: ApplicationError) -> bytes:
    """The body of an exception message."""
    # A text of a foreign exception may hold what UTF-8 cannot (lone surrogates).
    text = error.message.encode(errors="backslashreplace").decode()
    return _refusal_codec(protocol).encode((text, int(error.code))) + protocol.tail


def decode_refusal(protocol: WireProtocol, message: bytes, start: int) -> ApplicationError:
    """The error in an exception message whose body is `message[start:]`.

    Raises:
        RemoteProtocolError: it cannot be read.
    """
    (text, code), _ = _refusal_codec(protocol).decode(message, start)
    return ApplicationError(text, code)
