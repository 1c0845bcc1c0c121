"""Checks of byte streams: cuts, early ends, garbage and limits. Part of `check_protocol`."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError, RpcError
from idlrt.protocol import (
    ClientEvent,
    ClientProtocol,
    ConnectionBroken,
    PingReceived,
    RequestReceived,
    ResponseReceived,
    RpcProtocol,
    ServerEvent,
    Sniff,
)
from idlrt.protocol.detection import detect
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.testing.protocol_pair import ECHO, FIND, NOTE, Item, Missing, Pair, outcome, raised

__all__ = ["SMALL_LIMITS", "STREAM_CHECKS", "check_client_limits"]

SMALL_LIMITS: Final = Limits(max_frame=2000, max_message=2000, max_string=1000)
_LONG: Final = "x" * 200_000
_ROUNDS: Final = 300
_OTHERS: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00\x00\x00\x15\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x00",
    b"\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x00",
    b"\x82\x21\x01\x04ping\x00",
    b'{"jsonrpc": "2.0", "method": "ping", "id": 1}',
    b'[1,"ping",1,1,{}]',
    b"\xda\xbb\xc2\x00",
    b"\xf1\xf1\x00\x00",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"ask ping {}\n",
    bytes(40),
    b"\xff" * 40,
)
"""How clients of several protocols begin."""


def _check_sniff(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    for name in ("", "Check"):
        for begin in (_request(spoken, name), _oneway(spoken, name), spoken.connect(name).ping()[1]):
            said = _sniffed(protocol, begin)
            assert Sniff.NO not in said, f"sniff never says NO to the protocol's own clients ({begin[:20]!r})"
            assert said[-1] is Sniff.YES, (
                f"sniff returns YES for a whole message of the protocol's clients ({begin[:20]!r})"
            )
            assert detect(begin, (protocol,), DEFAULT_LIMITS) is protocol, "a server that speaks it detects it"
    for begin in _OTHERS:
        _sniffed(protocol, begin)


def _sniffed(protocol: RpcProtocol, begin: bytes) -> list[Sniff]:
    said = [protocol.sniff(begin[:size], DEFAULT_LIMITS) for size in range(1, len(begin) + 1)]
    decided = [each for each in said if each is not Sniff.MORE]
    at = len(said) - len(decided)
    assert said[at:] == decided, f"sniff does not ask for more once it has decided ({begin[:20]!r})"
    assert len(set(decided)) <= 1, f"YES and NO of sniff hold for every longer prefix ({begin[:20]!r})"
    return said


def _request(spoken: ClientProtocol, service: str) -> bytes:
    return spoken.connect(service).request(ECHO, ("text",))[1]


def _oneway(spoken: ClientProtocol, service: str) -> bytes:
    return spoken.connect(service).request(NOTE, ("text",))[1]


# Cut anywhere.


class _Recorded:
    """A conversation: the bytes of the client, and of the server, with the responses in the order of the requests."""

    def __init__(self, protocol: RpcProtocol, spoken: ClientProtocol) -> None:
        self._protocol, self._spoken = protocol, spoken
        self.requests = b""
        self.responses: list[bytes] = []
        pair = Pair(spoken, protocol)
        for data in self._steps(pair):
            self.requests += data
            answer = self.answer(pair, data)
            if answer:
                self.responses.append(answer)
                pair.to_client(answer)

    @staticmethod
    def _steps(pair: Pair) -> Iterator[bytes]:
        """Yield the bytes of each message, after the response to the previous one."""
        yield pair.client.request(ECHO, ("ä text\nwith lines",))[1]
        yield pair.client.ping()[1]
        yield pair.client.request(NOTE, ("one way",))[1]
        yield pair.client.request(FIND, (-5, "hint"))[1]
        yield pair.client.request(FIND, (6, None))[1]

    @staticmethod
    def answer(pair: Pair, data: bytes) -> bytes:
        """Return the server's answer to the bytes of one message."""
        (event,) = pair.to_server(data)
        if isinstance(event, PingReceived):
            return pair.server.pong(event)
        assert isinstance(event, RequestReceived), f"a message is a request or a ping, not {event}"
        if event.method is None:
            return pair.server.refuse(event, ApplicationError("no method", ApplicationCode.UNKNOWN_METHOD))
        if event.method is NOTE:
            return b"" if event.is_oneway else pair.server.respond(event, None)
        if event.method is ECHO:
            return pair.server.respond(event, "echo\n")
        if pair.server.arguments(event)[0][0] == -5:
            return pair.server.respond_error(event, Missing(id=-5)) or b""
        return pair.server.respond(event, Item(id=6, name="x", tags=["a", "b"]))

    def server_events(self, pieces: list[bytes]) -> list[Any]:
        """Return the events of a server's end for the requests."""
        pair = Pair(self._spoken, self._protocol)
        return [pair.comparable(event) for piece in pieces for event in pair.to_server(piece)]

    def client_events(self, cut: Callable[[bytes], list[bytes]]) -> list[Any]:
        """Return the events of a client's end for the responses, each of which is cut."""
        pair = Pair(self._spoken, self._protocol)
        waiting = list(self.responses)
        found: list[Any] = []
        for _ in self._steps(pair):
            if not pair.client.is_idle:  # a response is outstanding
                for piece in cut(waiting.pop(0)):
                    found += map(outcome, pair.to_client(piece))
        return found


