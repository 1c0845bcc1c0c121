"""Events of Thrift connections: what of a message is needed to decode it, and to answer it."""

from __future__ import annotations

from typing import Any

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol.events import NO_CONTEXT, RequestContext, RequestReceived, ResponseReceived
from idlrt.protocol.thrift.framing import Dialect
from idlrt.protocol.thrift.infos import context_from, push_back_from
from idlrt.protocol.thrift.kinds import MessageKind
from idlrt.protocol.thrift.message import MethodCodec, decode_refusal, method_codec
from idlrt.spec import Method

__all__ = ["ThriftRequest", "ThriftResponse", "read_request"]

_CALL, _ONEWAY, _EXCEPTION = MessageKind.CALL, MessageKind.ONEWAY, MessageKind.EXCEPTION


class ThriftRequest(RequestReceived, frozen=True, gc=False, kw_only=True):
    """A request; its id is the sequence id, which the answer repeats.

    Attributes:
        dialect: what the answer is sent in.
        message: the arguments are `message[start:]`, unless they have been decoded.
    """

    dialect: Dialect
    message: bytes
    start: int


class ThriftResponse(ResponseReceived, frozen=True, gc=False, kw_only=True):
    """A response, not decoded yet.

    Attributes:
        is_refusal: whether it is an exception message (TApplicationException).
        dialect: what it came in.
        message: its body is `message[start:]`.
        trouble: why nothing of the message can be read; `None` if it can.
    """

    is_refusal: bool
    dialect: Dialect
    message: bytes
    start: int
    trouble: str | None = None

    def result(self) -> Any:
        """See `ResponseReceived.result`."""
        if self.trouble is not None:
            raise RemoteProtocolError(self.trouble)
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
        number: of the call, if the framing has one; 0 if the message's own counts.
        size: bytes of the frame as it arrived.
        context: the typed values that were in the metadata; `None` if they are still among it.

    Raises:
        RemoteProtocolError: the message has no head that can be read.
    """
    head, start = dialect.envelope.unpack_head(message)
    kind, refusal = head.kind, None
    if context is None:
        context, metadata = context_from(metadata) if metadata else (NO_CONTEXT, metadata)
    if kind is not _CALL and kind is not _ONEWAY:
        what = f"{head.name!r} came as a {kind.name.lower()} message, which only servers send"
        refusal = ApplicationError(what, ApplicationCode.INVALID_MESSAGE_TYPE)
    method: Method[..., Any] | None = methods.get(head.name)
    return ThriftRequest(
        number or head.sequence_id, head.name, method, kind is _ONEWAY, dialect.framing.is_unordered, metadata, context,
        refusal, None, None, size, dialect=dialect, message=message, start=start,
    )  # fmt: skip
