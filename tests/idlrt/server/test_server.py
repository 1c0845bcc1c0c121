"""The server on real sockets: its life, its dialects, slow peers, stopping."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import FOREVER
from eventually import TIMEOUT, eventually
from hand_written import (
    BLOB,
    GET,
    WAIT,
    AsyncUsers,
    User,
    Users,
    UserServiceClient,
    connect_raw,
    dialects,
    read_to_end,
    requests,
    user_service,
)

from idlrt.errors import ConfigurationError, ConnectFailed, ConnectionLost, NotSent
from idlrt.protocol.events import ResponseReceived
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.framing import Dialect
from idlrt.server import Server


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def server(users: Users) -> Iterator[Server]:
    with Server(user_service(users), grace_s=FOREVER) as made:
        yield made.start()
        users.gate.set()


class Raw:
    """A connection by hand, which may have many calls under way."""

    def __init__(self, server: Server, how: Dialect | None = None) -> None:
        self.socket = connect_raw(server.port)
        self.socket.settimeout(TIMEOUT)
        self.client = ClientConnection(how if how is not None else dialect())
        self.answers: list[Any] = []

    def call(self, method: Any, *arguments: Any) -> None:
        self.socket.sendall(self.client.request(method, arguments)[1])

    def read(self, count: int) -> list[Any]:
        while len(self.answers) < count:
            data = self.socket.recv(1 << 20)
            assert data, f"the server closed the connection after {len(self.answers)} answers"
            for event in self.client.receive_data(data):
                assert isinstance(event, ResponseReceived)
                self.answers.append(event.result())
        return self.answers

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


# Life.


def test_the_address_is_known_once_it_is_bound(users: Users) -> None:
    server = Server(user_service(users))
    with pytest.raises(ConfigurationError, match="no address yet"):
        server.address
    with server:
        assert server.port > 0
        assert server.address == f"tcp://127.0.0.1:{server.port}"


def test_a_server_that_never_ran_can_be_stopped(users: Users) -> None:
    server = Server(user_service(users))
    server.stop()
    server.stop()
    with pytest.raises(ConfigurationError, match="it has been stopped"):
        server.start()


def test_a_server_runs_once(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="it was started before"):
        server.serve()
    server.stop()
    with pytest.raises(ConfigurationError, match="it has been stopped"):
        server.start()


def test_stopping_twice_and_from_many_threads_is_harmless(server: Server) -> None:
    threads = [threading.Thread(target=server.stop) for _ in range(5)]
    for thread in threads:
        thread.start()
    server.stop()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_serve_returns_when_another_thread_stops_it(users: Users) -> None:
    with Server(user_service(users)) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        with UserServiceClient.connect(server.address) as client:
            client.ping()
        server.stop()
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_a_handler_may_stop_its_server() -> None:
    class Stopping(Users):
        server: Server

        def ping(self) -> None:
            self.server.stop()

    users = Stopping()
    with Server(user_service(users)) as server:
        users.server = server.start()
        with UserServiceClient.connect(server.address) as client:
            client.ping()
        assert server.wait(TIMEOUT)


def test_an_async_handler_may_stop_its_server() -> None:
    class Stopping(Users):
        server: Server

        async def get(self, id: int) -> User:
            self.server.stop()
            return User(id=id)

    users = Stopping()
    with Server(user_service(users)) as server:
        users.server = server.start()
        with UserServiceClient.connect(server.address) as client:
            assert client.get(1).id == 1
        assert server.wait(TIMEOUT)


def test_an_address_that_is_taken_is_named(server: Server, users: Users) -> None:
    said = rf"cannot listen on tcp://127\.0\.0\.1:{server.port}: Address already in use"
    with pytest.raises(ConfigurationError, match=said):
        Server(user_service(users), server.address).bind()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (Users(), "serve Users"),
        (Users, "serve Users"),
        (3, "serve int"),
        ([], "an empty list"),
        ([3], "serve int"),
    ],
)
def test_something_that_is_no_service_is_refused(what: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Server(what)


def test_ipv6(users: Users) -> None:
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
        probe.close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Server(user_service(users), "[::1]:0") as server:
        server.start()
        assert server.address.startswith("tcp://[::1]:")
        with UserServiceClient.connect(server.address) as client:
            assert client.get(1).id == 1


# Serving.


@pytest.mark.parametrize("name", dialects())
def test_all_dialects_on_one_port(server: Server, name: str) -> None:
    with Raw(server, dialects()[name]) as raw:
        raw.call(GET, 1)
        raw.call(GET, 2)
        assert raw.read(2) == [User(id=1, name="user 1"), User(id=2, name="user 2")]


def test_a_call_that_comes_byte_by_byte(server: Server) -> None:
    with Raw(server) as raw:
        for byte in raw.client.request(GET, (1,))[1]:
            raw.socket.sendall(bytes([byte]))
        assert raw.read(1) == [User(id=1, name="user 1")]


def test_thousands_of_calls_in_one_piece(server: Server) -> None:
    with Raw(server) as raw:
        raw.socket.sendall(b"".join(raw.client.request(GET, (number,))[1] for number in range(1001, 6001)))
        assert [user.id for user in raw.read(5000)] == list(range(1001, 6001))


def test_many_connections(server: Server) -> None:
    raws = [Raw(server) for _ in range(200)]
    for raw in raws:
        raw.call(GET, 5)
    for raw in raws:
        assert raw.read(1) == [User(id=5, name="user 5")]
        raw.socket.close()


def test_large_messages_in_both_directions(server: Server) -> None:
    with UserServiceClient.connect(server.address, timeout=TIMEOUT) as client:
        assert client.blob(8_000_000) == b"x" * 8_000_000
        assert client.join(["x" * 8_000_000]) == "x" * 8_000_000


def test_handlers_see_the_context_in_which_the_server_was_started() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("set before")

    class Seeing(AsyncUsers):
        def join(self, words: list[str], by: str) -> str:
            return variable.get("nothing")

        async def get(self, id: int) -> User:
            return User(id=id, name=variable.get("nothing"))

    with Server(user_service(Seeing())) as server:
        server.start()
        with UserServiceClient.connect(server.address) as client:
            assert client.join([]) == "set before"
            assert client.get(1).name == "set before"


# Peers that are slow or gone.


def test_a_peer_that_does_not_read_blocks_no_other_and_its_buffer_is_bounded(users: Users) -> None:
    with Server(user_service(users), high_water=100_000) as server:
        server.start()
        with Raw(server) as slow, UserServiceClient.connect(server.address) as other:
            slow.socket.setblocking(False)
            calls = b"".join(slow.client.request(BLOB, (50_000,))[1] for _ in range(600))
            sent = 0
            try:
                while sent < len(calls):
                    sent += slow.socket.send(calls[sent:])
            except BlockingIOError:
                pass
            for _ in range(20):
                other.ping()
            assert 0 < server.unsent_bytes < 100_000 + 200_000

            # When it reads after all it gets everything that it asked for.
            slow.socket.settimeout(TIMEOUT)
            whole = sent // (len(calls) // 600)
            assert [len(blob) for blob in slow.read(whole)] == [50_000] * whole


def test_a_peer_that_vanishes_with_answers_under_way(server: Server, users: Users) -> None:
    for _ in range(20):
        raw = connect_raw(server.port)
        raw.sendall(requests(*[(BLOB, (100_000,))] * 20))
        # Closing with unread data resets the connection.
        raw.close()
    with UserServiceClient.connect(server.address) as client:
        client.ping()


def test_running_out_of_descriptors_is_survived(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = threading.Event()
    accept = socket.socket.accept

    def failing(listening: socket.socket) -> Any:
        if not refused.is_set():
            refused.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with UserServiceClient.connect(server.address) as client:
        client.ping()
    assert refused.is_set()
    assert "cannot accept" in caplog.text


def test_a_client_that_half_closes_still_gets_its_answers(server: Server) -> None:
    with connect_raw(server.port) as raw:
        raw.sendall(requests((GET, (1,)), (GET, (2,))))
        raw.shutdown(socket.SHUT_WR)
        answers = read_to_end(raw)
    assert answers.count(b"user ") == 2


# Stopping.


def test_stopping_refuses_new_connections(server: Server) -> None:
    server.stop()
    with UserServiceClient.connect(server.address) as client, pytest.raises(ConnectFailed):
        client.ping()


def test_stopping_answers_what_has_arrived(server: Server, users: Users) -> None:
    first, second, unaccepted = Raw(server), Raw(server), None
    first.call(WAIT, 1)
    assert users.entered.wait(TIMEOUT)
    # The loop is busy: these lie in the kernel, one of them on a connection not even accepted yet.
    first.call(GET, 2)
    second.call(GET, 3)
    unaccepted = Raw(server)
    unaccepted.call(GET, 4)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    users.gate.set()

    assert first.read(2) == [1, User(id=2, name="user 2")]
    assert second.read(1) == [User(id=3, name="user 3")]
    assert unaccepted.read(1) == [User(id=4, name="user 4")]
    stopping.join(TIMEOUT)
    assert not stopping.is_alive()
    for raw in (first, second, unaccepted):
        assert raw.socket.recv(1) == b""
        raw.socket.close()


def test_stopping_flushes_answers_to_slow_readers(users: Users) -> None:
    with Server(user_service(users)) as server:
        server.start()
        with Raw(server) as raw:
            raw.call(BLOB, 12_000_000)
            raw.socket.recv(1, socket.MSG_PEEK)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            assert raw.read(1) == [b"x" * 12_000_000]
            stopping.join(TIMEOUT)
            assert not stopping.is_alive()


@pytest.mark.parametrize("_", range(5))
def test_stopping_under_load_answers_every_call_that_a_handler_saw(_: int) -> None:
    served: set[int] = set()
    answered: set[int] = set()
    under_load = threading.Event()
    numbers = itertools.count(1000)

    class Noting(Users):
        def get(self, id: int) -> User:
            served.add(id)
            return User(id=id)

    def work(address: str) -> None:
        with UserServiceClient.connect(address) as client, contextlib.suppress(NotSent, ConnectionLost):
            while True:
                answered.add(client.get(next(numbers)).id)
                if len(answered) > 300:
                    under_load.set()

    with Server(user_service(Noting())) as server:
        server.start()
        threads = [threading.Thread(target=work, args=(server.address,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert under_load.wait(TIMEOUT)
        server.stop()
        for thread in threads:
            thread.join(TIMEOUT)
    assert served == answered


def test_stopping_waits_for_async_handlers() -> None:
    users = AsyncUsers()
    with Server(user_service(users)) as server:
        server.start()
        with Raw(server) as raw:
            raw.call(WAIT, 7)
            assert users.entered.wait(TIMEOUT)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            users.release(7)
            assert raw.read(1) == [7]
            stopping.join(TIMEOUT)
            assert not stopping.is_alive()
    assert users.cancelled == []


def test_after_the_grace_time_async_handlers_are_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    users = AsyncUsers()
    with Server(user_service(users)) as server:
        server.start()
        with Raw(server) as raw:
            raw.call(WAIT, 7)
            assert users.entered.wait(TIMEOUT)
            server.stop(grace_s=0.01)
            assert read_to_end(raw.socket) == b""
    eventually(lambda: users.cancelled == [7])
    assert "grace" in caplog.text


def test_a_handler_that_was_started_before_the_grace_time_is_over_loses_nothing_else(server: Server) -> None:
    # A connection that never finishes its message does not keep the server for longer than the grace time.
    with Raw(server) as raw, Raw(server) as other:
        raw.socket.sendall(raw.client.request(GET, (1,))[1][:-1])
        other.call(GET, 2)
        other.read(1)
        server.stop(grace_s=0.05)
        assert read_to_end(raw.socket) == b""


def test_async_answers_keep_the_order_of_calls_and_overlap() -> None:
    users = AsyncUsers()
    with Server(user_service(users)) as server:
        server.start()
        with Raw(server) as raw:
            for number in range(10):
                raw.call(WAIT, number)
            for _ in range(10):
                assert users.all_entered.acquire(timeout=TIMEOUT)
            for number in reversed(range(10)):
                users.release(number)
            assert raw.read(10) == list(range(10))


SCRIPT = """
import signal, sys
from hand_written import Users, user_service
from idlrt.server import Server
class Loud(Users):
    def wait(self, id):
        print("waiting", flush=True)
        return super().wait(id)
users = Loud()
before = signal.getsignal(signal.SIGINT)
with Server(user_service(users)) as server:
    print(server.port, flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: users.gate.set())
    server.serve()
assert signal.getsignal(signal.SIGINT) is before
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_server_on_the_main_thread(number: signal.Signals) -> None:
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root / "runtime"), str(root / "tests/harness")])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None
    with process:
        port = int(process.stdout.readline())
        with connect_raw(port) as raw:
            raw.sendall(requests((GET, (1,))))
            assert raw.recv(1000)
            process.send_signal(number)
            assert raw.recv(1000) == b""
        assert process.stdout.readline() == "stopped\n"
    assert process.returncode == 0
