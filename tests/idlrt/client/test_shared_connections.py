"""Threads that share connections (`calls_per_connection`): numbers, order, time, lost connections, forks."""

from __future__ import annotations

import operator
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eventually import eventually
from hand_written import SERVICE, AsyncUsers, NotFound, User, Users, UserServiceClient, scripted_server, user_service

from idlrt.client import client_stats
from idlrt.client.shared_link import Waiter
from idlrt.errors import ConfigurationError, ConnectionLost, DeadlineExceeded, NotSent, Overloaded
from idlrt.net.blocking import BlockingSocket
from idlrt.protocol.events import RequestReceived
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.sniff import detector
from idlrt.server import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def users() -> AsyncUsers:
    return AsyncUsers()


@pytest.fixture
def server(users: AsyncUsers) -> Iterator[Server]:
    with Server(user_service(users), drain_s=0.01, grace_s=0.2) as made:
        yield made.start()


@pytest.fixture(params=["framed", "header"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[UserServiceClient]:
    with connect(server.address, framing=request.param) as made:
        yield made


def connect(address: str, **options: Any) -> UserServiceClient:
    return UserServiceClient.connect(
        address, **{"max_connections": 1, "calls_per_connection": 64, "timeout": 60, **options}
    )


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """Return the results or errors of `work`, run by several threads at once."""
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        try:
            results[index] = work(index)
        except Exception as error:  # noqa: BLE001  # a result too
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_many_threads_get_their_own_answers(client: UserServiceClient, server: Server) -> None:
    def work(index: int) -> list[int]:
        return [client.get(1000 * (index + 1) + number).id for number in range(50)]

    found = in_threads(work, 32)
    assert found == [[1000 * (index + 1) + number for number in range(50)] for index in range(32)]
    assert server.connections == 1


def test_errors_reach_the_right_caller(client: UserServiceClient) -> None:
    found = in_threads(lambda index: client.get(index - 5), 10)
    assert [type(each) for each in found[:5]] == [NotFound] * 5
    assert [each.id for each in found[6:]] == [1, 2, 3, 4]


def test_one_call_alone(client: UserServiceClient) -> None:
    assert client.get(1) == User(id=1, name="user 1")
    client.poke(3)
    assert client.blob(3_000_000) == b"x" * 3_000_000
    assert client.join(["y" * 3_000_000], "") == "y" * 3_000_000


def test_large_calls_and_answers_at_once_do_not_lock(client: UserServiceClient) -> None:
    # Each side writes more than the kernels keep: a writer must not keep others from reading.
    found = in_threads(lambda index: len(client.join(["z" * 1_000_000, str(index)], "")), 12)
    assert [each // 1_000_000 for each in found] == [1] * 12


def test_a_fast_answer_overtakes_a_slow_one(server: Server, users: AsyncUsers) -> None:
    with connect(server.address, framing="header") as client:
        slow: list[int] = []
        thread = threading.Thread(target=lambda: slow.append(client.wait(7)))
        thread.start()
        assert users.all_entered.acquire(timeout=60)
        # The waiting thread reads for this one.
        assert client.get(1).id == 1
        assert in_threads(lambda index: client.get(index + 1).id, 8) == list(range(1, 9))
        users.release(7)
        thread.join(60)
        assert slow == [7]
        assert server.connections == 1


def test_a_call_that_times_out_hands_reading_to_other_calls(server: Server, users: AsyncUsers) -> None:
    with connect(server.address, framing="header") as client:
        assert client.get(1).id == 1  # so that there is a connection
        gave_up: list[BaseException] = []

        def impatient() -> None:
            try:
                client.using(timeout=0.2).wait(1)
            except DeadlineExceeded as error:
                gave_up.append(error)

        first = threading.Thread(target=impatient)
        first.start()
        eventually(lambda: gave_up or client_stats(client).in_flight == 1)
        patient: list[int] = []
        second = threading.Thread(target=lambda: patient.append(client.wait(2)))
        second.start()
        first.join(60)
        assert len(gave_up) == 1
        users.release(1)  # a response that no call waits for
        users.release(2)
        second.join(60)
        assert patient == [2]
        assert client.get(1).id == 1


def test_an_interrupted_reader_leaves_the_reading_to_others(
    server: Server, users: AsyncUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    with connect(server.address, framing="header") as client:
        assert client.get(1).id == 1  # so that there is a connection
        other = threading.Thread(target=lambda: found.append(client.wait(2)))

        def interrupted(self: BlockingSocket, until: float) -> bool:
            other.start()
            for _ in range(2):
                assert users.all_entered.acquire(timeout=60)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(BlockingSocket, "wait_readable", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.wait(1)
        users.release(1)
        users.release(2)
        other.join(60)
        assert found == [2]
        assert client.get(3).id == 3


def test_a_reader_that_is_interrupted_with_the_response_to_another_call_loses_none(
    server: Server, users: AsyncUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    with connect(server.address, framing="header") as client:
        assert client.get(1).id == 1  # so that there is a connection
        other = threading.Thread(target=lambda: found.append(client.wait(2)))
        wait_readable = BlockingSocket.wait_readable

        def other_first(self: BlockingSocket, until: float) -> bool:
            other.start()
            for _ in range(2):
                assert users.all_entered.acquire(timeout=60)
            users.release(2)
            return wait_readable(self, until)

        def interrupted(self: Waiter) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(BlockingSocket, "wait_readable", other_first)
            patch.setattr(Waiter, "wake", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.wait(1)
        other.join(60)
        assert found == [2]
        users.release(1)
        assert client.get(3).id == 3


def test_a_connection_whose_call_was_interrupted_takes_no_further_calls(
    client: UserServiceClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get(1).id == 1
    send = BlockingSocket.send

    def half(self: BlockingSocket, data: bytes, until: float) -> None:
        send(self, data[:10], until)
        raise KeyboardInterrupt

    for number in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(BlockingSocket, "send", half)
            with pytest.raises(KeyboardInterrupt):
                client.get(1)
        assert client.get(number + 2).id == number + 2
        assert client_stats(client).connections == 1


def test_a_connection_that_hangs_gets_no_further_calls(server: Server, users: AsyncUsers) -> None:
    with connect(server.address, framing="framed", max_connections=2) as client:
        assert client.get(1).id == 1  # so that there is a connection
        with pytest.raises(DeadlineExceeded):
            client.using(timeout=0.1).wait(1)
        assert client.get(2).id == 2
        users.release(1)


def test_room_is_bounded(server: Server, users: AsyncUsers) -> None:
    with connect(server.address, framing="header", calls_per_connection=2, max_connections=2) as client:
        threads = [threading.Thread(target=client.wait, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert users.all_entered.acquire(timeout=60)
        assert server.connections == 2
        with pytest.raises(Overloaded, match="all 2 connections are in use"):
            client.using(timeout=0.1).get(1)
        for number in range(4):
            users.release(number)
        for thread in threads:
            thread.join(60)
        assert client.get(1).id == 1


def read_calls(raw: socket.socket, count: int) -> tuple[ServerConnection, list[RequestReceived]]:
    """Play a server that reads `count` calls."""
    connection = ServerConnection(detector(), SERVICE.methods)
    found: list[RequestReceived] = []
    while len(found) < count:
        data = raw.recv(65536)
        assert data
        found += [event for event in connection.receive_data(data) if isinstance(event, RequestReceived)]
    return connection, found


def test_a_lost_connection_fails_all_that_is_on_it() -> None:
    def read_and_go(raw: socket.socket) -> None:
        read_calls(raw, 5)

    with scripted_server(read_and_go) as address, connect(address) as client:
        found = in_threads(lambda index: client.get(index + 1), 5)
        assert [type(each) for each in found] == [ConnectionLost] * 5


def test_a_server_that_closed_an_idle_connection_is_called_over_another() -> None:
    closed = threading.Event()

    def answer_and_go(raw: socket.socket) -> None:
        connection, (call,) = read_calls(raw, 1)
        raw.sendall(connection.respond(call, User(id=connection.arguments(call)[0][0])))
        raw.close()
        closed.set()

    with scripted_server(*[answer_and_go] * 3) as address, connect(address) as client:
        for number in range(1, 4):
            assert client.get(number).id == number
            assert closed.wait(60)
            closed.clear()


def test_a_stop_while_many_call_loses_no_call() -> None:
    with Server(user_service(Users()), reuse_port=True, grace_s=60) as first:
        first.start()
        with connect(first.address, framing="header", max_connections=4) as client:
            counts = [0] * 6
            is_over = threading.Event()

            def work(index: int) -> None:
                while not is_over.is_set():
                    assert client.get(index + 1).id == index + 1
                    counts[index] += 1

            def all_call_again() -> None:
                """Wait until each thread has made some more calls, or one has failed."""
                goals = [count + 20 for count in counts]
                eventually(lambda: found or all(map(operator.ge, counts, goals)), "all have called again")

            found: list[Any] = []
            calling = threading.Thread(target=lambda: found.extend(in_threads(work, 6)))
            calling.start()
            try:
                all_call_again()
                with Server(user_service(Users()), first.address, reuse_port=True) as second:
                    second.start()
                    first.stop()
                    all_call_again()
                    is_over.set()
                    calling.join()
            finally:
                is_over.set()
            assert found == [None] * 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_after_a_fork(client: UserServiceClient) -> None:
    assert client.get(1).id == 1
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if client.get(2).id == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.get(3).id == 3


def test_a_closed_client_says_so(client: UserServiceClient) -> None:
    assert client.get(1).id == 1
    client.close()
    with pytest.raises(NotSent, match="is closed"):
        client.get(1)


def test_a_setting_that_makes_no_sense() -> None:
    with pytest.raises(ConfigurationError, match="calls_per_connection must be at least 1"):
        UserServiceClient.connect("127.0.0.1:1", calls_per_connection=0)
