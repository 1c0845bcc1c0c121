"""A client's and a server's end of one connection, joined in memory, with a small service between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from idlrt.core import NO_CONTEXT, NO_METADATA, Metadata, RequestContext, bind, serve
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError
from idlrt.protocol import (
    ClientConnection,
    ClientEvent,
    ClientProtocol,
    ConnectionBroken,
    DataToSend,
    GoAway,
    PingReceived,
    PongReceived,
    RequestReceived,
    ResponseReceived,
    RpcProtocol,
    ServerConnection,
    ServerEvent,
)
from idlrt.serialization import Limits
from idlrt.serialization.base import DEFAULT_LIMITS
from idlrt.spec import (
    BINARY,
    BOOL,
    DOUBLE,
    I32,
    I64,
    STRING,
    VOID,
    DeclaredError,
    Method,
    Struct,
    list_of,
    map_of,
    method,
    optional,
    required,
    service,
    struct,
)

__all__ = [
    "CALLS",
    "ECHO",
    "FIND",
    "LONE",
    "NOTE",
    "NOTHING",
    "OTHER_FIND",
    "SERVED",
    "STRANGE_FIND",
    "UNKNOWN",
    "Item",
    "Missing",
    "OtherMissing",
    "Pair",
    "Undeclared",
    "outcome",
    "raised",
]


LONE: Final = "\ud800"
"""Text that UTF-8 cannot encode: a lone surrogate."""


class Item(Struct, kw_only=True):
    """A result with one field for each kind of value."""

    id: int
    name: str | None = None
    price: float | None = None
    is_sold: bool | None = None
    image: bytes | None = None
    tags: list[str] | None = None
    stock: dict[str, int] | None = None
    parts: list[Item] | None = None

    __thrift_fields__ = (
        required(1, "id", I64),
        optional(2, "name", STRING),
        optional(3, "price", DOUBLE),
        optional(4, "is_sold", BOOL),
        optional(5, "image", BINARY),
        optional(6, "tags", list_of(STRING)),
        optional(7, "stock", map_of(STRING, I32)),
        optional(8, "parts", list_of(struct(lambda: Item))),
    )


class Missing(DeclaredError):
    """An exception that `find` declares."""

    id: int

    __thrift_fields__ = (required(1, "id", I64),)


class _OtherFile:
    class Missing(DeclaredError):
        """A class of the same name, as from another IDL file."""

        text: str

        __thrift_fields__ = (required(1, "text", STRING),)


OtherMissing: Final = _OtherFile.Missing


class Undeclared(DeclaredError):
    """An exception that no method declares."""

    __thrift_fields__ = ()


class _Check:
    """Two services with a method of the same name."""

    def find(self, id: int, hint: str | None = None) -> Item:
        raise NotImplementedError

    def strange_find(self, id: str, hint: str | None = None) -> list[int]:
        raise NotImplementedError

    def echo(self, text: str) -> str:
        raise NotImplementedError

    def nothing(self) -> None:
        raise NotImplementedError

    def note(self, text: str) -> None:
        raise NotImplementedError


_THROWS: Final = (optional(1, "e", struct(Missing)), optional(2, "other", struct(OtherMissing)))
_HINT: Final = optional(2, "hint", STRING)
FIND: Final = method(_Check.find, required(1, "id", I64), _HINT, result=struct(Item), throws=_THROWS)
ECHO: Final = method(_Check.echo, required(1, "text", STRING), result=STRING)
NOTHING: Final = method(_Check.nothing, result=VOID)
NOTE: Final = method(_Check.note, required(1, "text", STRING), result=VOID, oneway=True)
OTHER_FIND: Final = method(_Check.find, required(1, "id", I64), _HINT, result=struct(Item), throws=_THROWS)
# `find` as a client of another version of the IDL has it, and a method that the server does not have.
STRANGE_FIND: Final = method(_Check.strange_find, required(1, "id", STRING), _HINT, result=list_of(I64), name="find")
UNKNOWN: Final = method(_Check.nothing, result=VOID, name="absent")

SERVED: Final = serve(
    [
        bind(service("Check", FIND, ECHO, NOTHING, NOTE), _Check()),
        bind(service("Other", OTHER_FIND), _Check()),
    ]
)
service("Check", STRANGE_FIND, UNKNOWN)

_TEXTS: Final = (
    "",
    "plain",
    "two words",
    "line\nline\r\n\ttab",
    "quote \" ' \\ {}[]:,%&=<>",
    "ä€😀\u2028",
    "\0\x1f\x7f",
)
_ITEM: Final = Item(
    id=2, name="a b", price=0.5, is_sold=False, image=bytes(range(256)), tags=["", "x"], stock={"a": -1, "": 2}
)
CALLS: Final[tuple[tuple[Method[..., Any], tuple[Any, ...], Any], ...]] = (
    (NOTHING, (), None),
    *((ECHO, (text,), text) for text in _TEXTS),
    *((FIND, (id, None), Item(id=id)) for id in (0, -1, 2**63 - 1, -(2**63))),
    (FIND, (1, "a hint"), _ITEM),
    (FIND, (1, ""), Item(id=3, tags=[], stock={}, parts=[_ITEM, Item(id=4)])),
)
"""Methods, arguments and results."""


E = TypeVar("E", bound=Exception)


def raised(kind: type[E], rule: str, attempt: Callable[[], object]) -> E:
    """Return the error of a kind that `attempt` raises.

    Raises:
        AssertionError: it raises none.
    """
    try:
        found = attempt()
    except kind as error:
        return error
    raise AssertionError(f"{rule}, and does not return {found!r}")


class Pair:
    """Both ends of one connection. Data that an end sends without an event is delivered at once.

    Args:
        spoken: makes the client's end.
        protocol: makes the server's end.
        limits: of the server's end.
        service: name of the service that the client calls; empty for the first one.

    Attributes:
        client: the client's end.
        server: the server's end.
        goes_away: whether the client received a drain notice outside of responses.
    """

    def __init__(
        self, spoken: ClientProtocol, protocol: RpcProtocol, limits: Limits = DEFAULT_LIMITS, service: str = ""
    ) -> None:
        self.client: ClientConnection = spoken.connect(service)
        self.server: ServerConnection = protocol.server(SERVED, limits)
        self.goes_away = False

    def to_server(self, data: bytes) -> list[ServerEvent]:
        """Deliver bytes to the server; return its events except `DataToSend`."""
        events: list[ServerEvent] = []
        for event in self.server.receive_data(data):
            if isinstance(event, DataToSend):
                assert not self.to_client(event.data), "interim bytes of a server are no response"
            else:
                events.append(event)
        return events

    def to_client(self, data: bytes) -> list[ClientEvent]:
        """Deliver bytes to the client; return its responses, pongs and `ConnectionBroken`."""
        events: list[ClientEvent] = []
        for event in self.client.receive_data(data):
            if isinstance(event, DataToSend):
                assert not self.to_server(event.data), "interim bytes of a client are no request"
            elif isinstance(event, GoAway):
                self.goes_away = True
            else:
                events.append(event)
        return events

    def ask(
        self,
        method: Method[..., Any],
        arguments: tuple[Any, ...],
        metadata: Metadata = NO_METADATA,
        context: RequestContext = NO_CONTEXT,
    ) -> tuple[int, RequestReceived]:
        """Send a request; return its id at the client and the server's event."""
        id, data = self.client.request(method, arguments, metadata, context)
        assert data, "a request has bytes to send"
        return id, self.one_request(data)

    def one_request(self, data: bytes) -> RequestReceived:
        """Deliver the bytes of one request."""
        events = self.to_server(data)
        assert len(events) == 1 and isinstance(events[0], RequestReceived), f"one request is one event, got {events}"  # noqa: PT018
        return events[0]

    def answer(self, data: bytes) -> ResponseReceived:
        """Deliver the bytes of one response."""
        events = self.to_client(data)
        assert len(events) == 1 and isinstance(events[0], ResponseReceived), f"one response is one event, got {events}"  # noqa: PT018
        return events[0]

    def call(self, method: Method[..., Any], arguments: tuple[Any, ...], result: Any) -> Any:
        """Make a whole call whose handler returns `result`; return the client's result."""
        id, request = self.ask(method, arguments)
        assert request.refusal is None, f"a good request is not refused: {request.refusal}"
        response = self.answer(self.server.respond(request, result))
        assert response.id == id, "a response has the id of its request"
        return response.result()

    def refused(self, request: RequestReceived, error: ApplicationError) -> ApplicationError:
        """Reject a request; return the client's error."""
        data = self.server.refuse(request, error)
        assert data, "a refusal has bytes to send"
        return raised(ApplicationError, "a refusal is an ApplicationError for the client", self.answer(data).result)

    def leaves_no_trace(self, start: Callable[[], object]) -> None:
        """Check that `start` fails because a value cannot be encoded, and that the connection is unchanged."""
        raised(LocalProtocolError, "what cannot be encoded raises LocalProtocolError", start)
        assert self.client.in_flight == self.client.cancelled == 0, "nothing has started after LocalProtocolError"
        assert self.client.is_idle, "a connection is idle after LocalProtocolError"
        self.still_works("LocalProtocolError")

    def still_works(self, why: str) -> None:
        """Check that the connection still works, after `why`."""
        assert not self.server.is_broken, f"{why} does not break the server's end"
        assert self.call(ECHO, ("good",), "good") == "good", f"the connection works after {why}"
        assert self.client.is_idle, f"the client's end is idle after {why} and another call"

    def ping(self) -> tuple[int, bytes]:
        """Send a ping; return its id and the response, a rejection if a ping is a call of an unknown method."""
        id, data = self.client.ping()
        return id, self.answer_to_ping(data)

    def answer_to_ping(self, data: bytes) -> bytes:
        """Deliver the bytes of a ping to the server; return its response."""
        events = self.to_server(data)
        assert len(events) == 1, f"one ping is one event, got {events}"
        event = events[0]
        if isinstance(event, PingReceived):
            return self.server.pong(event)
        assert isinstance(event, RequestReceived), f"a ping must be a PingReceived or a RequestReceived, got {event}"
        assert event.method is None, "a ping calls no method of a service"
        return self.server.refuse(event, ApplicationError("no method", ApplicationCode.UNKNOWN_METHOD))

    def comparable(self, event: ServerEvent) -> Any:
        """Return the content of a server's event, for comparison."""
        if isinstance(event, RequestReceived):
            arguments = self.server.arguments(event)[0] if event.method and event.refusal is None else None
            refusal = str(event.refusal) if event.refusal is not None else ""
            said = event.key, event.is_oneway, dict(event.metadata), event.context, event.size
            return (*said, refusal, arguments)
        if isinstance(event, ConnectionBroken):
            return "broken", str(event.error)
        return type(event).__name__


def outcome(event: ClientEvent) -> Any:
    """Return the content of a client's event, for comparison."""
    if isinstance(event, ResponseReceived):
        try:
            result = event.result()
        except (DeclaredError, ApplicationError) as error:
            result = type(error).__name__, str(error)
        return event.id, event.size, event.is_draining, dict(event.metadata), result
    if isinstance(event, PongReceived):
        return event.id, event.is_draining
    return type(event).__name__
