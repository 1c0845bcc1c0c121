"""Client and server joined in memory."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hand_written import (
    AsyncUsers,
    AsyncUserServiceClient,
    NotFound,
    User,
    Users,
    UserServiceClient,
    user_service,
)

from idlrt.errors import ApplicationError, DeadlineExceeded, NotSent
from idlrt.testing import connected


@pytest.mark.parametrize("framing", ["framed", "unframed"])
@pytest.mark.parametrize("kind", [Users, AsyncUsers])
def test_a_blocking_client(framing: str, kind: type[Users]) -> None:
    users = kind()
    with connected(UserServiceClient, user_service(users), framing=framing, timeout=60) as client:
        assert client.get(1) == User(id=1, name="user 1")
        assert client.join(["a", "b"]) == "a-b"
        client.ping()
        client.poke(3)
        assert users.poked == [3]
        with pytest.raises(NotFound):
            client.get(-1)
        with pytest.raises(ApplicationError):
            client.get(0)
        assert len(client.blob(3_000_000)) == 3_000_000
    with pytest.raises(NotSent):
        client.ping()


@pytest.mark.parametrize("framing", ["framed", "unframed"])
@pytest.mark.parametrize("kind", [Users, AsyncUsers])
def test_an_asyncio_client(framing: str, kind: type[Users]) -> None:
    async def main() -> None:
        users = kind()
        async with connected(AsyncUserServiceClient, user_service(users), framing=framing, timeout=60) as client:
            found = await asyncio.gather(*[client.get(number) for number in range(1000, 1020)])
            assert [user.id for user in found] == list(range(1000, 1020))
            await client.poke(3)
            assert users.poked == [3]
            with pytest.raises(NotFound):
                await client.get(-1)
            assert len(await client.blob(3_000_000)) == 3_000_000
        with pytest.raises(NotSent):
            await client.ping()

    asyncio.run(main())


def test_plain_handlers_run_on_the_thread_that_calls() -> None:
    seen: list[int] = []

    class Seeing(Users):
        def ping(self) -> None:
            seen.append(threading.get_ident())

    with connected(UserServiceClient, user_service(Seeing()), timeout=60) as client:
        client.ping()
    assert seen == [threading.get_ident()]


def test_time_is_up() -> None:
    with connected(UserServiceClient, user_service(AsyncUsers()), timeout=60) as client:
        client.ping()  # so that there is a connection
        with pytest.raises(DeadlineExceeded):
            client.using(timeout=0.02).wait(1)


def test_time_is_up_for_asyncio() -> None:
    async def main() -> None:
        async with connected(AsyncUserServiceClient, user_service(AsyncUsers()), timeout=60) as client:
            await client.ping()  # so that there is a connection
            with pytest.raises(DeadlineExceeded):
                await client.using(timeout=0.02).wait(1)
            assert (await client.get(1)).id == 1

    asyncio.run(main())


def test_many_threads() -> None:
    with connected(UserServiceClient, user_service(Users()), timeout=60) as client, ThreadPoolExecutor(8) as threads:
        assert [user.id for user in threads.map(client.get, range(1000, 1200))] == list(range(1000, 1200))


def test_handlers_see_the_context_of_the_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    class Seeing(Users):
        def join(self, words: list[str], by: str) -> str:
            return variable.get("nothing")

    variable.set("set by the test")
    with connected(UserServiceClient, user_service(Seeing()), timeout=60) as client:
        assert client.join([]) == "set by the test"
