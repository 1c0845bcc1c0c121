"""Server side of a Thrift connection; the client side is in `idlrt.protocol.thrift.client`.

`ServerConnection` detects the dialect by the first bytes and responds to each request in the dialect of its frame.
`ClientConnection` uses the dialect with which it was created.

Several services on one server are called by Thrift's multiplexed names, `Service:method`; responses have the plain name
of the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.base import Capabilities, ServerEvent
from idlrt.protocol.events import ConnectionBroken, PingReceived, RequestReceived
from idlrt.protocol.foreign import ForeignProtocol
from idlrt.protocol.thrift.client import PING, ClientConnection
from idlrt.protocol.thrift.framing import Dialect, capabilities
from idlrt.protocol.thrift.message import MethodCodec, encode_refusal, method_codec
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.request_readers import RequestReader, request_reader
from idlrt.protocol.thrift.requests import ThriftRequest
from idlrt.protocol.thrift.sniff import Detector
from idlrt.protocol.thrift.typed_metadata import response_metadata
from idlrt.spec import DeclaredError, Method

__all__ = ["PING", "ClientConnection", "ServerConnection", "capabilities"]

_EXCEPTION = MessageType.EXCEPTION


class ServerConnection:
    """Server side of a connection; an `idlrt.protocol.base.ServerConnection`.

    Args:
        detector: detects the dialect of the client.
        methods: methods of the server, by name on the wire.
    """

    __slots__ = ("_calls", "_detector", "_dialect", "_methods", "_prefix", "capabilities", "is_at_eof", "is_broken")

    def __init__(self, detector: Detector, methods: Mapping[str, Method[..., Any]]) -> None:
        self._detector = detector
        self._methods = methods
        self._dialect: Dialect | None = None
        self._calls: RequestReader | None = None
        self._prefix = b""
        self.capabilities = Capabilities()
        self.is_broken = False
        self.is_at_eof = False

    @property
    def dialect(self) -> Dialect | None:
        """Dialect of the first message; `None` until it is detected."""
        return self._dialect

    @property
    def is_between_messages(self) -> bool:
        return not self._prefix if self._calls is None else self._calls.is_empty

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        if self.is_broken:
            return events
        try:
            if self._calls is None:
                self._prefix += data
                dialect = self._dialect = self._detector.detect(self._prefix)
                if dialect is None:
                    return events
                self._calls = request_reader(dialect, self._methods)
                self.capabilities = capabilities(dialect.framing)
                data, self._prefix = self._prefix, b""
            self._calls.receive(data, events)
        except ForeignProtocol as error:
            self.is_broken = True
            events.append(ConnectionBroken(error, error.answer))
        except RemoteProtocolError as error:
            self.is_broken = True
            events.append(ConnectionBroken(error))
        return events

    def receive_eof(self) -> list[ServerEvent]:
        self.is_at_eof = True
        if self.is_broken or self.is_between_messages:
            return []
        self.is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the client closed the connection within a message"))]

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        if request.arguments is not None:
            return request.arguments, request.decoded
        if request.decode_error is not None:
            raise RemoteProtocolError(request.decode_error)
        found = request.method
        assert found is not None
        own = cast("ThriftRequest", request)
        envelope = own.dialect.envelope
        codec: MethodCodec = found.codecs.get(envelope) or method_codec(found, envelope)
        return codec.measure_arguments(own.message, own.start, own.size)

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        own: Any = request  # a `ThriftRequest`; `cast` would cost a call
        found, dialect = request.method, own.dialect
        assert found is not None
        if is_draining:
            metadata = response_metadata(metadata, is_draining)
        codec: MethodCodec = found.codecs.get(dialect.envelope) or method_codec(found, dialect.envelope)
        return codec.pack_result(dialect, request.id, result, metadata)

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        found, dialect = request.method, cast("ThriftRequest", request).dialect
        assert found is not None
        carried = response_metadata(metadata, is_draining)
        return method_codec(found, dialect.envelope).pack_exception(dialect, request.id, error, carried)

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        dialect = cast("ThriftRequest", request).dialect
        envelope = dialect.envelope
        name = request.method.name if request.method is not None else (request.key.partition(":")[2] or request.key)
        try:
            carried = response_metadata(metadata, is_draining, error.retry_after)
            return dialect.pack(_EXCEPTION, name, request.id, encode_refusal(envelope, error), carried)
        except (LocalProtocolError, TypeError, ValueError, AttributeError):
            # The text or the metadata exceeds a limit, or the handler raised an error without a text or a valid code.
            brief = ApplicationError("the error message cannot be encoded", _code_of(error.code))
            return dialect.pack(_EXCEPTION, name, request.id, encode_refusal(envelope, brief))

    def pong(self, ping: PingReceived) -> bytes:
        """Return nothing: Thrift has no heartbeat."""
        return b""

    def drain_notice(self) -> bytes:
        """Return nothing: Thrift signals draining in the next response."""
        return b""


def _code_of(code: object) -> int:
    """Return a valid code of an error response."""
    if isinstance(code, int) and -(1 << 31) <= code < 1 << 31:
        return code
    return ApplicationCode.INTERNAL_ERROR
