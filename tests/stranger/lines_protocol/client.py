"""The client's end of a `lines` connection."""

from __future__ import annotations

import json
import math
from typing import Any

from idlrt.core import NO_CONTEXT, NO_METADATA, Metadata, RequestContext
from idlrt.errors import ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol import ClientEvent, ConnectionBroken, PongReceived, ResponseReceived
from idlrt.serialization import Limits
from idlrt.spec import Method
from lines_protocol.messages import LINES, Lines, codec_of, missing

__all__ = ["LinesClientConnection", "LinesResponse"]


class LinesResponse(ResponseReceived, frozen=True, gc=False, kw_only=True):
    """A response.

    Attributes:
        line: as it arrived.
        limits: what is accepted.
    """

    line: bytes
    limits: Limits

    def result(self) -> Any:
        """Return the result of the call."""
        word, _, body = self.line.partition(b" ")
        if word == b"no":
            raise _refusal(body)
        if word not in (b"ok", b"threw"):
            raise RemoteProtocolError(f"the server answered with a line that begins with {self.line[:20]!r}")
        codec = codec_of(self.method, self.limits)
        values, end = codec.result.decode(body, 0, len(self.line))
        if end != len(body):
            raise RemoteProtocolError(f"cannot read {self.method.full_name}: {len(body) - end} bytes follow its end")
        if codec.has_result and values[0] is not None:
            return values[0]
        for thrown in values[int(codec.has_result) :]:
            if thrown is not None:
                raise thrown
        if codec.has_result:
            raise missing(self.method)
        return None


def _refusal(body: bytes) -> ApplicationError:
    try:
        code, after, text = body.decode().split(" ", 2)
        seconds = None if after == "-" else math.inf if after == "never" else float(after)
        return ApplicationError(str(json.loads(text)), int(code)).push_back(seconds)
    except ValueError as error:
        raise RemoteProtocolError(f"cannot read a refusal: {error}") from error


class LinesClientConnection:
    """See the module; a `ClientConnection`."""

    def __init__(self, service: str, limits: Limits) -> None:
        self.capabilities = LINES
        self._prefix = f"{service}." if service else ""
        self._limits = limits
        self._lines = Lines(limits)
        self._is_broken = False
        self._count = 0
        # The request, or ping (without a method), whose response is due.
        self._due: tuple[int, Method[..., Any] | None] | None = None
        self._is_cancelled = False

    @property
    def in_flight(self) -> int:
        """Requests that wait for their responses."""
        return int(self._due is not None and not self._is_cancelled)

    @property
    def cancelled(self) -> int:
        """Cancelled requests whose responses may still arrive."""
        return int(self._due is not None and self._is_cancelled)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, and no part of a line has arrived."""
        return not self._due and not self._lines.rest and not self._is_broken

    def request(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, bytes]:
        """Start a call."""
        self._check_free()
        name = f"{self._prefix}{method.name}".lower().encode()
        body = codec_of(method, self._limits).arguments.encode(arguments)
        self._count += 1
        if not method.is_oneway:
            self._due, self._is_cancelled = (self._count, method), False
        return self._count, (b"tell " if method.is_oneway else b"ask ") + name + b" " + body + b"\n"

    def ping(self) -> tuple[int, bytes]:
        """Start a ping."""
        self._check_free()
        self._count += 1
        self._due, self._is_cancelled = (self._count, None), False
        return self._count, b"ping\n"

    def _check_free(self) -> None:
        if self._due is not None:
            raise LocalProtocolError("lines has one request in flight at a time; wait for its response")

    def cancel(self, id: int) -> bytes:
        """Drop the response of a request when it arrives."""
        if self._due is not None and self._due[0] == id:
            self._is_cancelled = True
        return b""

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Return an event for the line that is due."""
        events: list[ClientEvent] = []
        lines: list[bytes] = []
        if self._is_broken:
            return events
        try:
            try:
                self._lines.add(data, lines)
            finally:
                for line in lines:
                    self._read(line, events)
        except RemoteProtocolError as error:
            self._is_broken = True
            events.append(ConnectionBroken(error))
        return events

    def _read(self, line: bytes, events: list[ClientEvent]) -> None:
        if line.startswith(b"bye "):
            raise RemoteProtocolError(f"the server closes the connection: {line[4:].decode(errors='replace')}")
        if self._due is None:
            raise RemoteProtocolError("the server sent a line that no request asked for")
        (id, method), is_cancelled = self._due, self._is_cancelled
        self._due = None
        if is_cancelled:
            return
        if method is None:
            if line != b"pong":
                raise RemoteProtocolError(f"the server answered a ping with {line[:20]!r}")
            events.append(PongReceived(id))
        else:
            events.append(LinesResponse(id, method, size=len(line) + 1, line=line, limits=self._limits))

    def receive_eof(self) -> list[ClientEvent]:
        """Handle the end of the server's data."""
        if self._is_broken or not self._lines.rest:
            return []
        self._is_broken = True
        return [ConnectionBroken(RemoteProtocolError("the server stopped sending within a line"))]
