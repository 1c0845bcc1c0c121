"""Message bodies: arguments and results of one method in one envelope, and TApplicationException.

Bodies include the envelope's `tail`: header and body together are the message.

A result is encoded as a struct in which exactly one field is set: `success` (field 0), or one of the declared
exceptions. A rejection is Thrift's TApplicationException, a struct of a message and a code. Codecs are created on first
use and cached in the `Method`, one for each envelope; if two threads create one at the same time, that is harmless.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md
"""

from __future__ import annotations

import struct
import weakref
from typing import Any, Final

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.thrift.envelope import BinaryEnvelope, Envelope
from idlrt.protocol.thrift.framing import Dialect, check_frame, check_message
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization.base import Limits, RecordCodec
from idlrt.spec import I32, STRING, DeclaredError, Field, Method, StructType, VoidType, optional

__all__ = ["MethodCodec", "decode_refusal", "encode_refusal", "method_codec", "trailing_bytes"]

_pack_u32 = struct.Struct(">I").pack
_pack_i32 = struct.Struct(">i").pack
_CALL, _REPLY, _ONEWAY = MessageType.CALL, MessageType.REPLY, MessageType.ONEWAY


class MethodCodec:
    """Encodes and decodes the messages of one method in one envelope.

    Attributes:
        arguments: codec of the arguments.
        call_kind: message type of calls.
        reply_head: header of replies up to the sequence id, if the header ends with the 4 bytes of it; else `None`.
    """

    __slots__ = (
        "_call_heads",
        "_envelope",
        "_has_value",
        "_heads",
        "_is_binary",
        "_method",
        "_most",
        "_nothing",
        "_reply_head",
        "_result",
        "_tail",
        "_width",
        "arguments",
        "call_kind",
        "reply_head",
    )  # fmt: skip

    def __init__(self, method: Method[..., Any], envelope: Envelope) -> None:
        self._method = method
        self._envelope: Final = envelope
        self._tail: Final = envelope.tail
        self.arguments: Final = envelope.serialization.record(method.arguments, method.defaults, method.full_name)
        self.call_kind: Final = _ONEWAY if method.is_oneway else _CALL
        self._has_value: Final = not isinstance(method.result, VoidType)
        success = (Field(0, "success", method.result, is_required=False),) if self._has_value else ()
        fields = success + method.throws
        self._width: Final = len(fields)
        self._result: Final = envelope.serialization.record(fields, label=method.full_name)
        # Fields of a reply besides `success`: the declared exceptions.
        self._nothing: Final = (None,) * (self._width - int(self._has_value))
        self._heads: dict[tuple[MessageType, str], tuple[bytes, bytes]] = {}
        self._call_heads: dict[str, tuple[bytes, bytes]] = {}
        self._reply_head: tuple[bytes, bytes] | None = None
        self._most: Final = min(envelope.limits.max_message, envelope.limits.max_frame)
        # The exact class: headers of derived classes may be different.
        self._is_binary: Final = type(envelope) is BinaryEnvelope
        self.reply_head: Final = _reply_head(envelope, method.name)

    def pack_call(
        self, dialect: Dialect, name: str, sequence_id: int, arguments: tuple[Any, ...], metadata: Metadata
    ) -> bytes:
        """Return the bytes of a call.

        Args:
            dialect: a dialect with the envelope of this codec.
            name: name of the method on the wire.
            sequence_id: sequence id of the call.
            arguments: arguments in their order.
            metadata: metadata of the request.

        Raises:
            LocalProtocolError: a value does not fit its field, the metadata cannot be encoded, or a limit is exceeded.
        """
        if not dialect.is_fused:
            return self._pack(dialect, self.arguments, self.call_kind, name, sequence_id, arguments, metadata)
        # The same as `_pack`, in fewer steps.
        head = self._call_heads.get(name)
        if head is None:
            # Bounded: names are those of methods, with or without the name of a service.
            head = self._call_heads[name] = self._head(self.call_kind, name)
        codec: Any = self.arguments  # a native codec
        data: bytes = codec.message(arguments, head[0], sequence_id, head[1], True)
        if len(data) - 4 > self._most:
            self._check_size(len(data) - 4)
        return data

    def pack_result(self, dialect: Dialect, sequence_id: int, value: Any, metadata: Metadata) -> bytes:
        """Return the bytes of a reply with a result.

        Raises:
            ApplicationError: `value` is `None`, and the method has a result.
            LocalProtocolError: `value` does not fit the type of the result, or for the reasons of `pack_call`.
        """
        values: tuple[Any, ...] = self._nothing
        if self._has_value:
            if value is None:
                raise _missing(self._method, "the handler returned None")
            values = (value, *values)
        shape = dialect.prefix
        if dialect.is_fused or (shape is not None and dialect.is_native and not metadata):
            # `_pack` and `pack_with_prefix` without their layers, because this is the hot path of servers.
            head = self._reply_head
            if head is None:
                head = self._reply_head = self._head(_REPLY, self._method.name)
            before, after = head
            result: Any = self._result  # a native codec
            if shape is None:
                data: bytes = result.message(values, before, sequence_id, after, True)
                if len(data) - 4 > self._most:
                    self._check_size(len(data) - 4)
                return data
            prefix = shape.before + _pack_i32(sequence_id) + shape.after
            data = result.message(values, prefix + before, sequence_id, after, True)
            if len(data) - 4 > shape.most:
                _check_sizes(len(data) - 4, len(prefix), shape.limits)
            return data
        if shape is not None and not metadata:
            prefix = shape.before + _pack_i32(sequence_id) + shape.after
            return self.pack_with_prefix(dialect, prefix, self._result, _REPLY, self._method.name, sequence_id, values)
        return self._pack(dialect, self._result, _REPLY, self._method.name, sequence_id, values, metadata)

    def pack_exception(
        self, dialect: Dialect, sequence_id: int, error: DeclaredError, metadata: Metadata
    ) -> bytes | None:
        """Return the bytes of a reply with an exception; `None` if the method does not declare it.

        Raises:
            LocalProtocolError: for the reasons of `pack_call`.
        """
        for position, field in enumerate(self._method.throws, int(self._has_value)):
            if isinstance(field.type, StructType) and isinstance(error, field.type.cls):
                values: list[Any] = [None] * self._width
                values[position] = error
                return self._pack(
                    dialect, self._result, _REPLY, self._method.name, sequence_id, tuple(values), metadata
                )
        return None

    def _pack(
        self,
        dialect: Dialect,
        codec: Any,  # a `RecordCodec`, a native one if the dialect is fused
        kind: MessageType,
        name: str,
        sequence_id: int,
        values: tuple[Any, ...],
        metadata: Metadata,
    ) -> bytes:
        if not dialect.is_fused:
            return dialect.pack(kind, name, sequence_id, codec.encode(values) + self._tail, metadata)
        head = self._head(kind, name)
        data: bytes = codec.message(values, head[0], sequence_id, head[1], True)
        if len(data) - 4 > self._most:
            self._check_size(len(data) - 4)
        return data

    def pack_with_prefix(
        self,
        dialect: Dialect,
        prefix: bytes,
        codec: Any,  # a `RecordCodec`, a native one if the dialect is native
        kind: MessageType,
        name: str,
        sequence_id: int,
        values: tuple[Any, ...],
    ) -> bytes:
        """Return the bytes of a frame: its length, `prefix` and a message.

        Args:
            dialect: a dialect with `Dialect.prefix`.
            prefix: prefix of the frame, built from `Dialect.prefix`.
            codec: codec of the arguments or of the result.
            kind: type of the message.
            name: name of the method on the wire.
            sequence_id: sequence id of the call.
            values: values to encode.

        Raises:
            LocalProtocolError: for the reasons of `pack_call`.
        """
        shape = dialect.prefix
        assert shape is not None
        head = self._heads.get((kind, name)) or self._head(kind, name)
        if dialect.is_native:
            data: bytes = codec.message(values, prefix + head[0], sequence_id, head[1], True)
            if len(data) - 4 > shape.most:
                _check_sizes(len(data) - 4, len(prefix), shape.limits)
            return data
        body, tail = codec.encode(values), self._tail
        if self._is_binary:
            begin = head[0] + _pack_u32(sequence_id & 0xFFFFFFFF) + head[1]
        else:
            begin = self._envelope.pack_head(kind, name, sequence_id)
        size = len(prefix) + len(begin) + len(body) + len(tail)
        if size > shape.most:
            _check_sizes(size, len(prefix), shape.limits)
        return b"".join((_pack_u32(size), prefix, begin, body, tail))

    def _head(self, kind: MessageType, name: str) -> tuple[bytes, bytes]:
        """Return the parts of a header before and after the sequence id."""
        head = self._heads.get((kind, name))
        if head is None:
            # Bounded: names are those of methods, with or without the name of a service.
            head = self._heads[kind, name] = self._envelope.head_parts(kind, name) or (b"", b"")
        return head

    def _check_size(self, size: int) -> None:
        limits = self._envelope.limits
        check_message(size, limits)
        check_frame(size, limits)

    def decode_arguments(self, message: bytes, start: int) -> tuple[Any, ...]:
        """Return the arguments of a call whose body is `message[start:]`.

        Raises:
            RemoteProtocolError: for the reasons of `measure_arguments`.
        """
        return self.measure_arguments(message, start)[0]

    def measure_arguments(self, message: bytes, start: int, received: int = 0) -> tuple[tuple[Any, ...], int]:
        """Return the arguments of a call whose body is `message[start:]`, and an upper bound of their memory, in bytes.

        Args:
            message: the message.
            start: offset of the body.
            received: size of the message on the wire in bytes; 0 if it is the size of `message`.

        Raises:
            RemoteProtocolError: the arguments cannot be decoded, or there are trailing bytes.
        """
        arguments, end, decoded = self.arguments.decode_measured(message, start, received)
        if end != len(message) or self._tail:
            self._check_end(message, end)
        return arguments, decoded

    def decode_result(self, message: bytes, start: int, received: int = 0) -> Any:
        """Return the result of a reply whose body is `message[start:]`.

        Args:
            message: the message.
            start: offset of the body.
            received: size of the message on the wire in bytes; 0 if it is the size of `message`.

        Raises:
            DeclaredError: the exception that the server sent.
            ApplicationError: no field is set, and the method has a result.
            RemoteProtocolError: the reply cannot be decoded.
        """
        values, end = self._result.decode(message, start, received)
        if end != len(message) or self._tail:
            self._check_end(message, end)
        if self._has_value and values[0] is not None:
            return values[0]
        for thrown in values[int(self._has_value) :]:
            if thrown is not None:
                raise thrown
        if self._has_value:
            raise _missing(self._method, "the reply is empty, as if the handler had returned None")
        return None

    def _check_end(self, message: bytes, end: int) -> None:
        if self._tail:
            end = self._envelope.unpack_tail(message, end)
        if end != len(message):
            raise trailing_bytes(self._method, end, len(message))


