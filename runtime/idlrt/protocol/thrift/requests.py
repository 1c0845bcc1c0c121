"""Events of Thrift connections, with the fields that are needed to decode them and to respond."""

from __future__ import annotations

from typing import Any, Final

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol.events import NO_CONTEXT, RequestContext, RequestReceived, ResponseReceived
from idlrt.protocol.thrift.framing import Dialect
from idlrt.protocol.thrift.message import MethodCodec, decode_refusal, method_codec
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.typed_metadata import context_from, push_back_from
from idlrt.spec import Method

__all__ = ["PING_NAME", "ThriftRequest", "ThriftResponse", "read_request"]

PING_NAME: Final = "idlrt_ping"
"""Name of the method of pings, which no server has."""

_CALL, _ONEWAY, _EXCEPTION = MessageType.CALL, MessageType.ONEWAY, MessageType.EXCEPTION


class ThriftRequest(RequestReceived, frozen=True, gc=False, kw_only=True):
    """A request; its id is the sequence id, which the response repeats.

    Attributes:
        dialect: dialect of the response.
        message: the message; its arguments are `message[start:]`, unless they have been decoded.
        start: offset of the arguments.
    """

    dialect: Dialect
    message: bytes
    start: int

    @property
    def is_ping(self) -> bool:
        """Whether it is a ping of a client of this runtime: a call of a method that no server has."""
        return self.method is None and self.key.rpartition(":")[2] == PING_NAME


class ThriftResponse(ResponseReceived, frozen=True, gc=False, kw_only=True):
    """A response, not decoded yet.

    Attributes:
        is_refusal: whether it is an exception message (TApplicationException).
        dialect: dialect of the response.
        message: the message; its body is `message[start:]`.
        start: offset of the body.
        decode_error: why the message cannot be read; `None` if it can.
    """

    is_refusal: bool
    dialect: Dialect
    message: bytes
    start: int
    decode_error: str | None = None

    def result(self) -> Any:
        if self.decode_error is not None:
            raise RemoteProtocolError(self.decode_error)
        envelope = self.dialect.envelope
        if self.is_refusal:
            refusal = decode_refusal(envelope, self.message, self.start, self.size)
            raise refusal.push_back(push_back_from(self.metadata))
        codec: MethodCodec = self.method.codecs.get(envelope) or method_codec(self.method, envelope)
        return codec.decode_result(self.message, self.start, self.size)


def read_request(
    dialect: Dialect,
    methods: Any,  # a mapping of names on the wire to methods
    message: bytes,
    metadata: Metadata,
    number: int,
    size: int,
    context: RequestContext | None = None,
) -> ThriftRequest:
    """Return the request in a message.

    Args:
        dialect: dialect of the message.
        methods: methods of the server, by name on the wire.
        message: the message.
        metadata: metadata of the request.
        number: sequence id in the frame; 0 if the one in the message applies.
        size: size of the frame on the wire, in bytes.
        context: typed values, if they have been separated from the metadata already; else `None`.

    Raises:
        RemoteProtocolError: the message header is invalid.
    """
    head, start = dialect.envelope.unpack_head(message)
    kind, refusal = head.kind, None
    if context is None:
        context, metadata = context_from(metadata) if metadata else (NO_CONTEXT, metadata)
    if kind is not _CALL and kind is not _ONEWAY:
        what = f"the client sent {head.name!r} as a message of type {kind.name}, expected CALL or ONEWAY"
        refusal = ApplicationError(what, ApplicationCode.INVALID_MESSAGE_TYPE)
    method: Method[..., Any] | None = methods.get(head.name)
    return ThriftRequest(
        number or head.sequence_id, head.name, method, kind is _ONEWAY, dialect.framing.is_unordered, metadata, context,
        refusal, None, None, size, dialect=dialect, message=message, start=start,
    )  # fmt: skip
