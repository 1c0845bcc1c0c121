"""Properties of bytes received over a connection, at both ends, with both backends.

A server tells calls, faults and the end of it all, and nothing is raised; what it tells and what it answers are the
same with both backends, and however the bytes are cut. A client likewise, of the answers to three calls.

The first byte of an input says how it comes: 1, that limits are small; 2, byte by byte; 4, that each cut is a byte
of the input (the first says how many there are, each other how far on the next is); 8, that it is not the bytes of
a connection, but the inside of what `Wrap` makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from typing import Any

import msgspec
from decoding import BACKENDS
from shapes import shape
from speech import CALLS, LIMITS, SERVICE, SMALL, answer, with_backend

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.base import ServerEvent
from idlrt.protocol.events import ClientEvent, ConnectionBroken
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.framing import Dialect
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import Detector, detector
from idlrt.serialization import Limits
from idlrt.spec import DeclaredError, Method

IS_LIMITED, IS_BYTEWISE, IS_CUT, IS_WRAPPED = 1, 2, 4, 8

Wrap = Callable[[bytes], bytes]
"""Makes the bytes of a connection whose outside is right of what a mutation would hardly hit."""


def pieces(data: bytes, wrap: Wrap) -> tuple[Limits, list[bytes]]:
    """Parse an input: the limits, and the bytes in pieces."""
    how, data = data[0], data[1:]
    cuts: list[int] = []
    if how & IS_CUT and data:
        steps = data[1 : 1 + data[0] % 16]
        cuts, data = list(accumulate(steps)), data[1 + len(steps) :]
    if how & IS_WRAPPED:
        data = wrap(data)
    if how & IS_BYTEWISE:
        cuts = list(range(1, len(data)))
    cuts = [cut for cut in cuts if cut < len(data)]
    return (SMALL if how & IS_LIMITED else LIMITS), [
        data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)
    ]


@cache
def _dialect(backend: str, old: Dialect) -> Dialect:
    return with_backend(old, backend)


class _Choosing(Detector):
    """Answers with dialects of one backend."""

    __slots__ = ("_backend", "_real")

    def __init__(self, limits: Limits, backend: str) -> None:
        self._real = detector(limits)
        self._backend = backend

    def detect(self, data: bytes) -> Dialect | None:
        found = self._real.detect(data)
        return None if found is None else _dialect(self._backend, found)


def check_server(data: bytes, wrap: Wrap) -> bool:
    """Whether a call could be read.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    if not data:
        return False
    limits, cut = pieces(data, wrap)
    told = [_serve(limits, backend, given) for backend in BACKENDS for given in (cut, [b"".join(cut)])]
    _same(told)
    return any(each[0] == "call" and each[-2][0] == "tuple" for each in told[0])


def _same(told: list[list[Any]]) -> None:
    for other in told[1:]:
        if other != told[0]:
            [(one, two), *_] = [pair for pair in zip(told[0], other, strict=False) if pair[0] != pair[1]] or [
                (told[0], other)
            ]
            raise AssertionError(f"event {one} or {two}, depending on the backend, or on how the bytes came")


def _serve(limits: Limits, backend: str, given: list[bytes]) -> list[Any]:
    """Return the events and responses of a server."""
    server = ServerConnection(_Choosing(limits, backend), SERVICE.methods)
    told: list[Any] = []
    for piece in given:
        for event in server.receive_data(piece):
            told.append(_call(server, event, backend) if isinstance(event, ThriftRequest) else _broken(event))
    told.append(("end", server.is_broken or server.is_between_messages, [str(event) for event in server.receive_eof()]))
    return told


def _broken(event: ServerEvent | ClientEvent) -> tuple[str, str]:
    assert isinstance(event, ConnectionBroken), f"{event} is no event of Thrift"
    return "broken", str(event.error)


