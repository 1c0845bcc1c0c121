"""Credentials and other explicit metadata arrive, or the call is refused before anything is sent."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_written import AsyncUserServiceClient, User, Users, UserServiceClient, user_service

import idlrt
from idlrt import Server, client_stats
from idlrt.core import Call, CallNext, Instance
from idlrt.errors import ConfigurationError, ConnectFailed
from idlrt.registry import Registry
from idlrt.testing import connected

SECRET = "Bearer 0123456789"
CREDENTIALS = {"authorization": SECRET}
_numbers = itertools.count()


class Told(Users):
    """Names users after the credentials that came, and counts calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def get(self, id: int) -> User:
        self.calls += 1
        return User(id=id, name=idlrt.request_metadata().get("authorization", "nobody"))


class Caller:
    """A client of any kind."""

    def __init__(self, kind: str, target: str, **options: Any) -> None:
        self.runner = asyncio.Runner() if kind == "asyncio" else None
        if kind == "shared":
            options["calls_per_connection"] = 8
        of = AsyncUserServiceClient if self.runner else UserServiceClient
        self.client: Any = of.connect(target, timeout=60, **options)

    def get(self, **options: Any) -> str:
        """The name of a user."""
        client = self.client.using(**options)
        if self.runner is None:
            return str(client.get(1).name)

        async def call() -> Any:
            return await client.get(1)

        return str(self.runner.run(call()).name)

    def close(self) -> None:
        if self.runner is None:
            self.client.close()
        else:
            self.runner.run(self.client.close())
            self.runner.close()


Connect = Callable[..., Caller]


