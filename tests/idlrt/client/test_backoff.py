"""Connection backoff: growing pauses with jitter, and the error of calls in between."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
from eventually import eventually
from hand_written import AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt.client.backoff import Backoff
from idlrt.core import BlockingDriver, Call, Deadline
from idlrt.errors import ConnectFailed
from idlrt.server import Server
from idlrt.spec import VOID, method


class _Any:
    def ping(self) -> None: ...


CALL = Call(method(_Any.ping, result=VOID), (), "tcp://somewhere:1", Deadline(0, 1), BlockingDriver())


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pauses(rng: float, count: int) -> list[float]:
    """Return the pauses after each of `count` consecutive failures."""
    clock = Clock()
    backoff = Backoff(clock, lambda: rng)
    found: list[float] = []
    for _ in range(count):
        backoff.check(CALL)
        backoff.failed(ConnectFailed("refused"))
        start = clock.now
        while True:
            try:
                backoff.check(CALL)
                break
            except ConnectFailed:
                clock.now += 0.001
        found.append(round(clock.now - start, 3))
    return found


def test_first_attempts_are_immediate_then_pauses_grow_up_to_a_limit() -> None:
    found = pauses(0.5, 12)
    assert found[:2] == [0, 0]
    assert found[2] == pytest.approx(0.1, abs=0.002)
    assert found[3] == pytest.approx(0.16, abs=0.002)
    assert found == sorted(found)
    assert found[-1] == pytest.approx(2.0, abs=0.002)


def test_pauses_have_jitter() -> None:
    assert pauses(0.0, 3)[2] == pytest.approx(0.08, abs=0.002)
    assert pauses(1.0, 3)[2] == pytest.approx(0.12, abs=0.002)


def test_a_success_resets_the_backoff() -> None:
    clock = Clock()
    backoff = Backoff(clock, lambda: 0.5)
    for _ in range(5):
        backoff.failed(ConnectFailed("refused"))
    with pytest.raises(
        ConnectFailed, match=r"not connecting to .*: the last 5 attempts failed \(refused\); next attempt in"
    ):
        backoff.check(CALL)
    backoff.succeeded()
    backoff.check(CALL)


@pytest.fixture
def address() -> Iterator[str]:
    """Address without a listener; the port is reserved, so that no other process gets it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("calls", [1, 8])
def test_clients_back_off_and_reconnect(address: str, calls: int) -> None:
    with UserServiceClient.connect(address, timeout=60, calls_per_connection=calls) as client:

        def failure() -> str:
            with pytest.raises(ConnectFailed) as caught:
                client.get(1)
            return str(caught.value)

        assert failure().startswith("cannot connect")
        eventually(lambda: "not connecting" in failure())

        def answers() -> bool:
            try:
                return client.get(1).id == 1
            except ConnectFailed:
                return False

        with Server(user_service(Users()), address, reuse_port=True) as server:
            server.start()
            eventually(answers)


def test_an_asyncio_client_likewise(address: str) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(address, timeout=60) as client:
            # However many wait for one try, it is one.
            first = await asyncio.gather(*(client.get(1) for _ in range(10)), return_exceptions=True)
            assert all(str(each).startswith("cannot connect") for each in first)
            said: list[str] = []
            while not said or "not connecting" not in said[-1]:
                with pytest.raises(ConnectFailed) as caught:
                    await client.get(1)
                said.append(str(caught.value))
            assert said[0].startswith("cannot connect")
            with Server(user_service(Users()), address, reuse_port=True) as server:
                server.start()
                answer = None
                while answer is None:
                    with contextlib.suppress(ConnectFailed):
                        answer = await client.get(1)
                assert answer.id == 1

    asyncio.run(main())
