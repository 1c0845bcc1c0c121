"""Guards as filters of servers and of clients, over real connections."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from by_hand import KINDS, Noting, serving
from eventually import TIMEOUT
from hand_written import AsyncUsers, AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt.core import ClockAndRandom, Decision, Rejected
from idlrt.errors import CircuitOpen, ConnectFailed, Overloaded
from idlrt.guard import GUARDS
from idlrt.server import AsyncServer

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def guard(name: str, told: list[Decision] | None = None, **settings: Any) -> Any:
    found: Any = GUARDS.get(name)
    listener = (told if told is not None else []).append
    return found(msgspec.convert(settings, found.Settings), ClockAndRandom(), listener)


@ALL_KINDS
@pytest.mark.parametrize("name", GUARDS.names())
def test_every_guard_stands_in_no_ones_way_at_first(kind: str, name: str) -> None:
    with (
        serving(Users(), kind, filters=[guard(name)]) as server,
        UserServiceClient.connect(server.address, filters=[guard(name)], timeout=TIMEOUT) as client,
    ):
        assert [client.get(1).id for _ in range(3)] == [1] * 3
        assert client.join(["a", "b"]) == "a-b"
        client.ping()


@ALL_KINDS
def test_a_client_hears_that_it_is_over_the_limit_and_for_how_long(kind: str) -> None:
    users, told = Noting(), list[Decision]()
    limiter = guard("limiter", told, rate=0.001, burst=2, per="caller")
    with (
        serving(users, kind, filters=[limiter]) as server,
        UserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
    ):
        client.get(1)
        client.get(2)
        with pytest.raises(
            Overloaded, match=r"rate limit of 127\.0\.0\.1 exceeded \(0\.001 calls per second\)"
        ) as caught:
            client.get(3)
    assert caught.value.retry_after == pytest.approx(1000, abs=TIMEOUT)
    assert users.started == [1, 2]
    assert [type(each) for each in told] == [Rejected]


@ALL_KINDS
def test_a_client_hears_that_a_breaker_of_the_server_is_open(kind: str) -> None:
    breaker = guard("breaker", consecutive_failures=1, count_internal=True, break_duration=1000)
    with (
        serving(Users(), kind, filters=[breaker]) as server,
        UserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
    ):
        with pytest.raises(Exception, match="failed with ValueError"):
            client.get(0)
        with pytest.raises(Overloaded, match="circuit breaker of UserService is open") as caught:
            client.get(1)
    assert caught.value.retry_after == pytest.approx(1000, abs=TIMEOUT)


def test_workers_wait_for_a_place_in_line() -> None:
    class Crowd(Users):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()
            self.now = self.most = 0

        def join(self, words: list[str], by: str) -> str:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            found = super().join(words, by)
            with self.lock:
                self.now -= 1
            return found

    users = Crowd()
    bulkhead = guard("bulkhead", max_concurrent_calls=1, max_queued_calls=10, max_wait=TIMEOUT)
    found: list[str] = []
    with (
        serving(users, "worker", workers=4, filters=[bulkhead]) as server,
        UserServiceClient.connect(server.address, timeout=TIMEOUT) as client,
    ):
        threads = [
            threading.Thread(target=lambda: found.extend(client.join(["a", "b"]) for _ in range(20))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["a-b"] * 80
    assert users.most == 1


@pytest.mark.parametrize("handlers", ["async", "worker"])
def test_an_asyncio_server_lets_calls_wait_for_a_place(handlers: str) -> None:
    async def main() -> None:
        users: Any = AsyncUsers() if handlers == "async" else Users()
        filters = [guard("bulkhead", max_concurrent_calls=1, max_queued_calls=50, max_wait=TIMEOUT)]
        async with (
            AsyncServer(user_service(users), filters=filters, workers=2 if handlers == "worker" else 0) as server,
            AsyncUserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
        ):
            found = await asyncio.gather(*[client.get(number) for number in range(1, 41)])
            assert [user.id for user in found] == list(range(1, 41))

    asyncio.run(main())


def test_an_asyncio_server_rejects_calls_over_the_queue_limit() -> None:
    async def main() -> None:
        users = AsyncUsers()
        filters = [guard("bulkhead", max_concurrent_calls=1, max_queued_calls=1, max_wait=TIMEOUT)]
        async with (
            AsyncServer(user_service(users), filters=filters) as server,
            AsyncUserServiceClient.connect(server.address, framing="header", timeout=TIMEOUT) as client,
        ):
            first = asyncio.create_task(client.wait(1))
            await asyncio.to_thread(users.entered.wait, TIMEOUT)
            waiting = asyncio.create_task(client.get(2))
            third = asyncio.create_task(client.get(3))
            done, _ = await asyncio.wait([waiting, third], return_when=asyncio.FIRST_COMPLETED)
            (refused,) = done
            assert isinstance(refused.exception(), Overloaded)
            users.release(1)
            assert await first == 1
            other = third if refused is waiting else waiting
            assert (await other).id in (2, 3)

    asyncio.run(main())


def test_a_breaker_of_a_client_opens_when_no_server_listens() -> None:
    with serving(Users()) as server:
        address = server.address
    with UserServiceClient.connect(
        address, filters=[guard("breaker", consecutive_failures=2, break_duration=1000)], timeout=TIMEOUT
    ) as client:
        for _ in range(2):
            with pytest.raises(ConnectFailed):
                client.get(1)
        with pytest.raises(CircuitOpen, match="2 consecutive failures") as caught:
            client.get(1)
    assert caught.value.retry_after == pytest.approx(1000, abs=TIMEOUT)


def test_a_fallback_of_a_client_answers_when_no_server_listens() -> None:
    with serving(Users()) as server:
        address = server.address
    fallback = guard("fallback", values={"get": {"id": 7, "name": "instead"}, "join": "nothing"})
    with UserServiceClient.connect(address, filters=[fallback], timeout=TIMEOUT) as client:
        assert client.get(1).name == "instead"
        assert client.join(["a"]) == "nothing"