def _reply_head(envelope: Envelope, name: str) -> bytes | None:
    """Return `MethodCodec.reply_head`; `None` for names over the limit, whose replies must be rejected."""
    if type(envelope) is not BinaryEnvelope or len(name.encode()) > envelope.limits.max_string:
        return None
    before, after = envelope.head_parts(_REPLY, name)
    return None if after else before


def _check_sizes(size: int, prefix: int, limits: Limits) -> None:
    """Check a frame of `size` bytes, of which `prefix` bytes precede the message.

    Raises:
        LocalProtocolError: the message or the frame exceeds a limit.
    """
    check_message(size - prefix, limits)
    check_frame(size, limits)


def method_codec(method: Method[..., Any], envelope: Envelope) -> MethodCodec:
    """Return the cached codec of `method`, created on first use."""
    found: MethodCodec | None = method.codecs.get(envelope)
    if found is not None:
        return found
    made: MethodCodec = method.codecs.setdefault(envelope, MethodCodec(method, envelope))
    return made


def _missing(method: Method[..., Any], cause: str) -> ApplicationError:
    what = f"{method.full_name}: missing result of type {method.result!r}: {cause}"
    return ApplicationError(what, ApplicationCode.MISSING_RESULT)


def trailing_bytes(method: Method[..., Any], end: int, size: int) -> RemoteProtocolError:
    """Return the error for a message of `size` bytes whose values end at the offset `end`."""
    what = f"{plural(size - end, 'trailing byte')} at offset {end}"
    return RemoteProtocolError(f"cannot read {method.full_name}: {what}")


