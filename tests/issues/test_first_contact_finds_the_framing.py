"""`framing="auto"`: what a server reads is found out without effect, once an instance, and calls are made once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from command_line import run_idlrt
from eventually import TIMEOUT, eventually
from free_ports import free_port
from hand_written import (
    GET,
    AsyncUserServiceClient,
    User,
    Users,
    UserServiceClient,
    read_to_end,
    scripted_server,
    user_service,
)

from idlrt import Server
from idlrt.core import Instance
from idlrt.errors import ApplicationCode, ApplicationError, ConnectFailed, ConnectionLost, RpcError
from idlrt.protocol.events import ConnectionBroken
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.requests import ThriftRequest
from idlrt.protocol.thrift.sniff import detector
from idlrt.registry import Registry

_numbers = itertools.count()


class OneFraming:
    """A server that reads one framing, and closes on others, or keeps silent.

    Attributes:
        heard: the framing of each connection, in the order in which they spoke.
        served: ids that were asked for.
    """

    def __init__(self, framing: str, *, is_silent: bool = False) -> None:
        self.framing = framing
        self.heard: list[str] = []
        self.served: list[int] = []
        self._is_silent = is_silent
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, contextlib.suppress(OSError):
            accepted.settimeout(TIMEOUT)
            connection = ServerConnection(detector(), {"get": GET})
            while data := accepted.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, ConnectionBroken):
                        return
                    assert isinstance(event, ThriftRequest)
                    self.heard.append(event.dialect.framing.name)
                    if not self.heard[-1].startswith(self.framing):
                        if self._is_silent:
                            read_to_end(accepted)
                        return
                    if event.method is None:
                        accepted.sendall(
                            connection.refuse(event, ApplicationError("unknown method", ApplicationCode.UNKNOWN_METHOD))
                        )
                    else:
                        (id,), _ = connection.arguments(event)
                        self.served.append(id)
                        accepted.sendall(connection.respond(event, User(id=id)))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT)


class Calls:
    """A client of any kind."""

    def __init__(self, kind: str, target: str, **options: Any) -> None:
        self.runner = asyncio.Runner() if kind == "asyncio" else None
        if kind == "shared":
            options = {"calls_per_connection": 4, **options}
        of = AsyncUserServiceClient if self.runner else UserServiceClient
        self.client: Any = of.connect(target, **{"framing": "auto", "timeout": TIMEOUT, "ping_timeout": 30, **options})

    def get(self, *ids: int) -> list[int]:
        """Ask for users, all at once."""
        if self.runner is not None:

            async def gather() -> list[User]:
                return await asyncio.gather(*(self.client.get(id) for id in ids))

            return [user.id for user in self.runner.run(gather())]
        found: dict[int, int] = {}

        def call(id: int) -> None:
            found[id] = self.client.get(id).id

        threads = [threading.Thread(target=call, args=(id,)) for id in ids[1:]]
        for thread in threads:
            thread.start()
        call(ids[0])
        for thread in threads:
            thread.join(TIMEOUT)
        return [found[id] for id in ids]

    def fails(self) -> RpcError:
        with pytest.raises(RpcError) as caught:
            self.get(1)
        return caught.value

    def close(self) -> None:
        if self.runner is None:
            self.client.close()
        else:
            self.runner.run(self.client.close())
            self.runner.close()


@pytest.fixture
def servers() -> Iterator[Callable[..., OneFraming]]:
    made: list[OneFraming] = []

    def serve(framing: str, **options: Any) -> OneFraming:
        made.append(OneFraming(framing, **options))
        return made[-1]

    yield serve
    for each in made:
        each.close()


@pytest.fixture(params=["pooled", "shared", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Calls]]:
    made: list[Calls] = []

    def connect(target: str, **options: Any) -> Calls:
        made.append(Calls(request.param, target, **options))
        return made[-1]

    yield connect
    for each in made:
        each.close()


Serve = Callable[..., OneFraming]
Connect = Callable[..., Calls]
ORDER = {"framed": ["framed"], "unframed": ["framed", "unframed"], "header": ["framed", "unframed", "header"]}


@pytest.mark.parametrize("framing", ORDER)
def test_framings_are_tried_in_turn_and_calls_are_made_once(servers: Serve, connect: Connect, framing: str) -> None:
    server = servers(framing)
    calls = connect(f"tcp://127.0.0.1:{server.port}")
    assert calls.get(1) == [1]
    assert calls.get(2) == [2]
    assert server.served == [1, 2]
    assert server.heard == [*ORDER[framing], framing, framing], "probes, then calls"


@pytest.mark.parametrize("count", [1, 3])
def test_many_first_calls_wait_for_one_probe(servers: Serve, connect: Connect, count: int) -> None:
    server = servers("unframed")
    calls = connect(f"127.0.0.1:{server.port}", max_connections=count, calls_per_connection=1)
    assert calls.get(*range(1, 9)) == list(range(1, 9))
    assert sorted(server.served) == list(range(1, 9))
    assert server.heard.count("framed") == 1
    assert server.heard.count("unframed") == 1 + 8


def test_a_server_that_keeps_silent_costs_the_time_of_a_probe(servers: Serve, connect: Connect) -> None:
    server = servers("unframed", is_silent=True)
    calls = connect(f"127.0.0.1:{server.port}", ping_timeout=0.2)
    assert calls.get(1) == [1]
    assert calls.get(2) == [2]
    assert server.heard == ["framed", "unframed", "unframed", "unframed"]


def test_a_server_that_answers_no_framing_is_reported_and_probed_again(servers: Serve, connect: Connect) -> None:
    server = servers("nothing that there is")
    calls = connect(f"127.0.0.1:{server.port}")
    error = calls.fails()
    assert isinstance(error, ConnectFailed)
    text = str(error)
    assert f"cannot detect the protocol of tcp://127.0.0.1:{server.port} for UserService.get" in text
    for framing in ORDER:
        assert f"{framing} binary: the server closed the connection" in text
    assert server.served == []
    server.framing = "framed"
    assert calls.get(7) == [7]


def test_another_protocol_is_named_at_once(connect: Connect) -> None:
    def talk(raw: socket.socket) -> None:
        raw.recv(65536)
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        read_to_end(raw)

    with scripted_server(talk) as address:
        error = connect(address).fails()
    assert isinstance(error, ConnectFailed)
    assert "the server speaks HTTP (its response starts with 'HTTP/1.1 400')" in str(error)


def test_a_refused_connection_is_reported_as_such(connect: Connect) -> None:
    port = free_port()
    error = connect(f"127.0.0.1:{port}").fails()
    assert isinstance(error, ConnectFailed)
    assert "connection refused; is the server running?" in str(error)


def test_it_is_found_out_again_when_a_fresh_connection_is_closed(servers: Serve, connect: Connect) -> None:
    """As when another program listens there now."""
    server = servers("unframed")
    calls = connect(f"127.0.0.1:{server.port}", max_connections=1)
    assert calls.get(1) == [1]
    server.framing = "framed"
    assert isinstance(calls.fails(), ConnectionLost)
    eventually(lambda: succeeds(calls), "it is found out")
    assert server.served.count(1) == 1


def succeeds(calls: Calls) -> bool:
    with contextlib.suppress(ConnectionLost):
        return calls.get(2) == [2]
    return False


def test_each_server_of_several_has_its_own(servers: Serve, connect: Connect) -> None:
    made = [servers("unframed"), servers("framed")]
    target = "tcp://" + ",".join(f"127.0.0.1:{each.port}" for each in made) + "?balancer=round_robin"
    calls = connect(target)
    for id in range(1, 7):
        assert calls.get(id) == [id]
    assert sorted(made[0].served + made[1].served) == [1, 2, 3, 4, 5, 6]
    assert made[0].served
    assert made[1].served
    assert made[0].heard.count("framed") == 1, "pings do not try it once more"


def test_what_an_instance_says_is_tried_first(connect: Connect) -> None:
    name = f"memory://first-contact-{next(_numbers)}"
    with Server(user_service(Users())) as server, Registry.connect(name) as registry:
        server.start()
        registry.register(Instance(service="UserService", host="127.0.0.1", port=server.port)).wait()
        calls = connect(name)
        assert calls.get(1) == [1]
        # Only a header carries it.
        calls.client = calls.client.using(metadata={"tenant": "7"})
        assert calls.get(2) == [2]


IDL = """
struct User { 1: required i64 id }
service UserService { User get(1: required i64 id) }
"""


def test_on_the_command_line(servers: Serve, tmp_path: Any) -> None:
    server = servers("unframed")
    idl = tmp_path / "users.thrift"
    idl.write_text(IDL)
    url = f"tcp://127.0.0.1:{server.port}"
    done = run_idlrt(["call", url, "UserService.get", "[7]", "--idl", str(idl), "--framing", "auto", "--timeout", "60"])
    assert '"id": 7' in done.stdout
    assert server.served == [7]
    done = run_idlrt(["ping", url, "--count", "1", "--framing", "auto", "--timeout", "60"])
    assert "1 reply" in done.stdout