@pytest.fixture(params=["pooled", "shared", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    made: list[Caller] = []

    def connect(target: str, **options: Any) -> Caller:
        made.append(Caller(request.param, target, **options))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[Server]:
    with Server(user_service(told)) as made:
        yield made.start()


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        call()
    text = str(caught.value)
    assert SECRET not in text, "an error must not tell secrets"
    return text


@pytest.mark.parametrize("framing", [None, "framed", "unframed"])
def test_an_address_that_is_spoken_to_without_metadata_refuses_the_call(
    connect: Connect, server: Server, told: Told, framing: str | None
) -> None:
    caller = connect(server.address, framing=framing)
    text = refused(lambda: caller.get(metadata=CREDENTIALS))
    assert "cannot send UserService.get" in text
    assert "'authorization'" in text
    assert f"framing {framing or 'framed'!r} carries no metadata" in text
    assert 'framing="header"' in text
    assert told.calls == 0
    assert caller.get() == "nobody", "the client is as good as before"


def test_it_is_refused_before_anybody_is_connected_to(connect: Connect) -> None:
    caller = connect("127.0.0.1:1")
    refused(lambda: caller.get(metadata=CREDENTIALS))
    with pytest.raises(ConnectFailed):
        caller.get()


@pytest.mark.parametrize("framing", ["header", "header_zlib"])
def test_with_a_header_it_arrives(connect: Connect, server: Server, framing: str) -> None:
    assert connect(server.address, framing=framing).get(metadata=CREDENTIALS) == SECRET


def test_what_a_filter_sets_is_not_dropped_either(connect: Connect, server: Server, told: Told) -> None:
    async def sign(call: Call, next: CallNext) -> Any:
        call.metadata["authorization"] = SECRET
        return await next(call)

    assert 'framing="header"' in refused(connect(server.address, filters=[sign]).get)
    assert told.calls == 0
    assert connect(server.address, filters=[sign], framing="header").get() == SECRET


@pytest.mark.parametrize("fault", ["failover", "failfast", "failsafe", "failback", "failcache", "stale"])
def test_no_fault_mode_makes_up_for_it(connect: Connect, server: Server, told: Told, fault: str) -> None:
    refused(lambda: connect(server.address).get(metadata=CREDENTIALS, fault=fault))
    assert told.calls == 0


class Fleet:
    """Instances of one server in a registry, by what they say that they speak."""

    def __init__(self, server: Server) -> None:
        self.name = f"memory://explicit-metadata-{next(_numbers)}"
        self.registry = Registry.connect(self.name)
        self.port = server.port

    def add(self, id: str, *protocols: str) -> None:
        made = Instance(service="UserService", host="127.0.0.1", port=self.port, id=id, protocols=protocols)
        self.registry.register(made).wait()


@pytest.fixture
def fleet(server: Server) -> Iterator[Fleet]:
    made = Fleet(server)
    yield made
    made.registry.close()


def test_an_instance_that_is_known_to_read_headers_gets_it(connect: Connect, fleet: Fleet) -> None:
    fleet.add("new", "header", "framed")
    assert connect(fleet.name).get(metadata=CREDENTIALS) == SECRET


def test_instances_that_read_none_refuse_the_call(connect: Connect, fleet: Fleet, told: Told) -> None:
    fleet.add("old-1", "framed")
    fleet.add("old-2", "unframed")
    caller = connect(fleet.name)
    text = refused(lambda: caller.get(metadata=CREDENTIALS))
    assert "no instance supports metadata: framing 'framed' carries no metadata" in text
    assert 'connect with framing="header" if the server supports it, or set no metadata' in text
    assert told.calls == 0
    assert caller.get() == "nobody"


@pytest.mark.parametrize("balancer", ["p2c", "round_robin", "consistent_hash"])
def test_of_a_mixed_fleet_those_are_called_that_read_it(
    connect: Connect, fleet: Fleet, told: Told, balancer: str
) -> None:
    fleet.add("old-1", "framed")
    fleet.add("new", "header", "framed")
    fleet.add("old-2", "framed")
    caller = connect(fleet.name)
    for key in range(12):
        assert caller.get(metadata=CREDENTIALS, balancer=balancer, hash_key=key) == SECRET
    assert {caller.get(balancer="round_robin") for _ in range(6)} == {"nobody"}, "other calls go to all"
    assert told.calls == 18


def test_the_first_available_instance_is_one_that_reads_it(connect: Connect, fleet: Fleet) -> None:
    fleet.add("a-old", "framed")
    fleet.add("b-new", "header")
    assert connect(fleet.name).get(metadata=CREDENTIALS, fault="available") == SECRET


def test_a_broadcast_fails_where_one_instance_reads_none(connect: Connect, fleet: Fleet) -> None:
    fleet.add("old", "framed")
    fleet.add("new", "header")
    caller = connect(fleet.name)
    refused(lambda: caller.get(metadata=CREDENTIALS, fault="broadcast", idempotent=True))


def test_several_addresses_are_treated_as_one(connect: Connect, server: Server, told: Told) -> None:
    target = f"tcp://127.0.0.1:{server.port},localhost:{server.port}"
    refused(lambda: connect(target).get(metadata=CREDENTIALS))
    assert told.calls == 0
    assert connect(target, framing="header").get(metadata=CREDENTIALS) == SECRET


def test_ambient_values_are_left_out_and_counted(connect: Connect, server: Server, told: Told) -> None:
    async def trace(call: Call, next: CallNext) -> Any:
        call.metadata["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        return await next(call)

    caller = connect(server.address, filters=[trace])
    assert client_stats(caller.client).left_out == {}
    caller.get()
    caller.get(tag="gray")
    assert told.calls == 2
    expected = {"deadline": 2, "tag": 1, "traceparent": 2}
    assert client_stats(caller.client).left_out == expected
    (endpoint,) = client_stats(caller.client).endpoints
    assert endpoint.left_out == expected


def test_nothing_is_left_out_with_a_header(connect: Connect, server: Server) -> None:
    caller = connect(server.address, framing="header")
    caller.get(tag="gray")
    assert client_stats(caller.client).left_out == {}


def test_what_is_left_out_is_summed_up_over_instances(connect: Connect, fleet: Fleet) -> None:
    fleet.add("old-1", "framed")
    fleet.add("old-2", "framed")
    caller = connect(fleet.name, heartbeat=None)
    for _ in range(4):
        caller.get(tag="gray", balancer="round_robin")
    found = client_stats(caller.client)
    assert found.left_out == {"deadline": 4, "tag": 4}
    assert [each.left_out for each in found.endpoints] == [{"deadline": 2, "tag": 2}] * 2


def test_the_attempt_of_a_retry_is_ambient() -> None:
    async def again(call: Call, next: CallNext) -> Any:
        call.attempt = 1
        return await next(call)

    client = connected(UserServiceClient, user_service(Told()), filters=[again])
    assert client.get(1).name == "nobody"
    assert client_stats(client).left_out["attempt"] == 1


IDL = """
struct User { 1: required i64 id, 2: optional string name }
service UserService { User get(1: required i64 id) }
"""


@pytest.mark.slow
def test_the_command_line_refuses_too(server: Server, told: Told, tmp_path: Path) -> None:
    idl = tmp_path / "users.thrift"
    idl.write_text(IDL)

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "idlrt", "call", server.address, "UserService.get", '{"id": 1}']
        line = [*command, "--idl", str(idl), "--metadata", f"authorization={SECRET}", "--timeout", "60", *more]
        return subprocess.run(line, capture_output=True, text=True, timeout=60)

    refused = call()
    assert refused.returncode != 0
    assert 'framing=\\"header\\"' in refused.stdout or 'framing="header"' in refused.stdout + refused.stderr
    assert SECRET not in refused.stdout + refused.stderr
    assert told.calls == 0
    sent = call("--framing", "header")
    assert sent.returncode == 0, sent.stderr
    assert SECRET in sent.stdout
