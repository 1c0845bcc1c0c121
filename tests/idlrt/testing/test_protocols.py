"""The conformance suite of protocols: right ones pass, and each rule is missed when it is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from lines_protocol import LinesClient, LinesProtocol
from lines_protocol.client import LinesClientConnection
from lines_protocol.messages import LINES
from lines_protocol.server import LinesServerConnection

from idlrt.core import Instance, Served
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol import (
    Capabilities,
    ClientEvent,
    ConnectionBroken,
    PingReceived,
    PongReceived,
    RequestReceived,
    ServerEvent,
    Sniff,
)
from idlrt.protocol.detection import is_protocol, protocol
from idlrt.serialization import Limits
from idlrt.testing import check_protocol


@pytest.mark.slow
@pytest.mark.parametrize("serialization", ["binary", "compact", "json"])
@pytest.mark.parametrize("framing", ["framed", "header", "header_zlib", "unframed"])
def test_thrift_conforms(framing: str, serialization: str) -> None:
    if framing.startswith("header") and serialization == "json":
        pytest.skip("THeader carries no JSON")
    check_protocol(protocol("thrift"), {"framing": framing, "serialization": serialization})


@pytest.mark.parametrize("name", ["thrift", "jsonrpc", "lines"])
def test_protocols_conform(name: str) -> None:
    if not is_protocol(name):
        pytest.skip(f"there is no protocol {name}")
    check_protocol(protocol(name))


class Made(LinesProtocol):
    """`lines`, with other ends."""

    def __init__(
        self,
        server: Callable[[Served, Limits], LinesServerConnection] = LinesServerConnection,
        client: Callable[[str, Limits], LinesClientConnection] = LinesClientConnection,
        capabilities: Capabilities = LINES,
    ) -> None:
        self._server, self._client, self._capabilities = server, client, capabilities

    def server(self, served: Served, limits: Limits) -> LinesServerConnection:
        made = self._server(served, limits)
        made.capabilities = self._capabilities
        return made

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[LinesClient, ...]:
        super().clients(options, limits, instance)
        connect, capabilities = self._client, self._capabilities

        class Client(LinesClient):
            def connect(self, service: str = "") -> LinesClientConnection:
                made = connect(service, limits)
                made.capabilities = capabilities
                return made

        made = Client(limits)
        made.capabilities = capabilities
        return (made,)


class Forgetful(Made):
    def clients(self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None) -> Any:
        return super().clients({}, limits, instance)


class Hasty(Made):
    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        return Sniff.YES if super().sniff(prefix, limits) is Sniff.YES else Sniff.NO


class Deaf(Made):
    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        return Sniff.NO


class Fickle(Made):
    """It takes the first byte for enough, and reconsiders."""

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        return Sniff.YES if len(prefix) == 1 and prefix == b"G" else super().sniff(prefix, limits)


class Server(LinesServerConnection):
    """Changes the events of the server's end."""

    def change(self, event: RequestReceived) -> ServerEvent:
        return event

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        found = super().receive_data(data)
        return [self.change(each) if isinstance(each, RequestReceived) else each for each in found]


def changed(event: RequestReceived, **fields: Any) -> RequestReceived:
    kept = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**{**kept, **fields})


class OwnNames(Server):
    def change(self, event: RequestReceived) -> ServerEvent:
        return changed(event, key=event.key.lower() + "()")


class TwoWay(Server):
    def change(self, event: RequestReceived) -> ServerEvent:
        return changed(event, is_oneway=False)


class Chatty(Server):
    def change(self, event: RequestReceived) -> ServerEvent:
        return changed(event, metadata={"peer": "me"})


class Sizeless(Server):
    def change(self, event: RequestReceived) -> ServerEvent:
        return changed(event, size=0)


class Empty(LinesServerConnection):
    def respond(self, request: RequestReceived, result: Any, *arguments: Any, **options: Any) -> bytes:
        try:
            return super().respond(request, result, *arguments, **options)
        except ApplicationError:
            return b"ok {}\n"


class Lenient(LinesServerConnection):
    def respond(self, request: RequestReceived, result: Any, *arguments: Any, **options: Any) -> bytes:
        try:
            return super().respond(request, result, *arguments, **options)
        except LocalProtocolError as error:
            return self.refuse(request, ApplicationError(str(error)))


class Uniform(LinesServerConnection):
    def refuse(self, request: RequestReceived, error: ApplicationError, *arguments: Any, **options: Any) -> bytes:
        one = ApplicationError(error.message, ApplicationCode.INTERNAL_ERROR).push_back(error.retry_after)
        return super().refuse(request, one, *arguments, **options)


class Milliseconds(LinesServerConnection):
    def refuse(self, request: RequestReceived, error: ApplicationError, *arguments: Any, **options: Any) -> bytes:
        wrong = ApplicationError(error.message, error.code)
        return super().refuse(request, wrong.push_back(error.retry_after and error.retry_after * 1000))


class Verbose(LinesServerConnection):
    """The reason of a refusal is as long as it likes."""

    def refuse(self, request: RequestReceived, error: ApplicationError, *arguments: Any, **options: Any) -> bytes:
        text = error.message.encode("unicode_escape").decode().replace('"', "'").replace("\\", "/")
        return super().refuse(request, error).rsplit(b'"', 2)[0] + f'"{text}"\n'.encode()


class EveryError(LinesServerConnection):
    def respond_error(self, request: RequestReceived, *arguments: Any, **options: Any) -> bytes | None:
        return super().respond_error(request, *arguments, **options) or b"threw {}\n"


class Mute(LinesServerConnection):
    def pong(self, ping: PingReceived) -> bytes:
        return b""


class Loud(LinesServerConnection):
    def drain_notice(self) -> bytes:
        return b"bye soon\n"


