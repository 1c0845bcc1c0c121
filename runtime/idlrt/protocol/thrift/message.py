"""Messages: arguments and result of one method in one wire protocol, and refusals.

A body that is written here has the protocol's `tail` behind it already: head and body together are the message.

A result travels as a struct in which exactly one field is set: `success` (field 0), or one of the declared
exceptions. A refusal is Thrift's TApplicationException, a struct of a message and a code. Codecs are made
on first use and kept in the `Method`, one for each instance of a protocol; making one twice at the same
time is harmless.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md
"""

from __future__ import annotations

import struct
import weakref
from typing import Any, Final

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol.thrift.envelope import BinaryEnvelope, Envelope
from idlrt.protocol.thrift.framing import Dialect, check_frame, check_message
from idlrt.protocol.thrift.kinds import MessageKind
from idlrt.serialization._tables import TableSerialization
from idlrt.serialization.base import Limits, RecordCodec
from idlrt.spec import I32, STRING, DeclaredError, Field, Method, StructType, VoidType, optional

__all__ = ["MethodCodec", "decode_refusal", "encode_refusal", "left_over", "method_codec"]

_pack_u32 = struct.Struct(">I").pack
_pack_i32 = struct.Struct(">i").pack
_CALL, _REPLY, _ONEWAY = MessageKind.CALL, MessageKind.REPLY, MessageKind.ONEWAY


class MethodCodec:
    """Reads and writes what belongs to one method.

    Attributes:
        arguments: the codec of its arguments.
        call_kind: the kind of its calls.
        reply_head: the head of its replies up to the sequence id, where 4 bytes of that are all that follows; else
            `None`.
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
        # What stands in a reply beside the value of the method.
        self._nothing: Final = (None,) * (self._width - int(self._has_value))
        self._heads: dict[tuple[MessageKind, str], tuple[bytes, bytes]] = {}
        self._call_heads: dict[str, tuple[bytes, bytes]] = {}
        self._reply_head: tuple[bytes, bytes] | None = None
        self._most: Final = min(envelope.limits.max_message, envelope.limits.max_frame)
        # The very class: what is derived from it may have other heads.
        self._is_binary: Final = type(envelope) is BinaryEnvelope
        self.reply_head: Final = _reply_head(envelope, method.name)

    def pack_call(
        self, dialect: Dialect, name: str, sequence_id: int, arguments: tuple[Any, ...], metadata: Metadata
    ) -> bytes:
        """The bytes of a call.

        Args:
            dialect: of the protocol of this codec.
            name: of the method, as it stands on the wire.

        Raises:
            LocalProtocolError: a value does not fit its field, the metadata cannot be written, or a limit is met.
        """
        if not dialect.is_fused:
            return self._pack(dialect, self.arguments, self.call_kind, name, sequence_id, arguments, metadata)
        # What `_pack` does, in fewer steps.
        head = self._call_heads.get(name)
        if head is None:
            # Names are the method's, with or without the name of a service: there are no others.
            head = self._call_heads[name] = self._head(self.call_kind, name)
        codec: Any = self.arguments  # a native codec
        data: bytes = codec.message(arguments, head[0], sequence_id, head[1], True)
        if len(data) - 4 > self._most:
            self._check_size(len(data) - 4)
        return data

    def pack_result(self, dialect: Dialect, sequence_id: int, value: Any, metadata: Metadata) -> bytes:
        """The bytes of a reply.

        Raises:
            ApplicationError: `value` is `None`, and the method has a result.
            LocalProtocolError: `value` does not fit the result's type, or as `pack_call`.
        """
        values: tuple[Any, ...] = self._nothing
        if self._has_value:
            if value is None:
                raise _missing(self._method, "the handler returned None")
            values = (value, *values)
        shape = dialect.prefix
        if dialect.is_fused or (shape is not None and dialect.is_native and not metadata):
            # What `_pack` and `pack_behind` do, without their layers: servers do little else.
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
            return self.pack_behind(dialect, prefix, self._result, _REPLY, self._method.name, sequence_id, values)
        return self._pack(dialect, self._result, _REPLY, self._method.name, sequence_id, values, metadata)

    def pack_thrown(self, dialect: Dialect, sequence_id: int, error: DeclaredError, metadata: Metadata) -> bytes | None:
        """The bytes of a reply with an exception; `None` if the method does not declare it.

        Raises:
            LocalProtocolError: as `pack_call`.
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
        kind: MessageKind,
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

    def pack_behind(
        self,
        dialect: Dialect,
        prefix: bytes,
        codec: Any,  # a `RecordCodec`, a native one if the dialect is native
        kind: MessageKind,
        name: str,
        sequence_id: int,
        values: tuple[Any, ...],
    ) -> bytes:
        """The bytes of a frame: its length, `prefix` and a message. Raises as `pack_call`.

        Args:
            dialect: with `Dialect.prefix`, of which `prefix` is one.
            codec: `arguments`, or that of the result.
            name: of the method, as it stands on the wire.
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

    def _head(self, kind: MessageKind, name: str) -> tuple[bytes, bytes]:
        """What stands in the head of a message before and after its number."""
        head = self._heads.get((kind, name))
        if head is None:
            # Names are those of methods, with the name of a service or not: there are no others.
            head = self._heads[kind, name] = self._envelope.head_parts(kind, name) or (b"", b"")
        return head

    def _check_size(self, size: int) -> None:
        limits = self._envelope.limits
        check_message(size, limits)
        check_frame(size, limits)

    def decode_arguments(self, message: bytes, start: int) -> tuple[Any, ...]:
        """The arguments of a call whose body is `message[start:]`. Raises as `measure_arguments`."""
        return self.measure_arguments(message, start)[0]

    def measure_arguments(self, message: bytes, start: int, received: int = 0) -> tuple[tuple[Any, ...], int]:
        """The arguments of a call whose body is `message[start:]`, and the bytes of memory that they take at most.

        Args:
            received: bytes of the message as they arrived; 0 if they are those of `message`.

        Raises:
            RemoteProtocolError: they cannot be read, or bytes are left over.
        """
        arguments, end, decoded = self.arguments.decode_measured(message, start, received)
        if end != len(message) or self._tail:
            self._check_end(message, end)
        return arguments, decoded

    def decode_result(self, message: bytes, start: int, received: int = 0) -> Any:
        """The result in a reply whose body is `message[start:]`.

        Args:
            received: as of `measure_arguments`.

        Raises:
            DeclaredError: the one that the server threw.
            ApplicationError: nothing is set, and the method has a result.
            RemoteProtocolError: the reply cannot be read.
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
            raise _missing(self._method, "the server's reply is empty, as when a handler returns nothing")
        return None

    def _check_end(self, message: bytes, end: int) -> None:
        if self._tail:
            end = self._envelope.unpack_tail(message, end)
        if end != len(message):
            raise left_over(self._method, end, len(message))


