"""Services that are found by name, whose instances change while calls are under way."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hand_written import AsyncUserServiceClient, Users, UserServiceClient, scripted_server, user_service

from idlrt.core import Instance
from idlrt.embedded import RegistryServer
from idlrt.errors import ConnectionLost, NoInstance, NotSent
from idlrt.registry import Registration, Registry
from idlrt.server import Server

SERVICE = "UserService"


def until(is_so: Callable[[], object], what: str = "") -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.002)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.connect(url, empty_protection=False) as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def serve(stack: ExitStack, handler: object = None) -> Server:
    server = Server(user_service(handler or Users()), grace_s=0.2, drain_s=0.02)
    stack.callback(server.stop)
    return server.start()


def register(registry: Registry, port: int, id: str = "", **more: Any) -> Registration:
    made = registry.register(Instance(service=SERVICE, host="127.0.0.1", port=port, id=id, **more))
    made.wait()
    return made


def snapshot_shows(client: Any, is_so: Callable[[tuple[Instance, ...]], object]) -> None:
    subscription = client._sender.cluster._members.subscription
    until(lambda: is_so(subscription.wait(5).instances))


def test_the_only_instance_is_replaced_during_a_call(stack: ExitStack, url: str, registry: Registry) -> None:
    """What is under way on the old one ends as it does (`get` is not idempotent); others go to the new one."""
    port, known = serve(stack).port, threading.Event()

    def die(raw: socket.socket) -> None:
        raw.recv(65536)
        known.wait(20)

    old = int(stack.enter_context(scripted_server(die)).rpartition(":")[2])
    register(registry, old, "one")
    with UserServiceClient.connect(url, timeout=10, heartbeat=None) as client:
        found: list[object] = []

        def call() -> None:
            try:
                found.append(client.get(1))
            except ConnectionLost as error:  # `get` is not idempotent
                found.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        until(lambda: any(node.load.under_way for node in client._sender.cluster.nodes))  # type: ignore[attr-defined]
        with Registry.connect(url) as other:
            register(other, port, "one")
            snapshot_shows(client, lambda instances: instances[0].port == port)
            assert client.get(2).id == 2, "the new one"
            known.set()
            thread.join(20)
            assert isinstance(found[0], ConnectionLost)


def test_no_call_is_refused_because_its_instance_was_replaced_meanwhile(
    stack: ExitStack, url: str, registry: Registry
) -> None:
    first, second = serve(stack), serve(stack)
    ports = [first.port, second.port]
    registration = register(registry, ports[0], "one")
    errors: list[Exception] = []
    is_over = False
    made: list[Instance] = []
    with UserServiceClient.connect(url, timeout=10) as client:
        cluster = client._sender.cluster  # type: ignore[attr-defined]
        make = cluster._make_leaf

        def counted(instance: Instance) -> Any:
            made.append(instance)
            return make(instance)

        cluster._make_leaf = counted

        def call() -> None:
            while not is_over:
                try:
                    client.get(1)
                except Exception as error:  # noqa: BLE001  # whatever it is
                    errors.append(error)
                    return

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(100):
            registration.update(port=ports[number % 2])
            registration.wait()
        is_over = True
        for thread in threads:
            thread.join(20)
    assert errors == []
    assert len(made) <= 101, "no older snapshot has come back after a newer one"


def test_a_dead_instance_that_has_been_replaced(stack: ExitStack, url: str, registry: Registry) -> None:
    """The only instance is gone; its successor is told while the call finds that out."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = int(probe.getsockname()[1])
    registration = register(registry, dead, "one")
    port = serve(stack).port
    with UserServiceClient.connect(url, timeout=10, heartbeat=None) as client:
        cluster = client._sender.cluster  # type: ignore[attr-defined]
        snapshot_shows(client, len)
        make = cluster._make_leaf

        def make_and_replace(instance: Instance) -> Any:
            sender = make(instance)
            if instance.port == dead:
                registration.update(port=port)
                snapshot_shows(client, lambda instances: instances[0].port == port)
            return sender

        cluster._make_leaf = make_and_replace
        assert client.get(1).id == 1


