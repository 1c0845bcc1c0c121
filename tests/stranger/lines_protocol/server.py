"""The server's end of a `lines` connection."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from idlrt.core import NO_METADATA, Metadata
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol import ConnectionBroken, PingReceived, RequestReceived, ServerEvent
from idlrt.serialization import Limits
from idlrt.spec import DeclaredError, Method, StructType
from lines_protocol.messages import LINES, Lines, codec_of, missing

if TYPE_CHECKING:
    from idlrt.core import Served

__all__ = ["LinesRequest", "LinesServerConnection"]

_LONGEST_REASON = 200


class LinesRequest(RequestReceived, frozen=True, gc=False, kw_only=True):
    """A request.

    Attributes:
        body: its arguments, as they arrived.
    """

    body: bytes = b""


class LinesServerConnection:
    """See the module; a `ServerConnection`."""

    def __init__(self, served: Served, limits: Limits) -> None:
        self.capabilities = LINES
        self.is_broken = False
        self.is_at_eof = False
        self._limits = limits
        self._lines = Lines(limits)
        self._count = 0
        # Names are lower-case here: the server's own are found by them.
        self._names = {name.lower().replace(":", "."): name for name in served.methods}
        self._methods = served.methods

    @property
    def is_between_messages(self) -> bool:
        """Whether no part of a line has arrived."""
        return not self._lines.rest

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """Return an event for each line."""
        if self.is_broken:
            return []
        lines: list[bytes] = []
        broken: list[ServerEvent] = []
        try:
            self._lines.add(data, lines)
        except RemoteProtocolError as error:
            self.is_broken = True
            broken.append(ConnectionBroken(error, f"bye {json.dumps(str(error))}\n".encode()))
        return [*map(self._read, lines), *broken]

    def _read(self, line: bytes) -> ServerEvent:
        if line == b"ping":
            return PingReceived()
        self._count += 1
        verb, _, rest = line.partition(b" ")
        name, _, body = rest.partition(b" ")
        try:
            wanted = name.decode("ascii")
        except UnicodeDecodeError:
            wanted = ""
        if verb not in (b"ask", b"tell") or not wanted:
            refusal = ApplicationError(f"a line begins with {line[:20]!r}", ApplicationCode.PROTOCOL_ERROR)
            return LinesRequest(self._count, "", None, refusal=refusal, size=len(line) + 1)
        key = self._names.get(wanted, wanted)
        method: Method[..., Any] | None = self._methods.get(key)
        return LinesRequest(self._count, key, method, verb == b"tell", size=len(line) + 1, body=body)

    def receive_eof(self) -> list[ServerEvent]:
        """Handle the end of the client's data."""
        self.is_at_eof = True
        if self.is_broken or self.is_between_messages:
            return []
        self.is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the client stopped sending within a line"))]

    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        """Return the arguments of a request, and the memory that they take."""
        assert request.method is not None
        body = cast("LinesRequest", request).body
        arguments, end, decoded = codec_of(request.method, self._limits).arguments.decode_measured(body)
        if end != len(body):
            raise RemoteProtocolError(f"cannot read {request.method.full_name}: {len(body) - end} bytes follow its end")
        return arguments, decoded

    def respond(
        self, request: RequestReceived, result: Any, metadata: Metadata = NO_METADATA, is_draining: bool = False
    ) -> bytes:
        """Return the line with a result."""
        method = request.method
        assert method is not None
        codec = codec_of(method, self._limits)
        if codec.has_result and result is None:
            raise missing(method)
        values = (result,) if codec.has_result else ()
        return b"ok " + codec.result.encode(values + (None,) * len(method.throws)) + b"\n"

    def respond_error(
        self,
        request: RequestReceived,
        error: DeclaredError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes | None:
        """Return the line with an exception."""
        method = request.method
        assert method is not None
        codec = codec_of(method, self._limits)
        for place, field in enumerate(method.throws, int(codec.has_result)):
            if isinstance(field.type, StructType) and isinstance(error, field.type.cls):
                values: list[Any] = [None] * (len(method.throws) + int(codec.has_result))
                values[place] = error
                return b"threw " + codec.result.encode(values) + b"\n"
        return None

    def refuse(
        self,
        request: RequestReceived,
        error: ApplicationError,
        metadata: Metadata = NO_METADATA,
        is_draining: bool = False,
    ) -> bytes:
        """Return the line with a refusal, which is brief enough for every limit."""
        code: object = error.code
        number = int(code) if isinstance(code, int) else int(ApplicationCode.INTERNAL_ERROR)
        after = "-" if error.retry_after is None else str(max(error.retry_after, 0.0))
        if error.retry_after is not None and math.isinf(error.retry_after):
            after = "never"
        return f"no {number} {after} {json.dumps(str(error.message)[:_LONGEST_REASON])}\n".encode()

    def pong(self, ping: PingReceived) -> bytes:
        """Return the line that answers a ping."""
        return b"pong\n"

    def drain_notice(self) -> bytes:
        """There is none: the server closes the connection."""
        return b""