_REFUSAL: Final = (optional(1, "message", STRING), optional(2, "type", I32))


_refusal_codecs: Final[weakref.WeakKeyDictionary[Envelope, RecordCodec]] = weakref.WeakKeyDictionary()


def _refusal_codec(envelope: Envelope) -> RecordCodec:
    codec = _refusal_codecs.get(envelope)
    if codec is None:
        # Invalid UTF-8 in the text must not hide the error from the client.
        values = envelope.serialization
        reading = values.lenient() if isinstance(values, TableSerialization) else values
        codec = _refusal_codecs[envelope] = reading.record(_REFUSAL, ("", ApplicationCode.UNKNOWN.value), "refusal")
    return codec


def encode_refusal(envelope: Envelope, error: ApplicationError) -> bytes:
    """Return the body of an exception message (TApplicationException)."""
    # Texts of other exceptions may contain lone surrogates, which UTF-8 cannot encode.
    text = error.message.encode(errors="backslashreplace").decode()
    return _refusal_codec(envelope).encode((text, int(error.code))) + envelope.tail


def decode_refusal(envelope: Envelope, message: bytes, start: int, received: int = 0) -> ApplicationError:
    """Return the error in an exception message whose body is `message[start:]`.

    Raises:
        RemoteProtocolError: it cannot be decoded.
    """
    (text, code), _ = _refusal_codec(envelope).decode(message, start, received)
    return ApplicationError(text, code)