class Impatient(LinesServerConnection):
    """Takes whatever arrives for whole lines."""

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        return super().receive_data(data if data.endswith(b"\n") else data + b"\n")


class Patient(LinesServerConnection):
    """Waits for the end of a line for ever."""

    def __init__(self, served: Served, limits: Limits) -> None:
        super().__init__(served, Limits())


class Careless(LinesServerConnection):
    def receive_eof(self) -> list[ServerEvent]:
        self.is_at_eof = True
        return []


class Fragile(LinesServerConnection):
    def receive_data(self, data: bytes) -> list[ServerEvent]:
        if b"\xff" in data:
            raise ValueError("this is no text")
        return super().receive_data(data)


class Undead(LinesServerConnection):
    def receive_data(self, data: bytes) -> list[ServerEvent]:
        found = super().receive_data(data)
        return found or ([PingReceived()] if self.is_broken else [])


class Strict(LinesServerConnection):
    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        try:
            return super().arguments(request)
        except RemoteProtocolError as error:
            self.is_broken = True
            raise error from None


class Blunt(LinesServerConnection):
    def arguments(self, request: RequestReceived) -> tuple[tuple[Any, ...], int]:
        try:
            return super().arguments(request)
        except RemoteProtocolError as error:
            raise ValueError(str(error)) from error


class Careful(LinesClientConnection):
    """Counts a request before its arguments are encoded."""

    wrong = 0

    @property
    def in_flight(self) -> int:
        return super().in_flight + self.wrong

    def request(self, *arguments: Any, **options: Any) -> tuple[int, bytes]:
        try:
            return super().request(*arguments, **options)
        except LocalProtocolError:
            self.wrong += 1
            raise


class Waiting(LinesClientConnection):
    """Waits for the responses to oneway requests."""

    def request(self, method: Any, *arguments: Any, **options: Any) -> tuple[int, bytes]:
        found = super().request(method, *arguments, **options)
        if method.is_oneway:
            self.ping()
        return found


class WrongIds(LinesClientConnection):
    def receive_data(self, data: bytes) -> list[ClientEvent]:
        found = super().receive_data(data)
        return [PongReceived(each.id + 1) if isinstance(each, PongReceived) else each for each in found]


class Unstoppable(LinesClientConnection):
    def cancel(self, id: int) -> bytes:
        return b""


class Restless(LinesClientConnection):
    @property
    def is_idle(self) -> bool:
        return self.in_flight == 0


class Silent(LinesClientConnection):
    def receive_eof(self) -> list[ClientEvent]:
        return []


class Raising(LinesClientConnection):
    def receive_data(self, data: bytes) -> list[ClientEvent]:
        found = super().receive_data(data)
        for each in found:
            if isinstance(each, ConnectionBroken):
                raise each.error
        return found


WRONG = [
    (Forgetful(), "an unknown option raises ConfigurationError"),
    (Deaf(), "sniff never says NO to the protocol's own clients"),
    (Hasty(), r"YES and NO of sniff hold for every longer prefix \(b'ask"),
    (Fickle(), r"YES and NO of sniff hold for every longer prefix \(b'GET"),
    (Made(OwnNames), "key of a request is in the server's method table"),
    (Made(TwoWay), "a oneway request is marked as one"),
    (Made(Chatty), "metadata of requests"),
    (Made(Sizeless), "the size of a request"),
    (Made(Empty), "None as the result of a method that has one raises ApplicationError"),
    (Made(Lenient), "a result that does not fit"),
    (Made(Uniform), "a refusal keeps its code"),
    (Made(Milliseconds), "push-back of 0.25 s is not 250.0 s"),
    (Made(Verbose), "a refusal arrives|one response is one event"),
    (Made(EveryError), "an exception that is not declared is not sent"),
    (Made(Mute), "the answer to a ping is PongReceived"),
    (Made(Loud), "a drain notice only where drain is among the capabilities"),
    (Made(Impatient), "a server's events do not depend on cuts"),
    (Made(Patient), "a request over the limits is refused before all of it has been read"),
    (Made(Careless), "the end of data within a request"),
    (Made(Fragile), "no bytes of a client make a server's end raise"),
    (Made(Undead), "a broken end has no further events"),
    (Made(Strict), "arguments that cannot be decoded does not break the server's end"),
    (Made(Blunt), "lines raised ValueError in the check of undecodable"),
    (Made(client=Careful), "nothing has started after LocalProtocolError"),
    (Made(client=Waiting), "a oneway request is not in flight"),
    (Made(client=WrongIds), "the answer to a ping is PongReceived with its id"),
    (Made(client=Unstoppable), "a cancelled ping is not in flight"),
    (Made(client=Restless), "a client's end is not idle within a response"),
    (Made(client=Silent), "the end of data within a response"),
    (Made(client=Raising), "no bytes of a server make a client's end raise|raised RemoteProtocolError"),
    (Made(capabilities=Capabilities(max_in_flight=2)), "raised LocalProtocolError in the check of many in flight"),
    (Made(capabilities=Capabilities(max_in_flight=1, metadata=True)), "metadata_advice is empty only if"),
    (Made(capabilities=Capabilities(max_in_flight=1, context=True)), "typed values of requests"),
    (Made(capabilities=Capabilities(max_in_flight=1, drain=True)), "responses announce a stop"),
]


@pytest.mark.parametrize(("wrong", "rule"), WRONG, ids=[rule for _, rule in WRONG])
def test_each_rule_is_missed(wrong: LinesProtocol, rule: str) -> None:
    with pytest.raises(AssertionError) as missed:
        check_protocol(wrong)
    assert re.search(rule, str(missed.value)), str(missed.value)
