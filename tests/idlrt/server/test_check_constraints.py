"""Servers reject calls whose arguments violate constraints of the IDL."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

import pytest

import idlrt
from idlrt import codegen as rpc
from idlrt.client import Client
from idlrt.core import BlockingDriver, Deadline, Peer, ServerCall, bind, serve
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.serialization.constraints import ConstraintViolation
from idlrt.server import Server, ServerCallNext, check_constraints
from idlrt.server.method_table import method_table
from idlrt.testing import connected


class Person(rpc.Struct, kw_only=True):
    age: int

    __thrift_fields__ = (rpc.required(1, "age", rpc.I32, annotations={"vt.le": "150"}),)


class People(Protocol):
    def add(self, person: Person, note: str) -> int: ...

    def ping(self) -> int: ...

    def drop(self, person: Person) -> None: ...


ADD = rpc.method(
    People.add,
    rpc.required(1, "person", rpc.struct(Person)),
    rpc.required(2, "note", rpc.STRING, annotations={"vt.min_size": "1"}),
    result=rpc.I32,
)
PING = rpc.method(People.ping, result=rpc.I32)
DROP = rpc.method(People.drop, rpc.required(1, "person", rpc.struct(Person)), result=rpc.VOID, oneway=True)
SERVICE = rpc.service("People", ADD, PING, DROP)


class Plain:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def add(self, person: Person, note: str) -> int:
        self.seen.append(person.age)
        return len(self.seen)

    def ping(self) -> int:
        return 5

    def drop(self, person: Person) -> None:
        self.seen.append(-person.age)


class Coroutines(Plain):
    async def add(self, person: Person, note: str) -> int:  # type: ignore[override]
        return super().add(person, note)


class PeopleClient(Client):
    __thrift_service__ = SERVICE

    def add(self, age: int, note: str) -> int:
        found: int = self._call(ADD, Person(age=age), note)
        return found

    def ping(self) -> int:
        found: int = self._call(PING)
        return found

    def drop(self, age: int) -> None:
        self._call(DROP, Person(age=age))


@pytest.mark.parametrize("handler", [Plain, Coroutines])
@pytest.mark.parametrize("framing", ["framed", "header"])
def test_invalid_arguments_do_not_reach_the_handler(
    handler: type[Plain], framing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    people = handler()
    with Server(bind(SERVICE, people), filters=[idlrt.check_constraints()]) as server:
        server.start()
        with PeopleClient.connect(server.address, framing=framing) as client:
            assert client.add(150, "x") == 1
            with pytest.raises(ApplicationError) as refused:
                client.add(4711, "")
            client.drop(4712)
            assert client.ping() == 5
    assert refused.value.code is ApplicationCode.PROTOCOL_ERROR
    assert refused.value.message == (
        "invalid arguments of People.add: person.age: must be at most 150, got 4711; "
        "note: must be at least 1 byte long, got 0"
    )
    assert people.seen == [150]
    assert "rejected People.add from 127.0.0.1:" in caplog.text
    assert "constraints violated: person.age, note" in caplog.text
    assert "4711" not in caplog.text, "arguments are not logged"


def test_the_cause_names_the_violations() -> None:
    call = ServerCall(ADD, (Person(age=151), "x"), Peer(address="x"), {}, Deadline(0, 1), BlockingDriver())

    async def next(call: ServerCall) -> Any:
        raise AssertionError("the handler is called")

    with pytest.raises(ApplicationError) as refused:
        asyncio.run(check_constraints()(call, next))
    assert isinstance(refused.value.__cause__, ConstraintViolation)
    assert [path for path, _ in refused.value.__cause__.violations] == ["person.age"]


def test_methods_without_constraints_have_no_filter() -> None:
    filters = [check_constraints()]
    bare = method_table(serve(bind(SERVICE, Plain())))
    checked = method_table(serve(bind(SERVICE, Plain())), filters)
    assert checked["ping"].run.__qualname__ == bare["ping"].run.__qualname__
    assert checked["add"].run.__qualname__ != bare["add"].run.__qualname__
    assert not any(entry.is_awaited for entry in checked.values())


def test_a_filter_chooses_its_methods() -> None:
    class Chosen:
        def applies_to(self, method: Any) -> bool:
            return method is PING

        async def __call__(self, call: ServerCall, next: ServerCallNext) -> Any:
            return await next(call) + 1

    with Server(bind(SERVICE, Plain()), filters=[Chosen()]) as server:
        server.start()
        with PeopleClient.connect(server.address) as client:
            assert (client.ping(), client.add(1, "x")) == (6, 1)


def test_an_invalid_constraint_is_reported_when_the_server_is_created() -> None:
    class Wrong(Protocol):
        def go(self, x: int) -> None: ...

    go = rpc.method(Wrong.go, rpc.required(1, "x", rpc.I32, annotations={"vt.gt": "y"}), result=rpc.VOID)

    class Going:
        def go(self, x: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Wrong\.go: invalid constraint vt\.gt = 'y'"):
        Server(bind(rpc.service("Wrong", go), Going()), filters=[check_constraints()])


def _assert_it_validates(address: str) -> None:
    with PeopleClient.connect(address) as client:
        assert client.add(150, "x") == 1
        with pytest.raises(ApplicationError) as refused:
            client.add(151, "")
        assert client.ping() == 5
    assert refused.value.code is ApplicationCode.PROTOCOL_ERROR
    assert refused.value.message == (
        "invalid arguments of People.add: person.age: must be at most 150, got 151; "
        "note: must be at least 1 byte long, got 0"
    )


def test_the_option_validate_of_servers() -> None:
    with Server(bind(SERVICE, Plain()), validate=True) as server:
        server.start()
        _assert_it_validates(server.address)


def test_the_option_validate_of_servers_with_several_processes() -> None:
    with idlrt.ProcessServer(bind(SERVICE, Plain()), processes=1, drain_s=0.01, validate=True) as server:
        server.start()
        _assert_it_validates(server.address)


def test_the_option_validate_of_asyncio_servers() -> None:
    async def run() -> None:
        async with idlrt.AsyncServer(bind(SERVICE, Coroutines()), validate=True) as server:
            await asyncio.to_thread(_assert_it_validates, server.address)

    asyncio.run(run())


def test_the_option_validate_comes_behind_the_filters() -> None:
    async def deny(call: ServerCall, next: ServerCallNext) -> Any:
        raise ApplicationError("denied", ApplicationCode.PERMISSION_DENIED)

    with (
        connected(PeopleClient, bind(SERVICE, Plain()), server_filters=[deny], server_options={"validate": True}) as it,
        pytest.raises(ApplicationError, match="denied"),
    ):
        it.add(151, "")


def test_the_option_validate_checks_structs_in_containers_as_cloudwego_does() -> None:
    class Groups(Protocol):
        def put(self, some: list[Person], all: list[Person]) -> None: ...

    put = rpc.method(
        Groups.put,
        rpc.required(1, "some", rpc.list_of(rpc.struct(Person))),
        rpc.required(2, "all", rpc.list_of(rpc.struct(Person)), annotations={"vt.elem.skip": "false"}),
        result=rpc.VOID,
    )
    service = rpc.service("Groups", put)

    class Handler:
        def put(self, some: list[Person], all: list[Person]) -> None: ...

    class GroupsClient(Client):
        __thrift_service__ = service

        def put(self, some: list[Person], all: list[Person]) -> None:
            self._call(put, some, all)

    old = [Person(age=151)]
    with connected(GroupsClient, bind(service, Handler()), server_options={"validate": True}) as client:
        client.put(old, [])
        with pytest.raises(ApplicationError, match=r": all\[0\]\.age: must be at most 150, got 151$"):
            client.put([], old)
    client = connected(GroupsClient, bind(service, Handler()), server_filters=[check_constraints()])
    with client, pytest.raises(ApplicationError, match=r": some\[0\]\.age: must be at most 150, got 151$"):
        client.put(old, [])


def test_the_option_validate_is_a_boolean() -> None:
    with pytest.raises(ConfigurationError, match="validate: must be True or False, got 1"):
        Server(bind(SERVICE, Plain()), validate=1)  # type: ignore[arg-type]
