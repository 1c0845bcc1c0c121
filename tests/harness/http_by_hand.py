"""HTTP without sockets and without a client: bytes in, responses and executed calls out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rest_shop import ShopHandler, shop

from idlrt.core import Handlers, serve
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol import ConnectionBroken, RequestReceived
from idlrt.protocol.events import DataToSend, EndOfRequests
from idlrt.protocol.http import HttpProtocol
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.pages import StaticPage
from idlrt.protocol.http.server import ServerConnection
from idlrt.serialization import DEFAULT_LIMITS, Limits
from idlrt.spec import DeclaredError

__all__ = ["HttpAnswer", "Outcome", "Wire", "answers_in", "request"]

_DATE: Final = re.compile(rb"date: [^\r]*\r\n")


@dataclass(frozen=True)
class HttpAnswer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def answers_in(data: bytes, *, heads: bool = False) -> list[HttpAnswer]:
    """Parse responses.

    Args:
        heads: whether they answer HEAD, so that none has a body.

    Raises:
        AssertionError: they are malformed, or bytes are left.
    """
    found: list[HttpAnswer] = []
    while data:
        head, blank, data = data.partition(b"\r\n\r\n")
        assert blank, head
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon, line
            assert name == name.lower(), line
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        size = 0 if heads or status in ("100", "204") else int(headers["content-length"])
        assert len(data) >= size
        found.append(HttpAnswer(int(status), headers, data[:size]))
        data = data[size:]
    return found


def request(line: str, *headers: str, body: bytes = b"", host: str = "a.example") -> bytes:
    """Return a request with `Host`, and with `Content-Length` and a JSON type if it has a body."""
    lines = [f"{line} HTTP/1.1", f"Host: {host}", *headers]
    names = {each.partition(":")[0].lower() for each in headers}
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    if body and "content-type" not in names:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass
class Outcome:
    """Outcome of the bytes of a connection.

    Attributes:
        data: bytes of the responses, without dates.
        calls: calls that were executed.
        is_closed: whether the connection is closed after the responses.
    """

    data: bytes = b""
    calls: list[str] = field(default_factory=list)
    is_closed: bool = False

    @property
    def answers(self) -> list[HttpAnswer]:
        return answers_in(self.data)

    @property
    def statuses(self) -> list[int]:
        return [each.status for each in self.answers]


class Wire:
    """A server's end of a connection, with a session that calls handlers at once."""

    def __init__(
        self,
        options: Http | None = None,
        limits: Limits = DEFAULT_LIMITS,
        handlers: Handlers | None = None,
        *,
        pages: Mapping[bytes, StaticPage] = {},
        is_loopback: bool = False,
    ) -> None:
        self.handler = ShopHandler()
        served = serve(handlers if handlers is not None else shop(self.handler))
        self._table = served.table
        made = HttpProtocol(options, pages, is_loopback=is_loopback).server(served, limits)
        assert isinstance(made, ServerConnection)
        self.connection = made
        self.outcome = Outcome()
        self.is_draining = False
        self.metadata: dict[str, str] = {}

    def feed(self, pieces: Iterable[bytes]) -> Outcome:
        """Receive bytes."""
        outcome = self.outcome
        for piece in pieces:
            for event in self.connection.receive_data(piece):
                outcome.data += _DATE.sub(b"", self._answer(event))
        assert outcome.is_closed or not self.connection.is_broken
        return outcome

    def _answer(self, event: Any) -> bytes:
        if isinstance(event, DataToSend):
            return event.data
        if isinstance(event, ConnectionBroken):
            self.outcome.is_closed = True
            return event.answer
        if isinstance(event, EndOfRequests):
            self.outcome.is_closed = True
            return b""
        assert isinstance(event, RequestReceived)
        return self._call(event)

    def _call(self, event: RequestReceived) -> bytes:
        connection, draining = self.connection, self.is_draining
        if event.refusal is not None:
            return connection.refuse(event, event.refusal, is_draining=draining)
        method = event.method
        assert method is not None
        try:
            arguments = event.arguments if event.arguments is not None else connection.arguments(event)[0]
        except RemoteProtocolError as error:
            refusal = ApplicationError(str(error), ApplicationCode.PROTOCOL_ERROR)
            return connection.refuse(event, refusal, is_draining=draining)
        self.outcome.calls.append(method.name)
        try:
            try:
                result = self._table[event.key].function(*arguments)
            except DeclaredError as thrown:
                answer = connection.respond_error(event, thrown, self.metadata, draining)
                assert answer is not None
                return answer
            return connection.respond(event, result, self.metadata, draining)
        except (LocalProtocolError, ApplicationError) as error:
            return connection.refuse(event, ApplicationError(str(error), ApplicationCode.INTERNAL_ERROR))
