"""Server guards: by argument and by configuration, for all methods and for one; the effect of a rejection."""

from __future__ import annotations

import asyncio
import math
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT
from hand_written import GET, PING, AsyncUserServiceClient, User, Users, UserServiceClient, user_service

from idlrt.core import Decision, Rejected, Retrying
from idlrt.errors import ApplicationError, ConfigurationError, Overloaded
from idlrt.guard import RateLimiter
from idlrt.server import AsyncServer, ProcessServer, Server
from idlrt.server.guards import server_guards

# More than a moment.
pytestmark = pytest.mark.slow

ONE = {"rate": 0.01, "burst": 1}
"""One call, and no other for a long time."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def on_a_loop(stack: ExitStack, **options: Any) -> str:
    """The address of an asyncio server that runs in a thread."""
    started, over = threading.Event(), threading.Event()
    found: list[str] = []

    async def main() -> None:
        server = await AsyncServer(user_service(Users()), grace_s=0.2, drain_s=0.02, **options).start()
        found.append(server.address)
        started.set()
        await asyncio.get_running_loop().run_in_executor(None, over.wait)
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    stack.callback(thread.join)
    stack.callback(over.set)
    assert started.wait(TIMEOUT)
    return found[0]


def on_a_selector(stack: ExitStack, **options: Any) -> str:
    server = Server(user_service(Users()), grace_s=0.2, drain_s=0.02, **options)
    stack.callback(server.stop)
    return server.start().address


def with_workers(stack: ExitStack, **options: Any) -> str:
    return on_a_selector(stack, workers=2, **options)


Serve = Callable[..., str]


@pytest.fixture(params=[on_a_selector, with_workers, on_a_loop])
def serve(request: pytest.FixtureRequest, stack: ExitStack) -> Serve:
    def start(**options: Any) -> str:
        made: str = request.param(stack, **options)
        return made

    return start


def client_of(stack: ExitStack, address: str, **options: Any) -> UserServiceClient:
    return stack.enter_context(UserServiceClient.connect(address, **{"framing": "header", **options}))


# Who stands where.


def test_by_argument(stack: ExitStack, serve: Serve) -> None:
    client = client_of(stack, serve(guards={"limiter": ONE}))
    client.get(1)
    with pytest.raises(Overloaded, match=r"rejected UserService\.get: rate limit exceeded \(0\.01 calls per second\)"):
        client.get(2)
    with pytest.raises(Overloaded):
        client.ping()


def test_for_one_method(stack: ExitStack, serve: Serve) -> None:
    client = client_of(stack, serve(guards={"methods": {"get": {"limiter": ONE}}}))
    client.get(1)
    with pytest.raises(Overloaded):
        client.get(2)
    for _ in range(5):
        client.ping()


def test_by_a_file(stack: ExitStack, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[server]\nlimiter.rate = 0.01\nlimiter.burst = 1\nmethods.ping.limiter.enabled = false\n")
    monkeypatch.setenv("IDLRT_CONFIG", str(file))
    for options in ({"config": file}, {}):
        client = client_of(stack, serve(**options), config={})
        client.get(1)
        with pytest.raises(Overloaded):
            client.get(2)
        for _ in range(5):
            client.ping()
    client = client_of(stack, serve(config={}), config={})
    for number in range(1, 6):
        client.get(number)


def test_what_the_program_says_counts_more_than_the_file(stack: ExitStack, serve: Serve) -> None:
    config = {"server": {"limiter": ONE}}
    client = client_of(stack, serve(config=config, guards={"limiter": {"rate": 1000, "burst": 1000}}))
    for number in range(1, 6):
        client.get(number)
    client = client_of(stack, serve(config=config, guards={"limiter": {"enabled": False}}))
    for number in range(1, 6):
        client.get(number)


def test_a_guard_with_all_its_defaults() -> None:
    spellings: list[dict[str, Any]] = [
        {"limiter": {}},
        {"methods": {"get": {"limiter": {}}}},
        {"limiter.enabled": True},
    ]
    for guards in spellings:
        (guard,) = server_guards(guards, {})(GET)
        assert isinstance(guard, RateLimiter)
        assert len(server_guards(guards, {})(PING)) == ("methods" not in guards)
    assert server_guards({}, {})(GET) == []


def test_what_is_refused_is_heard(stack: ExitStack, serve: Serve) -> None:
    heard: list[Decision] = []
    client = client_of(stack, serve(guards={"limiter": ONE}, listeners=[heard.append]))
    client.get(1)
    with pytest.raises(Overloaded):
        client.get(2)
    (refused,) = heard
    assert isinstance(refused, Rejected)
    assert (refused.guard, refused.subject) == ("limiter", "UserService.get")


def test_services_that_are_served_together_have_guards_of_their_own(stack: ExitStack) -> None:
    from idlrt import spec as rpc
    from idlrt.core import bind

    def other_ping(self: Any) -> None: ...

    other_ping.__name__ = "ping"
    other = rpc.service("Other", rpc.method(other_ping, result=rpc.VOID))
    server = Server([user_service(Users()), bind(other, Users())], grace_s=0.2, drain_s=0.02, guards={"limiter": ONE})
    stack.callback(server.stop)
    server.start()
    first = client_of(stack, server.address)
    second = client_of(stack, server.address, multiplexed="Other")
    first.ping()
    second.ping()
    for each in (first, second):
        with pytest.raises(Overloaded):
            each.ping()


# What is refused at construction.

KINDS: list[Any] = [Server, AsyncServer, partial(ProcessServer, processes=2)]

WRONG: list[tuple[Any, str]] = [
    ({"limitr": {}}, "guards of a server: limitr: unknown key; did you mean 'limiter'?"),
    ({"limitr": {"rate": 1}}, "guards of a server: limitr.rate: unknown table 'limitr'; did you mean 'limiter'?"),
    ({"limiter": {"rte": 1}}, "guards of a server: limiter.rte: limiter has no key 'rte'; did you mean 'rate'?"),
    ({"limiter": {"rate": 0}}, "guards of a server: limiter.rate: must be greater than 0, got 0"),
    ({"limiter": 5}, "guards of a server: limiter: limiter is a table; set one of limiter.rate,"),
    ({"limiter": None}, "guards of a server: limiter: limiter is a table"),
    ({"timeout": 1}, "guards of a server: timeout: only guards apply to servers"),
    ({"hedge": {"delay": 1}}, "guards of a server: hedge.delay: only guards apply to servers"),
    ({"methods": {"get": {"retries": 1}}}, "guards of a server: methods.get.retries: only guards apply to servers"),
    ({"methods": {"get": {"limitr": {}}}}, "guards of a server: methods.get.limitr: unknown key"),
    ({"fallback": {"on": ["Nosuch"]}}, "guards of a server: fallback.on: cannot set a fallback for 'Nosuch'"),
    ([], "guards: must be a dict, got []"),
]


@pytest.mark.parametrize(("guards", "why"), WRONG, ids=[str(each[0])[:40] for each in WRONG])
@pytest.mark.parametrize("kind", KINDS, ids=["selector", "asyncio", "processes"])
def test_wrong_guards_are_refused_at_construction(kind: Any, guards: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(user_service(Users()), guards=guards)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize("kind", KINDS, ids=["selector", "asyncio", "processes"])
def test_a_wrong_configuration_is_refused_at_construction(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.retries: only guards apply to servers"):
        kind(user_service(Users()), config={"server": {"retries": 1}})
    with pytest.raises(ConfigurationError, match=r"cannot read the configuration .*nowhere\.toml"):
        kind(user_service(Users()), config=tmp_path / "nowhere.toml")


# What the client has of it.


def test_a_refusal_says_when_to_come_again(stack: ExitStack, serve: Serve) -> None:
    client = client_of(stack, serve(guards={"limiter": {"rate": 0.5, "burst": 1}}))
    client.get(1)
    with pytest.raises(Overloaded) as caught:
        client.get(2)
    assert caught.value.retry_after is not None
    assert 1 < caught.value.retry_after <= 2
    old = client_of(stack, serve(guards={"limiter": ONE}), framing="framed")
    old.get(1)
    with pytest.raises(Overloaded) as caught:
        old.get(2)
    assert caught.value.retry_after is None, "the framing has no room for it"


def test_no_handler_has_worked_on_a_call_that_was_refused(stack: ExitStack) -> None:
    users = Users()
    server = Server(user_service(users), grace_s=0.2, drain_s=0.02, guards={"limiter": ONE})
    stack.callback(server.stop)
    client = client_of(stack, server.start().address)
    client.get(1)
    with pytest.raises(Overloaded):
        client.wait(1)
    assert not users.entered.is_set()


def test_a_breaker_of_a_server_is_told_as_overload(stack: ExitStack, serve: Serve) -> None:
    guards = {
        "breaker": {"consecutive_failures": 2, "count_internal": True, "break_duration": 60, "max_break_duration": 60}
    }
    client = client_of(stack, serve(guards=guards))
    for _ in range(2):
        with pytest.raises(ApplicationError):
            client.get(0)
    with pytest.raises(Overloaded, match="circuit breaker of UserService is open") as caught:
        client.get(1)
    assert caught.value.retry_after is not None
    assert math.isclose(caught.value.retry_after, 60, abs_tol=5)


class Named(Users):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def get(self, id: int) -> User:
        return User(id=id, name=self.name)


def test_failover_goes_to_another_instance(stack: ExitStack) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    for name, guards in (("strict", {"limiter": {"rate": 10, "burst": 1}}), ("open", {})):
        server = Server(user_service(Named(name)), registry=url, guards=guards, grace_s=0.2, drain_s=0.02)
        stack.callback(server.stop)
        server.start()
    heard: list[Decision] = []
    client = stack.enter_context(
        UserServiceClient.connect(url, policy={"balancer": "round_robin", "retries": 1}, listeners=[heard.append])
    )
    found = [client.get(number).name for number in range(1, 11)]
    assert found.count("open") >= 5, "and no call has failed"
    retrying = next(each for each in heard if isinstance(each, Retrying))
    assert 0 < retrying.pause <= 0.1, "as the server has asked for"
    assert "rate limit exceeded (10 calls per second)" in retrying.why


def test_an_asyncio_client_is_refused_too(stack: ExitStack, serve: Serve) -> None:
    address = serve(guards={"limiter": ONE})

    async def main() -> None:
        async with AsyncUserServiceClient.connect(address, framing="header") as client:
            found = await asyncio.gather(*(client.get(number) for number in range(1, 6)), return_exceptions=True)
            assert sum(isinstance(each, User) for each in found) == 1
            assert sum(isinstance(each, Overloaded) for each in found) == 4

    asyncio.run(main())


@pytest.mark.slow
def test_each_process_has_its_own_guards(stack: ExitStack) -> None:
    server = stack.enter_context(
        ProcessServer(user_service(Users()), processes=2, guards={"limiter": ONE}, grace_s=1, drain_s=0.05)
    )
    server.start()
    refused = taken = 0
    for number in range(1, 41):
        # Each new connection goes to either of the processes.
        with UserServiceClient.connect(server.address, framing="header") as client:
            try:
                client.get(number)
                taken += 1
            except Overloaded:
                refused += 1
    assert 1 <= taken <= 2
    assert taken + refused == 40
