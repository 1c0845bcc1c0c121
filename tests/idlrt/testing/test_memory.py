"""Client and server joined in memory."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventually import TIMEOUT
from hand_written import (
    AsyncUsers,
    AsyncUserServiceClient,
    NotFound,
    User,
    Users,
    UserServiceClient,
    user_service,
)

from idlrt import Limits
from idlrt.core import Decision, FallbackUsed, Rejected, ServerCall
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConfigurationError,
    DeadlineExceeded,
    NotSent,
    Overloaded,
    RpcError,
)
from idlrt.server import ServerCallNext, ServerFilter, ServerOptions
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


async def admit(call: ServerCall, next: ServerCallNext) -> Any:
    """A server filter that never suspends."""
    if call.metadata.get("user") != "ada":
        raise ApplicationError("only ada may call", ApplicationCode.PERMISSION_DENIED)
    return await next(call)


async def suspend(call: ServerCall, next: ServerCallNext) -> Any:
    """A server filter that needs an event loop."""
    await asyncio.sleep(0)
    seen.append("before")
    try:
        return await next(call)
    finally:
        seen.append("after")


seen: list[str] = []


@pytest.mark.parametrize("handler", [Users, AsyncUsers])
@pytest.mark.parametrize("filters", [[admit], [admit, suspend], [suspend, admit]], ids=["straight", "inner", "outer"])
def test_server_filters(handler: type[Users], filters: list[ServerFilter]) -> None:
    handlers = user_service(handler())
    with connected(UserServiceClient, handlers, server_filters=filters, framing="header", timeout=TIMEOUT) as client:
        assert client.using(metadata={"user": "ada"}).get(1).name == "user 1"
        with pytest.raises(ApplicationError, match="only ada may call"):
            client.get(1)

    async def main() -> None:
        async with connected(
            AsyncUserServiceClient, handlers, server_filters=filters, framing="header", timeout=TIMEOUT
        ) as client:
            assert (await client.using(metadata={"user": "ada"}).get(1)).name == "user 1"
            with pytest.raises(ApplicationError, match="only ada may call"):
                await client.get(1)

    asyncio.run(main())


def test_plain_handlers_behind_filters_that_suspend_run_on_the_thread_that_calls() -> None:
    threads: list[int] = []

    class Seeing(Users):
        def get(self, id: int) -> Any:
            threads.append(threading.get_ident())
            seen.append("handler")
            return super().get(id)

    seen.clear()
    with connected(UserServiceClient, user_service(Seeing()), server_filters=[suspend], timeout=TIMEOUT) as client:
        assert client.get(1) == User(id=1, name="user 1")
        with pytest.raises(NotFound):
            client.get(-1)
    assert threads == [threading.get_ident()] * 2
    assert seen == ["before", "handler", "after"] * 2


def test_guards_of_the_server_count_the_calls_of_all_connections() -> None:
    decisions: list[Decision] = []
    options: ServerOptions = {
        "guards": {"limiter": {"rate": 1e-3, "burst": 2}},
        "listeners": [decisions.append],
    }
    with connected(UserServiceClient, user_service(Users()), server_options=options, timeout=TIMEOUT) as client:
        with ThreadPoolExecutor(2) as threads:
            for found in [threads.submit(client.get, number) for number in (1, 2)]:
                assert found.result().name is not None
        with pytest.raises(Overloaded):
            client.get(3)
    assert [type(each) for each in decisions] == [Rejected]


def test_limits_of_the_server() -> None:
    options: ServerOptions = {"limits": Limits(max_string=10)}
    with connected(UserServiceClient, user_service(Users()), server_options=options, timeout=TIMEOUT) as client:
        assert client.join(["short"]) == "short"
        with pytest.raises(RpcError):
            client.join(["x" * 100])


def test_the_policy_of_the_client_applies() -> None:
    calls: list[int] = []
    decisions: list[Decision] = []

    class Flaky(Users):
        def get(self, id: int) -> Any:
            calls.append(id)
            raise ValueError

    with connected(
        UserServiceClient,
        user_service(Flaky()),
        policy={"fallback": {"value": {"id": 7}, "on": ["ApplicationError"]}},
        listeners=[decisions.append],
        timeout=TIMEOUT,
    ) as client:
        assert client.get(1) == User(id=7)
    assert calls == [1]
    assert FallbackUsed in {type(each) for each in decisions}


@pytest.mark.parametrize(
    ("options", "kind", "why"),
    [
        ({"timout": 1}, TypeError, "UserServiceClient.connect() got an unexpected keyword argument 'timout'"),
        ({"timeout": "1"}, ConfigurationError, "timeout must be between"),
        ({"server_options": {"guard": {}}}, TypeError, "Server() got an unexpected keyword argument 'guard'"),
        ({"server_options": {"guards": {"limitr": {}}}}, ConfigurationError, "did you mean 'limiter'?"),
        (
            {"server_filters": [3]},
            ConfigurationError,
            "filters: must be `async (call, next) -> result` functions, got 3",
        ),
    ],
)
def test_options_are_checked(options: Any, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind) as caught:
        connected(UserServiceClient, user_service(Users()), **options)
    assert why in str(caught.value)