def _call(server: ServerConnection, event: ThriftRequest, backend: str) -> tuple[Any, ...]:
    # A header says itself which protocol there is, so it is this backend's from here on.
    call = msgspec.structs.replace(event, dialect=_dialect(backend, event.dialect))
    arguments: Any = None
    answered: bytes | None = None
    if call.refusal is not None:
        answered = server.refuse(call, call.refusal)
    elif call.method is None:
        answered = server.refuse(call, ApplicationError(f"no {call.key}", ApplicationCode.UNKNOWN_METHOD))
    else:
        try:
            arguments, _ = server.arguments(call)
            answered = _answer(server, call, call.method, arguments)
        except RemoteProtocolError as error:
            arguments = str(error)
            answered = server.refuse(call, ApplicationError(str(error), ApplicationCode.PROTOCOL_ERROR))
    how = call.dialect
    return (
        "call", call.is_oneway, call.key, call.id, call.method, repr(how), how.framing.is_unordered,
        dict(call.metadata), call.context, shape(call.refusal), shape(arguments), answered,
    )  # fmt: skip


def _answer(server: ServerConnection, call: ThriftRequest, method: Method[..., Any], arguments: Any) -> bytes | None:
    if method.is_oneway:
        return None
    try:
        return server.respond(call, answer(method, arguments), call.metadata)
    except DeclaredError as error:
        return server.respond_error(call, error, call.metadata)
    except ApplicationError as error:
        return server.refuse(call, error)
    except LocalProtocolError as error:  # a union whose field only a newer peer knows cannot be written
        return server.refuse(call, ApplicationError(str(error), ApplicationCode.INTERNAL_ERROR))


def check_client(data: bytes, wrap: Wrap, dialects: list[Dialect]) -> bool:
    """Whether an answer could be read. The byte behind the first says which of the dialects the client speaks.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    if len(data) < 2:
        return False
    how = dialects[data[1] % len(dialects)]
    _, cut = pieces(data[:1] + data[2:], wrap)
    told = [_ask(_dialect(backend, how), backend, given) for backend in BACKENDS for given in (cut, [b"".join(cut)])]
    _same(told)
    return any(each[0] == "reply" and each[-1][0] != "RemoteProtocolError" for each in told[0])


def _ask(how: Dialect, backend: str, given: list[bytes]) -> list[Any]:
    """Return the requests and events of a client."""
    client = ClientConnection(how)
    told: list[Any] = [("said", *(client.request(method, arguments, {"a": "b"})[1] for method, arguments in CALLS))]
    client.cancel(2)
    for piece in given:
        for event in client.receive_data(piece):
            told.append(_reply(event, backend) if isinstance(event, ThriftResponse) else _broken(event))
    told.append(
        ("end", client.is_idle, client.in_flight, client.cancelled, [str(event) for event in client.receive_eof()])
    )
    return told


def _reply(event: ThriftResponse, backend: str) -> tuple[Any, ...]:
    reply = msgspec.structs.replace(event, dialect=_dialect(backend, event.dialect))
    try:
        answered = shape(reply.result())
    except (RemoteProtocolError, ApplicationError, DeclaredError) as error:
        answered = shape(error)
    return "reply", reply.is_refusal, reply.id, reply.method, repr(reply.dialect), dict(reply.metadata), answered


def server_seeds(dialects: list[Dialect]) -> Iterator[bytes]:
    """Good conversations of clients, cut or not."""
    for number, how in enumerate(dialects):
        client = ClientConnection(how)
        said = [client.request(method, arguments, {"tenant": "7"})[1] for method, arguments in CALLS]
        yield bytes([number % 2]) + b"".join(said)
        for each in said:
            yield bytes([IS_CUT, 3, 2, 5, 9]) + each
        yield bytes([IS_BYTEWISE]) + said[0] + said[-1][:-3]


def client_seeds(dialects: list[Dialect]) -> Iterator[bytes]:
    """Good answers, a declared exception and a refusal among them, out of order."""
    for number, how in enumerate(dialects):
        client = ClientConnection(how)
        said = b"".join(client.request(method, arguments)[1] for method, arguments in CALLS)
        server = ServerConnection(detector(LIMITS), SERVICE.methods)
        answers: list[bytes] = []
        for event in server.receive_data(said):
            assert isinstance(event, ThriftRequest)
            assert event.method is not None
            if (answered := _answer(server, event, event.method, server.arguments(event)[0])) is not None:
                answers.append(answered)
            answers.append(server.refuse(event, ApplicationError("no", ApplicationCode.INTERNAL_ERROR)))
        yield bytes([0, number]) + b"".join(reversed(answers))
        yield bytes([IS_CUT, number, 3, 2, 5, 9]) + b"".join(answers[:1])
        for each in answers:
            yield bytes([0, number]) + each