def _halves(data: bytes) -> Iterator[list[bytes]]:
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def _bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def _check_cuts(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    recorded = _Recorded(protocol, spoken)
    requests = recorded.requests
    whole = recorded.server_events([requests])
    assert len(whole) == 5, f"five messages in one piece are five events, got {whole}"
    for pieces in (_bytes(requests), *_halves(requests)):
        found = recorded.server_events(pieces)
        assert found == whole, f"a server's events do not depend on cuts: {whole} in one piece, {found}"
    whole = recorded.client_events(lambda data: [data])
    assert len(whole) == len(recorded.responses), f"each response is one event, got {whole}"
    longest = max(map(len, recorded.responses))
    for at in range(1, longest):
        found = recorded.client_events(lambda data, at=at: [data[:at], data[at:]])  # type: ignore[misc]
        assert found == whole, f"a client's events do not depend on cuts: {whole} in one piece, {found}"
    assert recorded.client_events(_bytes) == whole, "a client's events are the same when single bytes arrive"


def _check_between(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    """Check that no end is idle within a message."""
    data = _request(spoken, "")
    pair = Pair(spoken, protocol)
    for at in range(1, len(data)):
        if pair.to_server(data[at - 1 : at]):
            break
        assert not pair.server.is_between_messages, f"a server's end is within a message after {data[:at]!r}"
    pair = Pair(spoken, protocol)
    id, request = pair.ask(ECHO, ("x",))
    pair.client.cancel(id)
    answer = pair.server.respond(request, "x")
    pair.to_client(answer[:-1])
    assert not pair.client.is_idle, "a client's end is not idle within a response, even to a cancelled request"
    pair.to_client(answer[-1:])
    assert pair.client.is_idle, "a client's end is idle after the response to a cancelled request"


def _check_end(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    """Check that the end of data is an error within a message, and none between messages."""
    pair = Pair(spoken, protocol)
    assert pair.server.receive_eof() == [], "a client may close a connection without a request"
    assert pair.client.receive_eof() == [], "a server may close an idle connection"
    pair = Pair(spoken, protocol)
    pair.call(ECHO, ("x",), "x")
    assert not pair.server.is_at_eof, "the client has not stopped sending yet"
    assert pair.server.receive_eof() == [], "a client may stop sending after a whole request"
    assert pair.server.is_at_eof, "a server's end knows that the client has stopped sending"
    assert not pair.server.is_broken, "a client that stops sending between messages breaks nothing"
    assert pair.client.receive_eof() == [], "a server may close the connection after a whole response"
    data = _request(spoken, "")
    for at in range(1, len(data)):
        pair = Pair(spoken, protocol)
        if pair.to_server(data[:at]):
            break
        events = pair.server.receive_eof()
        if len(events) == 1 and isinstance(events[0], RequestReceived) and not pair.server.is_broken:
            # The end of the data may end a message that is complete otherwise.
            assert pair.server.arguments(events[0])[0] == ("text",), (
                "a request is an event only after all its bytes arrived"
            )
            break
        _broken(events, f"the end of data within a request ({data[:at]!r})")
        assert pair.server.is_broken, "a server's end is broken after ConnectionBroken"
        assert pair.server.receive_data(data) == [], "a broken end has no further events"
    pair = Pair(spoken, protocol)
    _, request = pair.ask(ECHO, ("x",))
    answer = pair.server.respond(request, "x")
    pair.to_client(answer[: len(answer) // 2])
    _broken(pair.client.receive_eof(), "the end of data within a response")
    assert pair.client.receive_data(answer) == [], "a broken end has no further events"


def _broken(events: list[ServerEvent] | list[ClientEvent], why: str) -> None:
    is_broken = len(events) == 1 and isinstance(events[0], ConnectionBroken)
    assert is_broken, f"{why} is one ConnectionBroken, not {events}"


# Broken.


def _check_garbage(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    """Check that no input raises an exception, and that no event follows `ConnectionBroken`."""
    rng = random.Random(3)
    requests = _Recorded(protocol, spoken).requests
    pair = Pair(spoken, protocol)
    _, request = pair.ask(ECHO, ("some text",))
    answer = pair.server.respond(request, "some text")
    for number in range(_ROUNDS):
        if number < len(_OTHERS):
            _offer(Pair(spoken, protocol), _OTHERS[number])
            begun = Pair(spoken, protocol)
            begun.call(ECHO, ("x",), "x")
            _offer(begun, _OTHERS[number])
            _offer_client(spoken, protocol, _OTHERS[number])
        _offer(Pair(spoken, protocol), _damaged(requests, rng))
        _offer_client(spoken, protocol, _damaged(answer, rng))


def _damaged(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(found))
        match rng.randrange(3):
            case 0:
                found[at] = rng.randrange(256)
            case 1:
                found[at : at + rng.randrange(1, 5)] = b""
            case _:
                found[at:at] = rng.randbytes(rng.randrange(1, 5))
        found = found or bytearray(b"\0")
    return bytes(found)


def _offer(pair: Pair, data: bytes) -> None:
    """Deliver bytes to a server's end and handle its events."""
    try:
        events = pair.server.receive_data(data)
        events += pair.server.receive_eof() if not pair.server.is_broken else []
        for event in events:
            if isinstance(event, RequestReceived):
                if event.method is not None and event.refusal is None:
                    with contextlib.suppress(RemoteProtocolError):
                        pair.server.arguments(event)
                assert isinstance(pair.server.refuse(event, ApplicationError("no")), bytes)
    except Exception as error:
        raise AssertionError(f"no bytes of a client make a server's end raise {error!r} ({data[:80]!r})") from error
    _ends(events, pair.server.is_broken)
    if pair.server.is_broken:
        assert pair.server.receive_data(data) == [], "a broken end has no further events"


def _offer_client(spoken: ClientProtocol, protocol: RpcProtocol, data: bytes) -> None:
    pair = Pair(spoken, protocol)
    pair.client.request(ECHO, ("some text",))
    try:
        events = pair.client.receive_data(data)
        events += pair.client.receive_eof()
        for event in events:
            if isinstance(event, ResponseReceived):
                with contextlib.suppress(RpcError):
                    event.result()
    except Exception as error:
        raise AssertionError(f"no bytes of a server make a client's end raise {error!r} ({data[:80]!r})") from error
    _ends(events, any(isinstance(event, ConnectionBroken) for event in events))


def _ends(events: list[Any], is_broken: bool) -> None:
    places = [at for at, event in enumerate(events) if isinstance(event, ConnectionBroken)]
    assert places == ([len(events) - 1] if is_broken else []), "ConnectionBroken is the last event of a broken end"


# Too much.


def _check_limits(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    data = spoken.connect().request(ECHO, (_LONG,))[1]
    pair = Pair(spoken, protocol, SMALL_LIMITS)
    pair.call(ECHO, ("x",), "x")
    events: list[ServerEvent] = []
    for at in range(0, len(data) - 100, 1000):
        events += pair.server.receive_data(data[at : min(at + 1000, len(data) - 100)])
    is_told = pair.server.is_broken or any(isinstance(each, RequestReceived) for each in events)
    is_small = len(data) <= SMALL_LIMITS.max_message  # compressed
    assert is_told or is_small, "a request over the limits is refused before all of it has been read"
    _is_not_accepted(pair, [*events, *pair.server.receive_data(data[len(data) - 100 :])])


def _is_not_accepted(pair: Pair, events: list[ServerEvent]) -> None:
    for event in events:
        if isinstance(event, RequestReceived) and event.refusal is None and event.method is not None:
            rule = "a request over the limits raises RemoteProtocolError, if there is an event for it"
            raised(RemoteProtocolError, rule, partial(pair.server.arguments, event))


def check_client_limits(protocol: RpcProtocol, small: ClientProtocol) -> None:
    """Check what a client accepts.

    Args:
        small: with `SMALL_LIMITS`.
    """
    pair = Pair(small, protocol)
    _, request = pair.ask(ECHO, ("x",))
    for event in pair.to_client(pair.server.respond(request, _LONG)):
        if isinstance(event, ResponseReceived):
            rule = "a response over the limits raises RemoteProtocolError, if there is an event for it"
            raised(RemoteProtocolError, rule, event.result)
    pair = Pair(small, protocol, SMALL_LIMITS)
    _, request = pair.ask(ECHO, ("x",))
    code = ApplicationCode.LOADSHEDDING
    response = pair.answer(pair.server.refuse(request, ApplicationError("ä\n" * 5000, code)))
    error = raised(ApplicationError, "a refusal arrives whatever the limits are", response.result)
    assert error.code is code, "a refusal keeps its code, whatever the limits are"


STREAM_CHECKS: Final[tuple[Callable[[RpcProtocol, ClientProtocol], None], ...]] = (
    _check_sniff,
    _check_cuts,
    _check_between,
    _check_end,
    _check_garbage,
    _check_limits,
)
