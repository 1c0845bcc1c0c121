"""Blocking client on real sockets: threads, timeouts, lost connections."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from free_ports import free_port
from hand_written import (
    GET,
    SERVICE,
    AsyncUsers,
    NotFound,
    User,
    UserServiceClient,
    scripted_server,
    user_service,
)

from idlrt.client import client_stats
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.net.blocking import BlockingSocket
from idlrt.protocol.events import RequestReceived
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.requests import ThriftRequest
from idlrt.protocol.thrift.sniff import detector
from idlrt.server import Server


@pytest.fixture
def users() -> AsyncUsers:
    return AsyncUsers()


@pytest.fixture
def server(users: AsyncUsers) -> Iterator[Server]:
    with Server(user_service(users), grace_s=0.1) as made:
        yield made.start()


@pytest.fixture
def client(server: Server) -> Iterator[UserServiceClient]:
    with UserServiceClient.connect(server.address, timeout=60) as made:
        yield made


def answer(raw: socket.socket, count: int = 1, *, skip: int = 0) -> None:
    """Play a server that answers `count` calls, each with the user it asks for (`skip`: the first ones never)."""
    connection = ServerConnection(detector(), SERVICE.methods)
    while count:
        data = raw.recv(65536)
        if not data:
            return
        for event in connection.receive_data(data):
            assert isinstance(event, RequestReceived)
            count -= 1
            if skip:
                skip -= 1
            else:
                (number,), _ = connection.arguments(event)
                raw.sendall(connection.respond(event, User(id=number)))


def read_one(raw: socket.socket) -> None:
    """Play a server that reads a call and does not respond."""
    connection = ServerConnection(detector(), SERVICE.methods)
    while not connection.receive_data(raw.recv(65536)):
        pass


def until_closed(raw: socket.socket) -> None:
    while raw.recv(65536):
        pass


def opened(client: UserServiceClient) -> int:
    return client_stats(client).connections


@pytest.mark.parametrize("framing", ["framed", "unframed"])
def test_calls(server: Server, users: AsyncUsers, framing: str) -> None:
    with UserServiceClient.connect(server.address, framing=framing, timeout=60) as client:
        assert client.get(1) == User(id=1, name="user 1")
        assert client.join(["a", "b"]) == "a-b"
        assert client.join(words=["a", "b"], by="+") == "a+b"
        assert client.ping() is None  # type: ignore[func-returns-value]
        client.poke(5)
        assert users.was_poked.wait(60)
        assert opened(client) == 1


def test_errors_of_the_server(client: UserServiceClient) -> None:
    with pytest.raises(NotFound) as declared:
        client.get(-1)
    assert declared.value.id == -1
    with pytest.raises(ApplicationError, match="ValueError") as internal:
        client.get(0)
    assert internal.value.code is ApplicationCode.INTERNAL_ERROR
    with pytest.raises(ApplicationError) as missing:
        client.get(404)
    assert missing.value.code is ApplicationCode.MISSING_RESULT
    assert opened(client) == 1


def test_an_invalid_argument_is_rejected_by_the_client(client: UserServiceClient) -> None:
    client.ping()
    with pytest.raises(LocalProtocolError, match="id"):
        client.get("one")  # type: ignore[arg-type]
    client.ping()
    assert opened(client) == 1


def test_many_threads_share_a_client(client: UserServiceClient) -> None:
    def work(start: int) -> list[int]:
        return [client.get(number).id for number in range(start, start + 50)]

    with ThreadPoolExecutor(24) as threads:
        found = list(threads.map(work, range(1000, 3400, 100)))

    assert found == [list(range(start, start + 50)) for start in range(1000, 3400, 100)]
    assert 1 <= opened(client) <= 16


def test_threads_wait_for_a_free_connection(server: Server, users: AsyncUsers) -> None:
    with (
        UserServiceClient.connect(server.address, timeout=60, max_connections=1) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        first = thread.submit(client.wait, 1)
        assert users.entered.wait(60)
        with pytest.raises(Overloaded, match="the only connection is in use; raise max_connections"):
            client.using(timeout=0.01).ping()
        users.release(1)
        client.ping()
        assert first.result(60) == 1


def test_a_call_times_out(client: UserServiceClient, users: AsyncUsers, server: Server) -> None:
    client.ping()
    with pytest.raises(DeadlineExceeded, match=rf"UserService\.wait at {server.address} within 0\.05 s"):
        client.using(timeout=0.05).wait(1)
    # A late answer must not meet a later call: the connection is gone.
    assert opened(client) == 0
    users.release(1)
    assert client.get(7).id == 7


def test_a_call_to_a_server_that_trickles_times_out() -> None:
    def trickle(raw: socket.socket) -> None:
        answer(raw)
        read_one(raw)
        raw.sendall(struct.pack(">I", 10_000_000))
        while True:
            raw.sendall(b"\x80")  # fails when the client has closed the connection

    with scripted_server(trickle) as address, UserServiceClient.connect(address, timeout=60) as client:
        assert client.get(1).id == 1
        with pytest.raises(DeadlineExceeded):
            client.using(timeout=0.05).get(2)
        assert opened(client) == 0


def test_a_call_to_a_server_that_does_not_read_times_out() -> None:
    hold = threading.Event()

    def stop_reading(raw: socket.socket) -> None:
        answer(raw)
        hold.wait(60)

    with scripted_server(stop_reading) as address, UserServiceClient.connect(address, timeout=60) as client:
        assert client.get(1).id == 1
        with pytest.raises(DeadlineExceeded):
            client.using(timeout=0.05).join(["x" * 15_000_000])
        hold.set()


def test_a_refused_connection_is_reported() -> None:
    port = free_port()
    with (
        UserServiceClient.connect(f"127.0.0.1:{port}", timeout=60) as client,
        pytest.raises(ConnectFailed, match=rf"tcp://127\.0\.0\.1:{port} for UserService\.ping: connection refused; is"),
    ):
        client.ping()


def test_an_unknown_host_name_is_reported() -> None:
    with (
        UserServiceClient.connect("no-such-host.invalid:1", timeout=60) as client,
        pytest.raises(ConnectFailed, match="no-such-host"),
    ):
        client.ping()


def test_a_connection_lost_before_the_response() -> None:
    with (
        scripted_server(read_one, answer) as address,
        UserServiceClient.connect(address, timeout=60) as client,
    ):
        with pytest.raises(ConnectionLost, match=r"waiting for UserService\.get at tcp:.*it may have processed"):
            client.get(1)
        assert client.get(2).id == 2


def test_a_connection_that_ends_within_a_response() -> None:
    def half(raw: socket.socket) -> None:
        read_one(raw)
        raw.sendall(struct.pack(">I", 100) + b"\x80\x01")

    with (
        scripted_server(half) as address,
        UserServiceClient.connect(address, timeout=60) as client,
        pytest.raises(ConnectionLost),
    ):
        client.get(1)


def test_a_connection_that_the_server_closed_while_it_was_idle_is_replaced() -> None:
    closed = threading.Event()

    def once(raw: socket.socket) -> None:
        answer(raw)
        raw.close()
        closed.set()

    with scripted_server(once, once, once) as address, UserServiceClient.connect(address, timeout=60) as client:
        for number in range(1, 4):
            assert client.get(number).id == number
            assert closed.wait(60)
            closed.clear()


def test_a_connection_with_unsolicited_data_is_replaced() -> None:
    said = threading.Event()

    def chatty(raw: socket.socket) -> None:
        answer(raw)
        raw.sendall(b"surprise")
        said.set()
        until_closed(raw)

    with scripted_server(chatty, answer) as address, UserServiceClient.connect(address, timeout=60) as client:
        assert client.get(1).id == 1
        assert said.wait(60)
        assert client.get(2).id == 2


@pytest.mark.parametrize(
    "garbage",
    [b"\x7f" * 20, struct.pack(">I", 5) + b"\x80\x01\x00\x01\x00", b"\xff" * 20, b"\0" * 20],
)
def test_a_malformed_response(garbage: bytes) -> None:
    def talk(raw: socket.socket) -> None:
        read_one(raw)
        raw.sendall(garbage)
        until_closed(raw)

    with scripted_server(talk, answer) as address, UserServiceClient.connect(address, timeout=60) as client:
        with pytest.raises(RemoteProtocolError, match=r"cannot read the response of UserService\.get at tcp"):
            client.get(1)
        assert client.get(2).id == 2


def test_a_response_to_another_call_is_rejected() -> None:
    def other(raw: socket.socket) -> None:
        read_one(raw)
        connection = ServerConnection(detector(), SERVICE.methods)
        fake = ThriftRequest(77, "get", GET, dialect=dialect(), message=b"", start=0)
        raw.sendall(connection.respond(fake, User(id=1)))
        until_closed(raw)

    with (
        scripted_server(other) as address,
        UserServiceClient.connect(address, timeout=60) as client,
        pytest.raises(RemoteProtocolError, match="call 77"),
    ):
        client.get(1)


def test_a_closed_client_refuses_calls(server: Server) -> None:
    client = UserServiceClient.connect(server.address, timeout=60)
    client.ping()
    client.close()
    client.close()
    with pytest.raises(NotSent, match="closed"):
        client.ping()


def test_closing_lets_calls_in_flight_finish(server: Server, users: AsyncUsers) -> None:
    client = UserServiceClient.connect(server.address, timeout=60)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(client.wait, 1)
        assert users.entered.wait(60)
        client.close()
        users.release(1)
        assert call.result(60) == 1
    assert opened(client) == 0


def test_clients_reconnect_to_a_restarted_server(users: AsyncUsers) -> None:
    with Server(user_service(users)) as first:
        first.start()
        client = UserServiceClient.connect(first.address, timeout=60)
        client.ping()
    with Server(user_service(users), first.address) as second:
        second.start()
        client.ping()
    client.close()


def test_an_interrupted_call_does_not_leave_a_broken_connection(
    client: UserServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.ping()

    def interrupted(self: BlockingSocket, until: float) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlockingSocket, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.get(1)
    assert opened(client) == 0
    assert client.get(2).id == 2


@pytest.mark.skipif(not hasattr(os, "fork") or sys.version_info >= (3, 12), reason="a fork with threads warns")
def test_a_child_process_opens_separate_connections(client: UserServiceClient) -> None:
    client.ping()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(client.get(9).id).encode())
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 100) == b"9"
    os.close(reader)
    os.waitpid(child, 0)
    assert client.get(3).id == 3
    assert opened(client) == 1
