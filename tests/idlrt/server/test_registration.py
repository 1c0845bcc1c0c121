"""Servers of every kind in a registry: when they come, when they go, and what they say of themselves."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from by_hand import FOREVER
from eventually import TIMEOUT, eventually
from hand_written import AsyncUsers, Users, UserServiceClient, user_service

from idlrt.core import Instance, Snapshot, Status
from idlrt.errors import ConfigurationError
from idlrt.protocol.detection import served_protocols
from idlrt.registry import Registry
from idlrt.registry.memory import memory_store
from idlrt.server import AsyncServer, ProcessServer, Server

SERVICE = "UserService"

# What a server lists that was not told what to serve.
SERVED = {each.name: each.serializations for each in served_protocols()}


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.connect(url, empty_protection=False) as made:
        yield made


def found(registry: Registry) -> tuple[Instance, ...]:
    return registry.instances(SERVICE).instances


def wait_for(registry: Registry, count: int = 1) -> tuple[Instance, ...]:
    """Wait until there are `count` instances. Servers themselves wait for the registry only for a short time."""
    eventually(lambda: len(found(registry)) == count, f"{count} instances are registered")
    return found(registry)


def test_it_is_there_when_it_has_started_and_gone_when_it_has_stopped(url: str, registry: Registry) -> None:
    with Server(user_service(Users()), registry=url) as server:
        assert found(registry) == ()
        before = time.time()
        server.start()
        (instance,) = wait_for(registry)
        assert (instance.host, instance.port) == ("127.0.0.1", server.port)
        assert instance.protocols == ("header", "framed", "unframed")
        assert instance.rpc_protocols == SERVED
        assert SERVED["thrift"] == ("binary", "compact", "json")
        assert before <= instance.started_at <= time.time()
        assert [each.instance for each in server.registrations] == [instance]
    wait_for(registry, 0)
    assert server.registrations == ()


def test_it_leaves_before_it_stops_answering(url: str, registry: Registry) -> None:
    users = AsyncUsers()
    with Server(user_service(users), registry=url, drain_s=0.01, grace_s=FOREVER) as server:
        server.start()
        with UserServiceClient.connect(server.address, timeout=TIMEOUT, framing="header") as client:
            thread = threading.Thread(target=client.wait, args=(1,))
            thread.start()
            assert users.entered.wait(TIMEOUT)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            eventually(lambda: found(registry) == (), "it is gone from the registry")
            assert stopping.is_alive(), "and still answers what it has"
            users.release(1)
            thread.join(TIMEOUT)
            stopping.join(TIMEOUT)


def test_an_asyncio_server(url: str, registry: Registry) -> None:
    async def main() -> None:
        async with AsyncServer(user_service(AsyncUsers()), registry=url, instance={"zone": "eu-1"}):
            (instance,) = await asyncio.to_thread(wait_for, registry)
            assert instance.zone == "eu-1"
        await asyncio.to_thread(wait_for, registry, 0)

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_processes_are_one_instance() -> None:
    # Memory is not shared by processes; the supervisor is the one that registers.
    from idlrt.embedded import RegistryServer

    with RegistryServer() as server, Registry.connect(server.url, cache=False) as registry:
        url = f"{server.url}?timeout=60"
        with ProcessServer(user_service(Users()), processes=2, registry=url) as processes:
            processes.start()
            (instance,) = wait_for(registry)
            assert instance.port == processes.port
            with UserServiceClient.connect(server.url) as client:
                for number in range(20):
                    client.get(number + 1)
        wait_for(registry, 0)


def test_what_it_says_of_itself(url: str, registry: Registry) -> None:
    said: Any = {
        "group": "blue",
        "service": "demo.Users",
        "id": "one",
        "version": "1.2",
        "weight": 7,
        "zone": "eu-1",
        "tags": {"gray": "yes"},
        "timeout": 0.5,
        "retries": 1,
        "routing": {"a": "b"},
        "metadata": {"c": "d"},
        "status": "disabled",
        "advertise": "users.example.com",
    }
    with Server(user_service(Users()), registry=url, instance=said) as server:
        server.start()
        (instance,) = eventually(lambda: registry.instances("demo.Users", "blue").instances)
        assert instance == Instance(
            service="demo.Users",
            group="blue",
            id="one",
            version="1.2",
            weight=7,
            zone="eu-1",
            tags={"gray": "yes"},
            timeout=0.5,
            retries=1,
            routing={"a": "b"},
            metadata={"c": "d"},
            status=Status.DISABLED,
            host="users.example.com",
            port=server.port,
            rpc_protocols=SERVED,
            started_at=instance.started_at,
        )


@pytest.mark.parametrize(
    ("advertise", "expected"),
    [
        ("", "127.0.0.1"),
        ("10.0.0.9", "10.0.0.9"),
        ("[fd00::1]:81", "fd00::1"),
        ("edge.example.com:80", "edge.example.com"),
    ],
)
def test_where_it_is_reached(url: str, registry: Registry, advertise: str, expected: str) -> None:
    with Server(user_service(Users()), "0.0.0.0:0", registry=url, instance={"advertise": advertise}) as server:
        server.start()
        (instance,) = wait_for(registry)
        assert instance.host == expected
        assert instance.port == {"[fd00::1]:81": 81, "edge.example.com:80": 80}.get(advertise, server.port)


def test_several_services_are_several_instances(url: str, registry: Registry) -> None:
    from idlrt.core import Handlers
    from idlrt.spec import Service

    users = user_service(Users())
    other = Handlers(Service("Other", *users.service.methods.values()), users.table)
    for method in users.service.methods.values():
        method.service = SERVICE  # describing it again has renamed it
    with Server([users, other], registry=url) as server:
        server.start()
        (first,) = wait_for(registry)
        (second,) = eventually(lambda: registry.instances("Other").instances)
        assert "multiplexed" not in first.metadata
        assert second.metadata["multiplexed"] == "Other"
        with UserServiceClient.connect(f"{url}/Other") as client:
            assert client.get(3).id == 3


@pytest.mark.slow
def test_a_registry_that_is_down_does_not_hold_up_the_server(url: str) -> None:
    store = memory_store(url.removeprefix("memory://"))
    store.is_down = True
    with Server(user_service(Users()), registry=url) as server:
        server.start()
        with UserServiceClient.connect(server.address) as client:
            client.get(1)
        store.is_down = False
        with Registry.connect(url) as registry:
            wait_for(registry)


@pytest.mark.slow
def test_a_registry_that_is_down_does_not_hold_up_the_end(url: str, registry: Registry) -> None:
    store = memory_store(url.removeprefix("memory://"))
    with Server(user_service(Users()), registry=url, grace_s=0.1, drain_s=0.01) as server:
        server.start()
        store.is_down = True
        server.stop()
        assert server.wait(0)
    store.is_down = False


def test_a_registry_of_the_caller(url: str, registry: Registry) -> None:
    with Server(user_service(Users()), registry=registry) as server:
        server.start()
        wait_for(registry)
    # It was not closed.
    wait_for(registry, 0)


def test_switching_before_it_starts(url: str, registry: Registry) -> None:
    with Server(user_service(Users()), registry=url) as server:
        server.disable()
        server.start()
        assert wait_for(registry)[0].status is Status.DISABLED
        server.enable()
        eventually(lambda: found(registry)[0].status is Status.UP)


def test_without_a_registry_there_is_nothing_to_switch() -> None:
    with (
        Server(user_service(Users())) as server,
        pytest.raises(ConfigurationError, match="the server has no registry; pass registry=URL"),
    ):
        server.enable()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"registry": 5}, "registry: must be a URL or an idlrt Registry, got 5"),
        ({"registry": "nowhere"}, "invalid registry URL 'nowhere'"),
        ({"registry": "memory://x", "instance": {"zon": "x"}}, "unknown instance option 'zon'; did you mean 'zone'?"),
        (
            {"registry": "memory://x", "instance": {"weight": -1}},
            "weight of an instance must be between 0 and",
        ),
        ({"registry": "memory://x", "instance": {"status": "on"}}, "must be one of up, draining, disabled, got 'on'"),
        ({"registry": "memory://x", "instance": {"group": "a/b"}}, "invalid group of an instance: 'a/b'"),
        ({"registry": "memory://x", "instance": {"advertise": "a b"}}, "invalid address"),
        ({"registry": "memory://x", "instance": 5}, "instance: must be a dict"),
    ],
)
def test_what_makes_no_sense(options: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Server(user_service(Users()), **options)
    assert why in str(caught.value)


def test_a_unix_socket_cannot_be_registered(url: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="remote clients cannot reach a Unix socket"):
        Server(user_service(Users()), f"unix:{tmp_path}/s", registry=url)


def test_snapshots_show_registered_and_deregistered_instances(url: str, registry: Registry) -> None:
    heard: list[Snapshot] = []
    registry.subscribe(SERVICE).listen(lambda change: heard.append(change.snapshot))
    with Server(user_service(Users()), registry=url) as server:
        server.start()
        eventually(lambda: heard and heard[-1].instances)
    eventually(lambda: not heard[-1].instances)