def _reply_head(envelope: Envelope, name: str) -> bytes | None:
    """See `MethodCodec.reply_head`. Replies with a name over the limit have to be refused."""
    if type(envelope) is not BinaryEnvelope or len(name.encode()) > envelope.limits.max_string:
        return None
    before, after = envelope.head_parts(_REPLY, name)
    return None if after else before


def _check_sizes(size: int, prefix: int, limits: Limits) -> None:
    """Check a frame of `size` bytes, of which `prefix` stand before the message.

    Raises:
        LocalProtocolError: the message, or the frame, is over a limit.
    """
    check_message(size - prefix, limits)
    check_frame(size, limits)


def method_codec(method: Method[..., Any], envelope: Envelope) -> MethodCodec:
    """The codec of `method`, made on first use."""
    found: MethodCodec | None = method.codecs.get(envelope)
    if found is not None:
        return found
    made: MethodCodec = method.codecs.setdefault(envelope, MethodCodec(method, envelope))
    return made


def _missing(method: Method[..., Any], cause: str) -> ApplicationError:
    what = f"{method.full_name} has no result, expected {method.result!r}: {cause}"
    return ApplicationError(what, ApplicationCode.MISSING_RESULT)


def left_over(method: Method[..., Any], end: int, size: int) -> RemoteProtocolError:
    """The error for a message of `size` bytes whose values end at the offset `end`."""
    what = f"{size - end} bytes follow the end of its message at {end}"
    return RemoteProtocolError(f"cannot read {method.full_name}: {what}")


_REFUSAL: Final = (optional(1, "message", STRING), optional(2, "type", I32))


_refusal_codecs: Final[weakref.WeakKeyDictionary[Envelope, RecordCodec]] = weakref.WeakKeyDictionary()


def _refusal_codec(envelope: Envelope) -> RecordCodec:
    codec = _refusal_codecs.get(envelope)
    if codec is None:
        # Whoever was refused learns why, whatever the server's text is encoded in.
        values = envelope.serialization
        reading = values.lenient() if isinstance(values, TableSerialization) else values
        codec = _refusal_codecs[envelope] = reading.record(_REFUSAL, ("", ApplicationCode.UNKNOWN.value), "refusal")
    return codec


def encode_refusal(envelope: Envelope, error: ApplicationError) -> bytes:
    """The body of an exception message."""
    # A text of a foreign exception may hold what UTF-8 cannot (lone surrogates).
    text = error.message.encode(errors="backslashreplace").decode()
    return _refusal_codec(envelope).encode((text, int(error.code))) + envelope.tail


def decode_refusal(envelope: Envelope, message: bytes, start: int, received: int = 0) -> ApplicationError:
    """The error in an exception message whose body is `message[start:]`.

    Raises:
        RemoteProtocolError: it cannot be read.
    """
    (text, code), _ = _refusal_codec(envelope).decode(message, start, received)
    return ApplicationError(text, code)
