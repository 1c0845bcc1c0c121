"""Asyncio client on real sockets: multiplexing, cancellation, timeouts, lost connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from eventually import eventually_async
from free_ports import free_port
from hand_written import (
    GET,
    SERVICE,
    AsyncUsers,
    AsyncUserServiceClient,
    NotFound,
    User,
    scripted_server,
    user_service,
)
from virtual_loop import VirtualDriver, run_virtual

from idlrt.client import client_stats
from idlrt.client.aio import Lost, MultiplexedTransport, Received
from idlrt.client.peer_state import PeerState
from idlrt.core import Call, Deadline
from idlrt.errors import (
    ApplicationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    NotSent,
    RemoteProtocolError,
)
from idlrt.protocol.events import RequestReceived
from idlrt.protocol.thrift.connection import ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.plugin import ThriftClient
from idlrt.protocol.thrift.sniff import detector
from idlrt.server import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def users() -> AsyncUsers:
    return AsyncUsers()


@pytest.fixture
def server(users: AsyncUsers) -> Iterator[Server]:
    with Server(user_service(users), grace_s=0.1) as made:
        yield made.start()


def run(target: str, work: Callable[[AsyncUserServiceClient], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(target, **{"timeout": 60, **settings}) as client:
            await work(client)

    asyncio.run(main())


def calls_of(raw: socket.socket, count: int) -> tuple[ServerConnection, list[RequestReceived]]:
    """Play a server that reads `count` calls."""
    connection = ServerConnection(detector(), SERVICE.methods)
    found: list[RequestReceived] = []
    while len(found) < count:
        data = raw.recv(65536)
        if not data:
            break
        found += [event for event in connection.receive_data(data) if isinstance(event, RequestReceived)]
    return connection, found


def until_closed(raw: socket.socket) -> None:
    while raw.recv(65536):
        pass


async def entered(users: AsyncUsers, count: int = 1) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(users.all_entered.acquire, timeout=60)


@pytest.mark.parametrize("framing", ["framed", "unframed"])
def test_calls(server: Server, users: AsyncUsers, framing: str) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        assert await client.get(1) == User(id=1, name="user 1")
        assert await client.join(["a", "b"]) == "a-b"
        await client.ping()
        await client.poke(5)
        assert await asyncio.to_thread(users.was_poked.wait, 60)
        with pytest.raises(NotFound):
            await client.get(-1)
        with pytest.raises(ApplicationError):
            await client.get(0)

    run(server.address, work, framing=framing)


def test_many_calls_share_one_connection(server: Server) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        found = await asyncio.gather(*[client.get(number) for number in range(1000, 1500)])
        assert [user.id for user in found] == list(range(1000, 1500))
        assert client_stats(client).connections == server.connections == 1

    run(server.address, work)


def test_responses_in_another_order_are_matched_to_calls() -> None:
    def backwards(raw: socket.socket) -> None:
        connection, calls = calls_of(raw, 5)
        for call in reversed(calls):
            (number,), _ = connection.arguments(call)
            raw.sendall(connection.respond(call, User(id=number)))
        until_closed(raw)

    async def work(client: AsyncUserServiceClient) -> None:
        found = await asyncio.gather(*[client.get(number) for number in range(5)])
        assert [user.id for user in found] == list(range(5))

    with scripted_server(backwards) as address:
        run(address, work)


def test_a_cancelled_call_does_not_affect_others(server: Server, users: AsyncUsers) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        gone, stays = asyncio.ensure_future(client.wait(1)), asyncio.ensure_future(client.wait(2))
        await entered(users, 2)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        users.release(1)
        users.release(2)
        assert await stays == 2
        assert (await client.get(3)).id == 3
        await eventually_async(lambda: server.connections == 1)

    run(server.address, work)


def test_a_call_that_times_out_does_not_affect_others(server: Server, users: AsyncUsers) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        stays = asyncio.ensure_future(client.wait(2))
        await entered(users)
        with pytest.raises(DeadlineExceeded, match=rf"UserService\.wait at {server.address} within 0\.05 s"):
            await client.using(timeout=0.05).wait(1)
        users.release(1)
        users.release(2)
        assert await stays == 2
        assert (await client.get(3)).id == 3
        await eventually_async(lambda: server.connections == 1)

    run(server.address, work)


def test_a_call_that_hangs_does_not_block_later_ones(server: Server, users: AsyncUsers) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        patient = asyncio.ensure_future(client.wait(1))
        await entered(users)
        for number in range(3, 6):
            with pytest.raises(DeadlineExceeded):
                await client.using(timeout=0.02).wait(2)
            assert (await client.get(number)).id == number
        users.release(1)
        assert await patient == 1
        assert (await client.get(6)).id == 6

    run(server.address, work)


# In virtual time, with a server that the test plays.


class Played:
    """An `AsyncTransport` whose server is the test.

    Attributes:
        calls: that have been sent and not been taken.
    """

    def __init__(self, received: Received, lost: Lost) -> None:
        self.calls: list[RequestReceived] = []
        self.is_blocked = self.is_closing = False
        self._received, self._lost = received, lost
        self._connection = ServerConnection(detector(), SERVICE.methods)

    def write(self, data: bytes) -> None:
        self.calls += [each for each in self._connection.receive_data(data) if isinstance(each, RequestReceived)]

    async def drain(self) -> None:
        pass

    def is_quiet(self) -> bool:
        return True

    def close(self) -> None:
        if not self.is_closing:
            self.is_closing = True
            asyncio.get_running_loop().call_soon(self._lost, None)

    abort = close

    def answer(self, call: RequestReceived) -> None:
        (number,), _ = self._connection.arguments(call)
        self._received(self._connection.respond(call, User(id=number)))


class Stage:
    """A sender in virtual time, and its connections."""

    def __init__(self) -> None:
        self.driver = VirtualDriver()
        self.opened: list[Played] = []
        self.transport = MultiplexedTransport(
            self.open, PeerState(ThriftClient(dialect("framed"))), connect_timeout=1.0
        )

    async def open(self, received: Received, lost: Lost) -> Played:
        self.opened.append(Played(received, lost))
        return self.opened[-1]

    def call(self, number: int, timeout: float) -> asyncio.Task[Any]:
        deadline = Deadline(self.driver.now() + timeout, timeout)
        return asyncio.ensure_future(self.transport.send(Call(GET, (number,), "virtual", deadline, self.driver)))

    async def sent(self, count: int) -> list[RequestReceived]:
        """Take the calls that have been sent over the newest connection, and check their number."""
        await eventually_async(lambda: self.opened and len(self.opened[-1].calls) == count)
        found = list(self.opened[-1].calls)
        self.opened[-1].calls.clear()
        return found


def test_each_call_ends_at_its_deadline() -> None:
    async def main() -> None:
        stage = Stage()
        ended: list[tuple[float, float]] = []

        async def call(timeout: float) -> None:
            with pytest.raises(DeadlineExceeded):
                await stage.call(1, timeout)
            ended.append((timeout, round(stage.driver.now(), 2)))

        stays = stage.call(2, 1000.0)
        (last,) = await stage.sent(1)
        start = stage.driver.now()
        await asyncio.gather(*[call(timeout) for timeout in (6.0, 2.0, 4.0, 2.0)])
        assert ended == [(timeout, round(start + timeout, 2)) for timeout in (2.0, 2.0, 4.0, 6.0)]
        assert not stays.done()
        stage.opened[0].answer(last)
        assert (await stays).id == 2

    run_virtual(main())


def test_a_timeout_keeps_the_connection_if_later_calls_get_responses() -> None:
    async def main() -> None:
        stage = Stage()
        slow, fast = stage.call(1, 10.0), stage.call(2, 1000.0)
        _, second = await stage.sent(2)
        stage.opened[0].answer(second)
        assert (await fast).id == 2
        with pytest.raises(DeadlineExceeded):
            await slow
        third = stage.call(3, 1000.0)
        (sent,) = await stage.sent(1)
        stage.opened[-1].answer(sent)
        assert (await third).id == 3
        assert len(stage.opened) == 1

    run_virtual(main())


def test_a_timeout_replaces_the_connection_if_no_later_call_gets_a_response() -> None:
    async def main() -> None:
        stage = Stage()
        patient = stage.call(1, 1000.0)
        await stage.sent(1)
        with pytest.raises(DeadlineExceeded):
            await stage.call(2, 10.0)
        third = stage.call(3, 1000.0)
        await eventually_async(lambda: len(stage.opened) == 2)
        (sent,) = await stage.sent(1)
        stage.opened[1].answer(sent)
        assert (await third).id == 3
        assert not patient.done()
        patient.cancel()

    run_virtual(main())


# On real sockets again.


def test_an_invalid_argument_does_not_affect_other_calls(server: Server) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        good, bad = await asyncio.gather(client.get(1), client.get("x"), return_exceptions=True)  # type: ignore[arg-type]
        assert isinstance(good, User)
        assert isinstance(bad, LocalProtocolError)

    run(server.address, work)


def test_large_messages_in_both_directions(server: Server) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        words = ["x" * 5_000_000]
        found = await asyncio.gather(*[client.join(words) for _ in range(4)], client.blob(5_000_000))
        assert [len(each) for each in found] == [5_000_000] * 5

    run(server.address, work)


def test_a_server_that_does_not_read_delays_calls_until_their_deadlines() -> None:
    hold = threading.Event()

    def answer_once(raw: socket.socket) -> None:
        connection, (call,) = calls_of(raw, 1)
        raw.sendall(connection.respond(call, User(id=1)))
        hold.wait(60)

    async def work(client: AsyncUserServiceClient) -> None:
        for _ in range(2):
            assert (await client.get(1)).id == 1  # of another connection each time
            with pytest.raises(DeadlineExceeded):
                await client.using(timeout=0.05).join(["x" * 15_000_000])
        hold.set()

    def in_turn(raw: socket.socket) -> None:
        thread = threading.Thread(target=hold_on, args=(raw.dup(),))
        thread.start()

    def hold_on(raw: socket.socket) -> None:
        with raw:
            raw.settimeout(60)
            answer_once(raw)

    with scripted_server(in_turn, in_turn) as address:
        run(address, work)


def test_a_refused_connection_is_reported() -> None:
    port = free_port()

    async def work(client: AsyncUserServiceClient) -> None:
        outcomes = await asyncio.gather(*[client.ping() for _ in range(3)], return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, ConnectFailed)
            assert f"tcp://127.0.0.1:{port}" in str(outcome)
            assert "refused" in str(outcome)

    run(f"127.0.0.1:{port}", work)


def test_an_unknown_host_name_is_reported() -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        with pytest.raises(ConnectFailed, match="no-such-host"):
            await client.ping()

    run("no-such-host.invalid:1", work)


def test_a_lost_connection_fails_its_calls_and_the_next_call_opens_another() -> None:
    def lose(raw: socket.socket) -> None:
        calls_of(raw, 3)

    def answer(raw: socket.socket) -> None:
        connection, (call,) = calls_of(raw, 1)
        raw.sendall(connection.respond(call, User(id=9)))
        until_closed(raw)

    async def work(client: AsyncUserServiceClient) -> None:
        outcomes = await asyncio.gather(*[client.get(number) for number in range(3)], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionLost] * 3
        assert (await client.get(9)).id == 9

    with scripted_server(lose, answer) as address:
        run(address, work)


def test_a_connection_that_the_server_closed_while_it_was_idle_is_replaced() -> None:
    closed = threading.Event()

    def once(raw: socket.socket) -> None:
        connection, (call,) = calls_of(raw, 1)
        raw.sendall(connection.respond(call, User(id=1)))
        raw.close()
        closed.set()

    async def work(client: AsyncUserServiceClient) -> None:
        for _ in range(3):
            assert (await client.get(1)).id == 1
            # Without giving the event loop a chance to notice.
            assert closed.wait(60)
            closed.clear()

    with scripted_server(once, once, once) as address:
        run(address, work)


@pytest.mark.parametrize("garbage", [b"\x7f" * 20, b"\xff" * 20, struct.pack(">I", 2) + b"\0\0"])
def test_garbage_fails_the_calls_on_the_connection(garbage: bytes) -> None:
    def talk(raw: socket.socket) -> None:
        calls_of(raw, 2)
        raw.sendall(garbage)
        until_closed(raw)

    async def work(client: AsyncUserServiceClient) -> None:
        outcomes = await asyncio.gather(client.get(1), client.get(2), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [RemoteProtocolError] * 2

    with scripted_server(talk) as address:
        run(address, work)


def test_a_closed_client_rejects_calls_and_fails_those_in_flight(server: Server, users: AsyncUsers) -> None:
    async def main() -> None:
        client = AsyncUserServiceClient.connect(server.address, timeout=60)
        call = asyncio.ensure_future(client.wait(1))
        await entered(users)
        await client.close()
        await client.close()
        with pytest.raises(ConnectionLost):
            await call
        with pytest.raises(NotSent, match="closed"):
            await client.ping()

    asyncio.run(main())


def test_closing_an_unused_client(server: Server) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(server.address, timeout=60):
            pass

    asyncio.run(main())


def test_closing_while_connecting(server: Server) -> None:
    async def main() -> None:
        client = AsyncUserServiceClient.connect(server.address, timeout=60)
        call = asyncio.ensure_future(client.ping())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(NotSent, match="closed"):
            await call

    asyncio.run(main())


def test_cancelling_the_call_that_connects_does_not_fail_the_others(server: Server) -> None:
    async def work(client: AsyncUserServiceClient) -> None:
        first, second = asyncio.ensure_future(client.get(1)), asyncio.ensure_future(client.get(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).id == 2

    run(server.address, work)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_event_loop_gets_another_connection(server: Server) -> None:
    client = AsyncUserServiceClient.connect(server.address, timeout=60)

    async def call(client: AsyncUserServiceClient) -> None:
        assert (await client.get(1)).id == 1

    asyncio.run(call(client))
    asyncio.run(call(client))
    # The client is not closed: its transports warn about it while the filter above is active.
    del client
    gc.collect()


def test_clients_reconnect_to_a_restarted_server(users: AsyncUsers) -> None:
    async def main() -> None:
        first = Server(user_service(users)).start()
        async with AsyncUserServiceClient.connect(first.address, timeout=60) as client:
            await client.ping()
            first.stop()
            with Server(user_service(users), first.address) as second:
                second.start()
                await client.ping()

    asyncio.run(main())