def test_an_instance_that_nobody_can_talk_to_costs_no_call(stack: ExitStack, url: str, registry: Registry) -> None:
    register(registry, serve(stack).port)
    register(registry, 9, "other", protocols=("dubbo",))
    with UserServiceClient.connect(url) as client:
        for number in range(1, 20):
            assert client.get(number).id == number


def test_an_instance_of_which_something_is_understood(stack: ExitStack, url: str, registry: Registry) -> None:
    register(registry, serve(stack).port, protocols=("ttheader", "unframed"))
    with UserServiceClient.connect(url) as client:
        assert client.get(1).id == 1


@pytest.mark.parametrize("host", ["a..b", "x" * 200])
def test_a_host_that_is_none_costs_no_call(stack: ExitStack, url: str, registry: Registry, host: str) -> None:
    register(registry, serve(stack).port)
    registry.register(Instance(service=SERVICE, host=host, port=1, id="odd")).wait()
    with UserServiceClient.connect(url) as client:
        for number in range(1, 20):
            assert client.get(number).id == number

    async def main() -> None:
        async with AsyncUserServiceClient.connect(url) as client:
            for number in range(1, 20):
                assert (await client.get(number)).id == number

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_asyncio_client_that_is_used_from_one_loop_after_the_other(
    stack: ExitStack, url: str, registry: Registry
) -> None:
    registration = register(registry, serve(stack).port, "one")
    port = serve(stack).port
    client: Any = AsyncUserServiceClient.connect(url, timeout=10)

    async def get(id: int) -> int:
        return int((await client.get(id)).id)

    assert asyncio.run(get(1)) == 1
    # What was connected in the loop that is over cannot be closed by the next one.
    registration.update(port=port)
    snapshot_shows(client, lambda instances: instances[0].port == port)
    assert asyncio.run(get(2)) == 2
    asyncio.run(client.close())
    # The transport of the first loop says so while the mark above still holds.
    client = None
    gc.collect()


def closed_while_it_waits(call: Callable[[], object], close: Callable[[], object]) -> tuple[object, float]:
    found: list[object] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:  # noqa: BLE001  # whatever it is
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.1)
    start = time.monotonic()
    close()
    thread.join(30)
    return found[0], time.monotonic() - start


def silent_registry(stack: ExitStack) -> str:
    """The URL of one that takes connections and says nothing."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"embedded://127.0.0.1:{listening.getsockname()[1]}"


def test_closed_while_a_call_waits_for_the_first_snapshot(stack: ExitStack) -> None:
    client = UserServiceClient.connect(silent_registry(stack), timeout=20)
    found, took = closed_while_it_waits(lambda: client.get(1), client.close)
    assert isinstance(found, NotSent)
    assert "the client is closed" in str(found)
    assert took < 1


def test_an_asyncio_client_likewise(stack: ExitStack) -> None:
    async def main() -> None:
        client = AsyncUserServiceClient.connect(silent_registry(stack), timeout=20)
        call = asyncio.ensure_future(client.get(1))
        await asyncio.sleep(0.1)
        start = time.monotonic()
        await client.close()
        with pytest.raises(NotSent, match="the client is closed"):
            await call
        assert time.monotonic() - start < 1

    asyncio.run(main())


def test_closing_an_asyncio_client_does_not_hold_up_the_event_loop() -> None:
    """Which may be the one that the registry is served on."""

    async def main() -> float:
        registry = RegistryServer()
        await registry.open()
        client = AsyncUserServiceClient.connect(registry.url, timeout=5)
        with pytest.raises(NoInstance, match="none is registered"):
            await client.get(1)
        start = time.monotonic()
        await client.close()
        took = time.monotonic() - start
        await registry.close()
        return took

    assert asyncio.run(main()) < 1
