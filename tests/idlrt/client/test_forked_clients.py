"""Blocking clients in a process that forks while its threads use them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest
from hand_written import SERVICE, User, Users, UserServiceClient, user_service

from idlrt.client.blocking import PooledTransport
from idlrt.client.connector import Connector
from idlrt.client.peer_state import PeerState
from idlrt.client.shared import SharedTransport
from idlrt.client.transport import BlockingClientTransport
from idlrt.errors import NotSent
from idlrt.protocol.events import RequestReceived
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.plugin import ThriftClient
from idlrt.protocol.thrift.sniff import detector
from idlrt.server import Server


def forked(work: Callable[[], object]) -> int:
    """Do something in a child; its exit status, or the signal that ended it when it took too long."""
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Slow:
    """A `BlockingTransport` whose server answers at once, and that takes its time to close."""

    def __init__(self) -> None:
        self.is_closing, self.may_close = threading.Event(), threading.Event()
        self._connection = ServerConnection(detector(), SERVICE.methods)
        self._answers = b""

    def send(self, data: bytes, until: float) -> None:
        for event in self._connection.receive_data(data):
            assert isinstance(event, RequestReceived)
            self._answers += self._connection.respond(event, User(id=1))

    def receive(self, until: float) -> bytes:
        data, self._answers = self._answers, b""
        return data

    def wait_readable(self, until: float) -> bool:
        return True

    def is_quiet(self) -> bool:
        return True

    def close(self) -> None:
        self.is_closing.set()
        self.may_close.wait(60)


@pytest.mark.parametrize("calls", [1, 8])
def test_a_lock_that_a_thread_of_the_parent_holds_is_free_in_the_child(calls: int) -> None:
    """The thread closes connections, with the lock of the pool, while the process forks."""
    transport = Slow()
    connector = Connector(
        open=lambda seconds: transport, peer=PeerState(ThriftClient(dialect("framed"))), connect_timeout=60
    )
    pool: BlockingClientTransport = PooledTransport(connector, max_connections=1)
    if calls > 1:
        pool = SharedTransport(connector, max_connections=1, calls_per_connection=calls)
    client = UserServiceClient(pool, target="slow", options={})
    assert client.get(1).id == 1
    thread = threading.Thread(target=client.close)
    thread.start()
    assert transport.is_closing.wait(60)

    def call() -> None:
        with pytest.raises(NotSent, match="the client is closed"):
            client.get(2)

    try:
        assert forked(pool.close) == 0
        assert forked(call) == 0
    finally:
        transport.may_close.set()
        thread.join()


@pytest.mark.parametrize("calls", [1, 8])
def test_a_child_opens_separate_connections(calls: int) -> None:
    with (
        Server(user_service(Users())) as server,
        UserServiceClient.connect(server.address, framing="header", calls_per_connection=calls, timeout=60) as client,
    ):
        server.start()
        client.get(1)

        def call() -> None:
            assert client.get(2).id == 2
            client.close()

        assert forked(call) == 0
        assert client.get(3).id == 3
