"""Stopping while clients have connections: they are told to go elsewhere, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from by_hand import ANY_ORDER, FOREVER, FRAMED, HEADER, KINDS, Noting, Raw, serving, stopping
from eventually import TIMEOUT, eventually
from hand_written import (
    GET,
    JOIN,
    PING,
    WAIT,
    AsyncUsers,
    AsyncUserServiceClient,
    User,
    Users,
    UserServiceClient,
    user_service,
)

from idlrt.core import ServerCall
from idlrt.errors import ApplicationError, ConnectFailed
from idlrt.protocol.thrift.dialects import client_dialect, dialect
from idlrt.protocol.thrift.framing import Dialect
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.server import AsyncServer, Server
from idlrt.server.method_table import ServerCallNext

# More than a moment.
pytestmark = pytest.mark.slow

TOLD = {"drain": "true"}


class Named(Users):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def join(self, words: list[str], by: str = "-") -> str:
        return self.name


# What clients are told.


@pytest.mark.parametrize("how", [HEADER, ANY_ORDER, client_dialect("header_zlib", "compact")], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_a_server_that_stops_say_so(kind: str, how: Dialect) -> None:
    with serving(Users(), kind, drain_s=FOREVER) as server, Raw(server, how) as raw:
        raw.call(GET, 1)
        assert raw.read()[0].metadata == {}
        with stopping(server):
            for id in (1, -1, 0):
                raw.call(GET, id)
                assert raw.read()[0].metadata == TOLD
            # The server waits for nothing else.
            raw.socket.close()


def test_answers_of_calls_that_were_under_way_before_say_so() -> None:
    users = AsyncUsers()
    with serving(users, drain_s=FOREVER) as server, Raw(server, HEADER) as raw:
        raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        with stopping(server):
            users.release(1)
            (answer,) = raw.read()
            assert (answer.value, answer.metadata) == (1, TOLD)
            raw.socket.close()


def test_what_filters_say_beside_an_answer_stays() -> None:
    async def tell(call: ServerCall, next: ServerCallNext) -> Any:
        call.answer_metadata["method"] = call.method.name
        return await next(call)

    with serving(Users(), drain_s=FOREVER, filters=[tell]) as server, Raw(server, HEADER) as raw, stopping(server):
        raw.call(PING)
        assert raw.read()[0].metadata == {"method": "ping", **TOLD}
        raw.socket.close()


def test_refusals_of_a_server_that_stops_say_so_too() -> None:
    users = AsyncUsers()
    with (
        serving(users, drain_s=FOREVER, max_in_flight=1) as server,
        Raw(server, ANY_ORDER) as raw,
        Raw(server, ANY_ORDER) as busy,
    ):
        busy.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        with stopping(server):
            raw.call(GET, 1)  # overloaded
            raw.call(JOIN, ["a"], "", metadata={"client_timeout": "0"})  # too late
            number, data = raw.client.request(PING, ())
            raw.socket.sendall(data.replace(b"ping", b"pong"))  # not served
            head = raw.client.dialect.pack(MessageType.CALL, "get", number + 1, b"\x0a")
            raw.client.request(GET, (1,))
            raw.socket.sendall(head)  # not to be read
            answers = raw.read(4)
            users.release(1)
            busy.read()
            for each in (raw, busy):
                each.socket.close()
    assert all(isinstance(answer.value, ApplicationError) for answer in answers)
    assert [(answer.value.code.name, dict(answer.metadata)) for answer in answers] == [
        ("LOADSHEDDING", TOLD),
        ("TIMEOUT", TOLD),
        ("UNKNOWN_METHOD", TOLD),
        ("PROTOCOL_ERROR", TOLD),
    ]


@pytest.mark.parametrize("how", [FRAMED, dialect("unframed"), dialect("framed", "compact")], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_where_that_cannot_be_said_a_connection_is_closed_with_its_next_answer(kind: str, how: Dialect) -> None:
    with serving(Users(), kind, drain_s=FOREVER) as server, Raw(server, how) as raw:
        raw.call(GET, 1)
        raw.read()
        with stopping(server):
            raw.call(GET, 2)
            assert raw.values() == [User(id=2, name="user 2")]
            assert raw.is_ended()


def test_calls_under_way_are_answered_before_that() -> None:
    users = AsyncUsers()
    with serving(users, drain_s=FOREVER) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        raw.call(WAIT, 2)
        for _ in range(2):
            assert users.all_entered.acquire(timeout=TIMEOUT)
        with stopping(server):
            users.release(1)
            users.release(2)
            assert raw.values(2) == [1, 2]
            assert raw.is_ended()


def test_connections_that_make_no_call_are_closed_after_a_while() -> None:
    with serving(Users(), drain_s=0.02) as server, Raw(server) as framed, Raw(server, HEADER) as header:
        header.call(PING)
        header.read()
        with stopping(server):
            assert framed.is_ended()
            assert header.is_ended()


def test_a_grace_time_of_months_is_as_good_as_any() -> None:
    users = AsyncUsers()
    # Nothing else wakes the server meanwhile.
    unlimited: dict[str, Any] = {"idle_timeout": 0, "message_timeout": 0, "write_timeout": 0}
    with serving(users, drain_s=0, **unlimited) as server, Raw(server) as raw, Raw(server) as idle:
        raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        with stopping(server, grace_s=10_000_000):
            # Draining is over, and the call goes on.
            assert idle.is_ended()
            users.release(1)
            assert raw.values() == [1]


def test_clients_that_connected_before_the_stop_are_answered() -> None:
    users = Users()
    with serving(users, grace_s=FOREVER) as server, Raw(server) as busy:
        busy.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        # The loop is busy: these lie in the kernel, not even accepted yet.
        raws = [Raw(server) for _ in range(300)]
        for number, raw in enumerate(raws, 1):
            raw.call(GET, number)
        thread = threading.Thread(target=server.stop)
        thread.start()
        users.gate.set()
        answered = 0
        for raw in raws:
            with raw:
                try:
                    answered += len(raw.read())
                except (ConnectionResetError, AssertionError):
                    continue
        assert busy.values() == [1]
        thread.join(TIMEOUT)
    assert answered == len(raws)


# What clients make of it.


def taken_over(work: Callable[[str, Callable[[], None]], None]) -> None:
    """Let `work(address, stop)` call a server called `first`, which another called `second` takes over at `stop()`."""
    with serving(Named("first"), reuse_port=True, drain_s=FOREVER) as first:
        threads: list[threading.Thread] = []
        servers: list[Server] = []

        def stop() -> None:
            servers.append(Server(user_service(Named("second")), first.address, reuse_port=True).start())
            threads.append(threading.Thread(target=first.stop, daemon=True))
            threads[0].start()
            eventually(lambda: first.is_draining)

        try:
            work(first.address, stop)
            # No client holds a connection to the first server any more.
            threads[0].join(TIMEOUT)
            assert not threads[0].is_alive()
        finally:
            for server in servers:
                server.stop()


@pytest.mark.parametrize("framing", ["header", "header_zlib", "framed", "unframed"])
def test_a_blocking_client_makes_its_next_call_over_another_connection(framing: str) -> None:
    def work(target: str, stop: Callable[[], None]) -> None:
        with UserServiceClient.connect(target, framing=framing) as client:
            assert client.join([]) == "first"
            stop()
            assert [client.join([]) for _ in range(3)] == ["first", "second", "second"]

    taken_over(work)


@pytest.mark.parametrize("framing", ["header", "header_zlib", "framed", "unframed"])
def test_an_asyncio_client_makes_its_next_call_over_another_connection(framing: str) -> None:
    async def main(target: str, stop: Callable[[], None]) -> None:
        async with AsyncUserServiceClient.connect(target, framing=framing) as client:
            assert await client.join([]) == "first"
            await asyncio.to_thread(stop)
            assert [await client.join([]) for _ in range(3)] == ["first", "second", "second"]

    taken_over(lambda target, stop: asyncio.run(main(target, stop)))


def test_calls_of_an_asyncio_client_that_are_under_way_are_answered_over_the_old_connection() -> None:
    users = AsyncUsers()

    async def main(target: str) -> None:
        async with AsyncUserServiceClient.connect(target, framing="header", timeout=TIMEOUT) as client:
            slow = asyncio.create_task(client.wait(1))
            assert await asyncio.to_thread(users.entered.wait, TIMEOUT)
            with stopping(server):
                assert (await client.get(1)).id == 1
                # The server is not reached any more, but what it works on it ends.
                with pytest.raises(ConnectFailed):
                    await client.get(2)
                users.release(1)
                assert await slow == 1

    with serving(users, drain_s=FOREVER) as server:
        asyncio.run(main(server.address))


def test_a_pool_forgets_only_the_connection_that_was_told() -> None:
    users = Noting()
    with (
        serving(users, workers=2, drain_s=FOREVER) as server,
        UserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
    ):
        waiting = threading.Thread(target=client.wait, args=(1,))
        waiting.start()
        assert users.entered.wait(TIMEOUT)
        client.get(2)
        users.gate.set()
        waiting.join(TIMEOUT)
        # Now the pool has two.
        with stopping(server):
            assert client.get(3).id == 3
            assert client.get(4).id == 4
            with pytest.raises(ConnectFailed):
                client.get(5)
    assert users.started == [1, 2, 3, 4]


# A port that is handed on.


class Callers:
    """Clients that call without a pause, on threads of their own, until one of them fails or `stop` is called."""

    def __init__(self, target: str) -> None:
        self._is_over = threading.Event()
        self.errors: list[BaseException] = []
        works: list[Callable[[int], None]] = [
            lambda number: self._block(target, number, "framed"),
            lambda number: self._block(target, number, "framed"),
            lambda number: self._block(target, number, "header"),
            lambda number: self._block(target, number, "header"),
            lambda number: asyncio.run(self._await(target, number)),
        ]
        self.counts = [0] * len(works)
        self._threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in enumerate(works)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, work: Callable[[int], None]) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  # the test looks at them
            self.errors.append(error)

    def _block(self, target: str, number: int, framing: str) -> None:
        with UserServiceClient.connect(target, framing=framing, timeout=TIMEOUT) as client:
            while not self._is_over.is_set():
                assert client.get(number + 1).id == number + 1
                self.counts[number] += 1

    async def _await(self, target: str, number: int) -> None:
        async def work(client: AsyncUserServiceClient) -> None:
            while not self._is_over.is_set():
                assert (await client.get(7)).id == 7
                self.counts[number] += 1

        async with AsyncUserServiceClient.connect(target, framing="header", timeout=TIMEOUT) as client:
            await asyncio.gather(*[work(client) for _ in range(3)])

    def go_on(self) -> None:
        """Wait until each client has made some more calls, so that none is still connecting."""
        before = self.counts.copy()
        eventually(lambda: self.errors or all(now > then + 10 for now, then in zip(self.counts, before, strict=True)))
        assert self.errors == []

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(TIMEOUT)
        assert self.errors == []


@pytest.mark.parametrize("kind", KINDS)
def test_servers_that_follow_each_other_on_one_port_lose_no_call(kind: str) -> None:
    options: dict[str, Any] = {"reuse_port": True, "drain_s": FOREVER}
    with serving(Users(), kind, **options) as first, serving(Users(), kind, **options, address=first.address) as second:
        callers = Callers(first.address)
        old = [second, first]
        callers.go_on()
        for _ in range(3):
            new = Server(user_service(Users()), first.address, **options).start()
            callers.go_on()
            old.insert(0, new)
            old.pop().stop()
            callers.go_on()
        callers.stop()
        for server in old:
            server.stop()


def _hang_up_before_the_reply(server: Server | AsyncServer, users: AsyncUsers) -> None:
    with Raw(server, HEADER) as raw:
        raw.call(WAIT, 1)
        assert users.all_entered.acquire(timeout=TIMEOUT)


def test_a_stop_does_not_wait_for_a_peer_that_hung_up_before_its_reply() -> None:
    users = AsyncUsers()
    with Server(user_service(users), drain_s=0.01, grace_s=FOREVER) as server:
        server.start()
        _hang_up_before_the_reply(server, users)
        with stopping(server):
            users.release(1)


def test_a_stop_on_asyncio_does_not_wait_for_a_peer_that_hung_up_before_its_reply() -> None:
    async def main() -> None:
        users = AsyncUsers()
        server = await AsyncServer(user_service(users), drain_s=0.01, grace_s=FOREVER).start()
        await asyncio.to_thread(_hang_up_before_the_reply, server, users)
        users.release(1)
        await server.stop()
        assert server.connections == 0

    asyncio.run(main())
