"""Settings, options, filters and arguments, which are the same for both kinds of client."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

import pytest
from hand_written import JOIN, AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service

from idlrt.client import AsyncClient, Client, client_stats
from idlrt.core import BlockingDriver, Call, CallNext, Deadline, Peer, RequestContext, ServerCall
from idlrt.core.request import enter_call
from idlrt.errors import ApplicationError, ConfigurationError, ConnectFailed
from idlrt.testing import connected

KINDS: list[type[Client] | type[AsyncClient]] = [UserServiceClient, AsyncUserServiceClient]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("target", "settings", "said"),
    [
        ("localhost", {}, "missing port"),
        ("a:1", {"timeout": 0}, "timeout must be between 1e-09 and 2000000 seconds, got 0"),
        ("a:1", {"timeout": float("inf")}, "timeout"),
        ("a:1", {"timeout": float("nan")}, "timeout"),
        ("a:1", {"timeout": "5"}, "timeout"),
        ("a:1", {"connect_timeout": -1}, "connect_timeout"),
        ("a:1", {"framing": "framd"}, "framd"),
        ("a:1", {"protocol": "binray"}, "binray"),
        ("a:1", {"multiplexed": "a:b"}, "multiplexed must be"),
        ("a:1", {"multiplexed": ""}, "multiplexed must be"),
        ("a:1", {"multiplexed": 3}, "multiplexed must be"),
    ],
)
def test_invalid_settings_are_rejected(kind: Any, target: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        kind.connect(target, **settings)


def test_a_pool_needs_a_connection() -> None:
    with pytest.raises(ConfigurationError, match="max_connections"):
        UserServiceClient.connect("a:1", max_connections=0)


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_checked(kind: Any) -> None:
    client = kind.connect("a:1")

    with pytest.raises(
        ConfigurationError,
        match=r"^using\(\) has no option 'timout'; did you mean 'timeout'\?$",
    ):
        client.using(timout=1)
    with pytest.raises(ConfigurationError, match="timeout must be"):
        client.using(timeout=-1)
    for wrong in (["a"], {"a": 1}, {1: "a"}, None):
        with pytest.raises(ConfigurationError, match="metadata must be"):
            client.using(metadata=wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_using_does_not_change_the_original(kind: Any) -> None:
    async def answer(call: Call, next: CallNext) -> Any:
        return call.deadline.timeout

    client = kind.connect("a:1", timeout=3, filters=[answer])
    other = client.using(timeout=0.5)

    def timeout(of: Any) -> Any:
        found = of.join(["a"])
        return asyncio.run(found) if kind is AsyncUserServiceClient else found

    assert type(other) is kind
    assert [timeout(each) for each in (client, other, client)] == [3, 0.5, 3]
    assert repr(client) == f"<{kind.__name__} of tcp://a:1>"


def test_clients_that_using_made_share_their_connections() -> None:
    with connected(UserServiceClient, user_service(Users()), timeout=60) as client:
        client.ping()
        other = client.using(timeout=50)
        other.ping()
        assert client_stats(client) == client_stats(other)
        assert client_stats(client).connections == 1

    async def main() -> None:
        async with connected(AsyncUserServiceClient, user_service(Users()), timeout=60) as client:
            await client.ping()
            other = client.using(timeout=50)
            await other.ping()
            assert client_stats(client) == client_stats(other)
            assert client_stats(client).connections == 1

    asyncio.run(main())


def test_only_three_names_are_taken_from_the_idl() -> None:
    for kind in (Client, AsyncClient):
        assert [name for name in dir(kind) if not name.startswith("_")] == ["close", "connect", "using"]


async def tell(call: Call, next: CallNext) -> Any:
    """A filter that changes what goes and what comes."""
    if call.method is JOIN:
        words, by = call.arguments
        call.arguments = ([*words, f"{call.deadline.timeout:g}", call.target, str(call.options)], by)
        return (await next(call)) + "!"
    return await next(call)


SAID = "a-200-memory-{}!"


def test_filters_of_a_blocking_client() -> None:
    with connected(UserServiceClient, user_service(Users()), timeout=200, filters=[tell]) as client:
        assert client.join(["a"]) == SAID


def test_filters_of_an_asyncio_client() -> None:
    async def main() -> None:
        async with connected(AsyncUserServiceClient, user_service(Users()), timeout=200, filters=[tell]) as client:
            assert await client.join(["a"]) == SAID

    asyncio.run(main())


def test_a_filter_may_retry() -> None:
    class Flaky(Users):
        left = 2

        def get(self, id: int) -> User:
            if self.left:
                self.left -= 1
                raise ValueError
            return User(id=id)

    async def again(call: Call, next: CallNext) -> Any:
        while True:
            try:
                return await next(call)
            except ApplicationError:
                await call.driver.sleep(0.001)

    with connected(UserServiceClient, user_service(Flaky()), filters=[again], timeout=60) as client:
        assert client.get(5) == User(id=5)


def test_a_filter_that_suspends_in_a_blocking_client_is_reported() -> None:
    async def wrong(call: Call, next: CallNext) -> Any:
        await asyncio.sleep(0)

    with (
        connected(UserServiceClient, user_service(Users()), filters=[wrong], timeout=60) as client,
        pytest.raises(RuntimeError, match="through the call's driver"),
    ):
        client.ping()


def test_arguments_by_name_and_defaults() -> None:
    class AnyArguments(UserServiceClient):
        """Its stub passes on what it gets."""

        def join(self, *arguments: Any, **named: Any) -> str:
            return self._call(JOIN, *arguments, **named)

    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]]
    with connected(AnyArguments, user_service(Users()), timeout=60) as client:
        assert client.join(["a", "b"]) == "a-b"
        assert client.join(words=["a", "b"]) == "a-b"
        assert client.join(["a", "b"], by="+") == "a+b"
        cases = [
            ((), {}, "missing argument 'words'"),
            ((["a"], "+", 3), {}, "takes 2 arguments \\(words, by\\), got 3"),
            ((["a"],), {"words": ["b"]}, "got argument 'words' twice"),
            ((["a"],), {"of": 1}, "has no argument 'of'"),
        ]
        for arguments, named, said in cases:
            with pytest.raises(TypeError, match=said):
                client.join(*arguments, **named)


def test_an_asyncio_client_connects_without_a_loop() -> None:
    assert AsyncUserServiceClient.connect("a:1") is not None


def test_async_handlers_behind_a_blocking_client() -> None:
    with connected(UserServiceClient, user_service(AsyncUsers()), timeout=60) as client:
        assert client.get(5).id == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["tcp://bücher.example:9", f"tcp://{'x' * 300}:9", "tcp://[fe80::1%lo]:9"])
def test_a_server_at_an_address_may_have_any_name(kind: Any, target: str) -> None:
    """It is no instance of a registry, which checks names."""
    assert target in repr(kind.connect(target))


def test_a_server_at_a_unix_socket_is_called_by_its_path() -> None:
    client = UserServiceClient.connect("unix:/nowhere/at.all", timeout=60).using(fault="broadcast", idempotent=True)
    with pytest.raises(ConnectFailed) as raised:
        client.get(1)
    assert raised.value.__notes__ == ["1 of 1 instance failed: unix:/nowhere/at.all"]


@pytest.mark.parametrize(
    "key",
    ["panic_threshold", "routes", "budget.ratio", "ejection.base_ejection_time", "instance_breaker.break_duration"],
)
def test_service_settings_are_rejected_for_single_calls(key: str) -> None:
    client = UserServiceClient.connect("a:1")
    with pytest.raises(ConfigurationError, match=r"applies to the whole service, .*; set it with connect"):
        client.using(policy={key: [] if key == "routes" else 0.5})
    client.using(policy={"methods": {"get": {"timeout": 1}}, "backoff.base_delay": 0.5, "hedge.delay": 0.1})


def test_nested_calls_inherit_tag_and_attempt() -> None:
    """Gray stays gray, and retries are known along the way; other metadata is the handler's business."""
    seen: list[tuple[str, int, dict[str, str]]] = []

    async def note(call: Call, next: CallNext) -> Any:
        seen.append((call.tag, call.attempt, dict(call.metadata)))
        return await next(call)

    outer = ServerCall(
        JOIN,
        (),
        Peer(address="test"),
        {"user": "ada"},
        Deadline(BlockingDriver.now() + 20, 20),
        BlockingDriver(),
        RequestContext(tag="gray", attempt=1, caller="shop"),
    )
    with connected(UserServiceClient, user_service(Users()), filters=[note], timeout=60) as client:

        def calls() -> None:
            enter_call(outer)
            client.get(1)
            client.using(tag="blue").get(1)
            client.using(tag="").get(1)
            outer.is_answered = True
            client.get(1)

        copy_context().run(calls)
    assert seen == [
        ("gray", 1, {}),
        ("blue", 1, {}),
        ("", 1, {}),
        ("", 0, {}),
    ]
